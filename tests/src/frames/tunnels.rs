//! Protocols that no rule names, tunnels above all: what is inside is never looked at.

use foobar_common::reason::Reason::{NoRule, Protocol};

use super::{
    hosts::{ADMIN, BLOCKED, WORLD},
    packet::Packet,
    row::{Row, drops},
    rules::to_server,
};

/// IP protocol numbers (IANA), other than those that are extension headers in IPv6.
const PROTOCOLS: [(&str, u8); 24] = [
    ("igmp", 2),
    ("ggp", 3),
    ("ipip", 4),
    ("stream", 5),
    ("egp", 8),
    ("igp", 9),
    ("dccp", 33),
    ("6in4", 41),
    ("rsvp", 46),
    ("gre", 47),
    ("esp", 50),
    ("eigrp", 88),
    ("ospf", 89),
    ("ipip-94", 94),
    ("etherip", 97),
    ("pim", 103),
    ("ipcomp", 108),
    ("vrrp", 112),
    ("l2tp", 115),
    ("sctp", 132),
    ("udp-lite", 136),
    ("mpls", 137),
    ("experiment", 253),
    ("reserved", 255),
];

pub(super) fn rows() -> Vec<Row> {
    let mut rows = Vec::new();
    for (name, number) in PROTOCOLS {
        for (family, packet) in to_server(WORLD) {
            let why =
                "no rule names this protocol; that it looks like TCP to port 80 changes nothing";
            let inside = packet.clone().tcp(51000, 80, "S").transport_bytes();
            rows.push(drops(
                format!("{family}-protocol-{name}"),
                Protocol,
                packet.raw(number, &inside),
                why,
            ));
        }
    }
    for ((family, outer), (_, inner)) in to_server(WORLD).into_iter().zip(to_server(ADMIN)) {
        rows.extend(tunnels(family, outer, &inner));
    }
    for (family, packet) in to_server(BLOCKED) {
        let why = "blocked or not, nobody may";
        rows.push(drops(format!("{family}-blocked-gre"), Protocol, packet.raw(47, &[0; 24]), why));
    }
    let [(_, v4), (_, v6)] = to_server(WORLD);
    let why = "the ICMP of the other family has no meaning here";
    rows.extend([
        drops(
            "v4-with-icmpv6-echo",
            Protocol,
            v4.clone().raw(58, &[128, 0, 0, 0, 0, 1, 0, 1]),
            why,
        ),
        drops("v6-with-icmpv4-echo", Protocol, v6.raw(1, &[8, 0, 0, 0, 0, 1, 0, 1]), why),
        drops(
            "v4-with-hop-by-hop",
            Protocol,
            v4.clone().raw(0, &[6, 0, 1, 4, 0, 0, 0, 0]),
            "no header of IPv4",
        ),
        drops(
            "v4-with-destination-options",
            Protocol,
            v4.clone().raw(60, &[6, 0, 1, 4, 0, 0, 0, 0]),
            "no header of IPv4",
        ),
        drops(
            "v4-with-fragment-header",
            Protocol,
            v4.raw(44, &[6, 0, 0, 0, 0, 0, 0, 7]),
            "no header of IPv4",
        ),
    ]);
    rows
}

fn tunnels(family: &str, outer: Packet, inner: &Packet) -> Vec<Row> {
    let inner = inner.clone().tcp(51000, 22, "S").network_bytes();
    let ether_type: [u8; 2] = if family == "v4" { [8, 0] } else { [0x86, 0xdd] };
    let gre = [&[0, 0][..], &ether_type, &inner].concat();
    let why = "an allowed packet inside a tunnel has no right of its own";
    let mut rows = vec![
        drops(format!("{family}-in-v4-tunnel"), Protocol, outer.clone().raw(4, &inner), why),
        drops(format!("{family}-in-v6-tunnel"), Protocol, outer.clone().raw(41, &inner), why),
        drops(format!("{family}-in-gre"), Protocol, outer.clone().raw(47, &gre), why),
    ];
    for (name, port) in [
        ("vxlan", 4789),
        ("geneve", 6081),
        ("gtp", 2152),
        ("teredo", 3544),
        ("l2tp", 1701),
        ("wireguard", 51820),
        ("esp-in-udp", 4500),
        ("gue", 6080),
    ] {
        let packet = outer.clone().udp(51000, port, inner.len()).edit(|bytes| {
            bytes.truncate(8);
            bytes.extend(&inner);
        });
        rows.push(drops(format!("{family}-in-{name}"), NoRule, packet, why));
    }
    rows
}
