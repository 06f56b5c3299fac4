//! What goes wrong on the way between visitors and the load balancer.

use foobar_site::{
    plan::Host,
    run::{inside, output},
};

use crate::up::Up;

/// The router's table that loses packets.
const TABLE: &str = "lossy";

/// The router begins to lose four of ten packets from the load balancer to the visitors.
pub fn loses(up: &Up) {
    let (from, to) = (Host::Lb.ipv4(), Host::Client.ipv4());
    let rules = [
        format!("add table inet {TABLE}"),
        format!("add chain inet {TABLE} forward {{ type filter hook forward priority 0; }}"),
        format!(
            "add rule inet {TABLE} forward ip saddr {from} ip daddr {to} \
             numgen random mod 10 < 4 drop"
        ),
    ];
    let rules = rules.join("\n");
    nft(up, &rules);
}

/// It loses none any more.
pub fn is_mended(up: &Up) {
    nft(up, &format!("delete table inet {TABLE}"));
}

fn nft(up: &Up, command: &str) {
    output(inside(&up.instance().router(), "nft").arg(command)).expect("a router that knows nft");
}
