//! Requests in clear to nginx, Apache and HAProxy against their access logs: every case is counted exactly, on every port.
//!
//! `accuracy_http` has the same for nginx alone, with what changes while requests are made.

mod cases;
mod servers;
mod site;
mod table;
mod times;

use foobar_tests::harness::{Daemon, Lan, Leaks};

use servers::{PORTS, Servers};
use site::Site;

fn configuration() -> String {
    let observe = |port| format!("[[observe]]\nport = {port}\nprotocol = \"http\"\n");
    format!(
        "interfaces = [\"eth0\"]\n[[rules]]\nname = \"web\"\nports = {PORTS:?}\nfrom = \"any\"\n{}",
        PORTS.map(observe).concat()
    )
}

#[test]
fn slow_every_request_to_every_server_is_counted_once() {
    let _leaks = Leaks::watch();
    let lan = Lan::new();
    let client = lan.client(10);
    let servers = Servers::start(&lan.server);
    let held = cases::Held::open(&client, &servers);
    let daemon = Daemon::start(&lan.server, &configuration());
    let mut site = Site::new(&client, &servers, daemon);
    cases::before_attach(&mut site, held);
    cases::each_server(&mut site);
    cases::http2(&mut site);
    cases::bad_input(&mut site);
    cases::load(&mut site);
    cases::one_way(&mut site, &lan);
    let times = times::compare(&mut site);
    table::write(&site.rows, &times);
    let wrong: Vec<_> = site.rows.iter().filter(|(_, truth, counted)| truth != counted).collect();
    assert!(wrong.is_empty(), "counted wrong: {wrong:#?}");
}
