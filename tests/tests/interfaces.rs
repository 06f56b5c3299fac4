//! Interfaces come and go; those that the configuration names are filtered within a second.

use std::{
    net::TcpListener,
    time::{Duration, Instant},
};

use foobar_tests::harness::{Daemon, Lan, Leaks, Netns, add_address, eventually, veth};

const CONFIGURATION: &str = r#"
interfaces = ["eth0", "wan*"]
[metrics]
listen = "127.0.0.1:9898"
[[rules]]
name = "web"
ports = [80]
from = "any"
"#;

/// How often each of it is done.
const ROUNDS: usize = 20;

/// The time in which a new interface must be filtered, and a test's own steps.
const SECOND: Duration = Duration::from_secs(2);

fn attached(daemon: &Daemon<'_>, interface: &str) -> Option<f64> {
    let labels = [("interface", interface), ("program", "ingress")];
    daemon.scrape().find("foobar_bpf_program_attached", &labels)
}

fn becomes(daemon: &Daemon<'_>, interface: &str, wanted: Option<f64>) {
    eventually(&format!("{interface} to be {wanted:?}"), SECOND, || {
        let found = attached(daemon, interface);
        if found == wanted { Ok(()) } else { Err(found) }
    });
}

fn is_filtered(server: &Netns, interface: &str) -> bool {
    server.ip(&format!("-details link show {interface}")).contains("xdp")
}

#[test]
fn slow_what_is_made_anew_renamed_or_added_is_filtered() {
    let _leaks = Leaks::watch();
    let lan = Lan::new();
    let peer = Netns::new();
    let daemon = Daemon::start(&lan.server, CONFIGURATION);
    assert_eq!(attached(&daemon, "eth0"), Some(1.0));

    let mut longest = Duration::ZERO;
    for _ in 0..ROUNDS {
        lan.server.ip("link delete eth0");
        becomes(&daemon, "eth0", Some(0.0));
        let status = daemon.ok(&["status"]);
        assert!(status.contains("eth0") && status.contains("not filtered"), "{status}");
        veth(&lan.server, "eth0", &peer, "peer0");
        let made = Instant::now();
        becomes(&daemon, "eth0", Some(1.0));
        longest = longest.max(made.elapsed());
        assert!(made.elapsed() < SECOND && is_filtered(&lan.server, "eth0"));
    }
    println!("an interface that is made anew is filtered after {longest:.0?} at most");
    assert!(!daemon.ok(&["status"]).contains("WARNING"), "{}", daemon.ok(&["status"]));

    veth(&lan.server, "wan5", &peer, "peer5");
    becomes(&daemon, "wan5", Some(1.0));
    for round in 0..ROUNDS {
        // A name that the configuration has, too, and back.
        let (old, new) = if round % 2 == 0 { ("wan5", "wan6") } else { ("wan6", "wan5") };
        lan.server.ip(&format!("link set {old} down"));
        lan.server.ip(&format!("link set {old} name {new}"));
        becomes(&daemon, new, Some(1.0));
        assert_eq!(attached(&daemon, old), None, "it has another name");
    }

    for _ in 0..ROUNDS {
        lan.server.ip("link set eth0 down");
        lan.server.ip("link set eth0 name inner");
        becomes(&daemon, "eth0", Some(0.0));
        assert!(is_filtered(&lan.server, "inner"), "a new name opens nothing");
        lan.server.ip("link set inner name eth0");
        becomes(&daemon, "eth0", Some(1.0));
        assert_eq!(attached(&daemon, "inner"), None);
    }

    for _ in 0..ROUNDS {
        lan.server.ip(&format!("link set wan5 netns {}", peer.name()));
        becomes(&daemon, "wan5", Some(0.0));
        peer.ip(&format!("link set wan5 netns {}", lan.server.name()));
        becomes(&daemon, "wan5", Some(1.0));
        assert!(is_filtered(&lan.server, "wan5"));
    }
}

#[test]
fn a_reload_changes_the_interfaces_and_a_later_start_waits_for_them() {
    let _leaks = Leaks::watch();
    let lan = Lan::new();
    let peer = Netns::new();
    veth(&lan.server, "lan0", &peer, "peer0");
    add_address(&lan.server, "lan0", "198.51.100.1/24");
    let _server = lan.server.enter(|| TcpListener::bind(("0.0.0.0", 22)).expect("a free port"));
    let mut daemon = Daemon::start(&lan.server, CONFIGURATION);
    daemon.configure(&CONFIGURATION.replace("\"wan*\"", "\"lan9\""));
    let refused = daemon.foobar(&["reload"]);
    assert!(refused.code == Some(1) && refused.stderr.contains("lan9"), "{}", refused.text());
    assert_eq!(attached(&daemon, "eth0"), Some(1.0));

    daemon.configure(&CONFIGURATION.replace("\"eth0\", \"wan*\"", "\"lan0\""));
    let said = daemon.ok(&["reload"]);
    assert!(
        said.contains("filtered now: lan0") && said.contains("no longer filtered: eth0"),
        "{said}"
    );
    assert!(is_filtered(&lan.server, "lan0") && !is_filtered(&lan.server, "eth0"));
    assert_eq!((attached(&daemon, "lan0"), attached(&daemon, "eth0")), (Some(1.0), None));

    daemon.process().kill();
    lan.server.ip("link delete lan0");
    daemon.launch();
    assert_eq!(attached(&daemon, "lan0"), Some(0.0));
    veth(&lan.server, "lan0", &peer, "peer0");
    becomes(&daemon, "lan0", Some(1.0));
}

/// An interface that is gone must not keep a change from being taken back.
#[test]
fn a_change_is_taken_back_although_an_interface_is_gone() {
    let _leaks = Leaks::watch();
    let lan = Lan::new();
    let peer = Netns::new();
    veth(&lan.server, "lan0", &peer, "peer0");
    let both = CONFIGURATION.replace("\"wan*\"", "\"lan0\"");
    let daemon = Daemon::start(&lan.server, &both);
    daemon.configure(&CONFIGURATION.replace("ports = [80]", "ports = [81]"));
    daemon.ok(&["reload", "--confirm", "1s"]);
    lan.server.ip("link delete lan0");
    // The first attempt may come before word of the interface; the next one follows after five seconds.
    eventually("the change to be taken back", 10 * SECOND, || {
        let page = daemon.scrape();
        let waits = page.sum("foobar_config_confirmation_pending", &[]);
        if waits == 0.0 { Ok(()) } else { Err(daemon.log()) }
    });
    assert_eq!((attached(&daemon, "eth0"), attached(&daemon, "lan0")), (Some(1.0), Some(0.0)));
}
