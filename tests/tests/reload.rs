//! Another configuration while the filter runs, for good or on trial; and a start without a usable one.

use std::{
    fs,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    time::{Duration, Instant},
};

use foobar_tests::harness::{Daemon, Lan, Leaks, Netns, eventually, tcp_connects};
use nix::sys::signal::Signal;
use serde_json::Value;

const QUICK: Duration = Duration::from_millis(400);
const PATIENCE: Duration = Duration::from_secs(10);

/// A configuration with one rule for these ports.
fn configuration(mode: &str, ports: &str) -> String {
    format!(
        "interfaces = [\"eth0\"]\nmode = \"{mode}\"\n[metrics]\nlisten = \"127.0.0.1:9898\"\n\
         [allowlists.friends]\nfile = \"friends.txt\"\n\
         [[rules]]\nname = \"web\"\nports = [{ports}]\nfrom = [\"friends\"]\n"
    )
}

fn start<'a>(lan: &'a Lan, mode: &str, ports: &str) -> Daemon<'a> {
    let mut daemon = Daemon::prepare(&lan.server, &configuration(mode, ports));
    fs::write(daemon.folder().join("friends.txt"), "192.0.2.10\n").expect("the list file");
    daemon.launch();
    daemon
}

fn listen(server: &Netns, port: u16) -> TcpListener {
    server.enter(|| TcpListener::bind(("0.0.0.0", port)).expect("a free port"))
}

fn reaches(client: &Netns, port: u16) -> bool {
    tcp_connects(client, &format!("{}:{port}", Lan::SERVER4), QUICK).is_ok()
}

fn json(daemon: &Daemon<'_>, arguments: &[&str]) -> Value {
    serde_json::from_str(&daemon.ok(&[arguments, &["--output", "json"]].concat())).expect("JSON")
}

fn warnings(daemon: &Daemon<'_>) -> String {
    json(daemon, &["status"])["warnings"].to_string()
}

#[test]
fn a_reload_says_what_is_different_and_is_all_or_nothing() {
    let _leaks = Leaks::watch();
    let lan = Lan::new();
    let (friend, stranger) = (lan.client(10), lan.client(66));
    let _servers = [80, 81].map(|port| listen(&lan.server, port));
    let mut daemon = start(&lan, "enforce", "80");
    assert!(reaches(&friend, 80) && !reaches(&friend, 81) && !reaches(&stranger, 80));

    daemon.configure(&configuration("enforce", "80, 81"));
    fs::write(daemon.folder().join("friends.txt"), "192.0.2.10\n192.0.2.66\n").unwrap();
    let generation = json(&daemon, &["status"])["policy"]["generation"].as_u64().unwrap();
    let other = (generation + 5).to_string();
    let refused = daemon.foobar(&["reload", "--if-generation", &other]);
    assert_eq!(refused.code, Some(1), "{}", refused.text());
    assert!(!reaches(&friend, 81), "somebody else's change was in the way");

    let said = daemon.ok(&["reload", "--if-generation", &generation.to_string()]);
    for line in ["~ web", "friends: 1 added, 0 removed", &format!("generation {}", generation + 1)]
    {
        assert!(said.contains(line), "no {line} in:\n{said}");
    }
    assert!(reaches(&friend, 81) && reaches(&stranger, 80));

    daemon.configure("interfaces = [\"eth0\"]\nmode = \"off\"\n");
    let refused = daemon.foobar(&["reload"]);
    assert_eq!(refused.code, Some(1));
    assert!(refused.stderr.contains("foobar.toml:2"), "{}", refused.stderr);
    assert!(reaches(&friend, 81), "the policy in force stays");
    assert_eq!(daemon.scrape().sum("foobar_config_last_reload_successful", &[]), 0.0);

    daemon.configure(&configuration("enforce", "80").replace("127.0.0.1:9898", "127.0.0.1:9899"));
    let said = daemon.ok(&["reload"]);
    assert!(said.contains("[metrics] listen changes with the next start"), "{said}");
    assert!(!reaches(&friend, 81));
    assert_eq!(daemon.scrape().sum("foobar_config_last_reload_successful", &[]), 1.0);

    daemon.configure(&configuration("enforce", "81"));
    daemon.process().signal(Signal::SIGHUP);
    eventually("SIGHUP to reload", PATIENCE, || {
        if reaches(&friend, 81) { Ok(()) } else { Err("not yet") }
    });
    assert!(!reaches(&friend, 80));
}

#[test]
fn what_is_not_confirmed_is_taken_back() {
    let _leaks = Leaks::watch();
    let lan = Lan::new();
    let friend = lan.client(10);
    let _servers = [80, 81].map(|port| listen(&lan.server, port));
    let daemon = start(&lan, "enforce", "80");
    daemon.configure(&configuration("enforce", "81"));
    let done = json(&daemon, &["reload", "--confirm", "5s"]);
    assert_eq!(done["confirm_within_seconds"], 5, "{done}");
    assert!(reaches(&friend, 81) && !reaches(&friend, 80));
    assert!(warnings(&daemon).contains("foobar confirm"));
    assert_eq!(daemon.scrape().sum("foobar_config_confirmation_pending", &[]), 1.0);
    let another = daemon.foobar(&["reload"]);
    assert_eq!(another.code, Some(1), "it would hide what is on trial: {}", another.text());
    eventually("the change to be taken back", PATIENCE, || {
        if reaches(&friend, 80) { Ok(()) } else { Err("not yet") }
    });
    assert!(!reaches(&friend, 81));
    assert!(warnings(&daemon).contains("not confirmed"), "{}", warnings(&daemon));
    assert_eq!(daemon.scrape().sum("foobar_config_confirmation_pending", &[]), 0.0);
    assert_eq!(daemon.foobar(&["confirm"]).code, Some(1), "there is nothing left to confirm");

    daemon.ok(&["reload", "--confirm", "5s"]);
    daemon.ok(&["confirm"]);
    std::thread::sleep(Duration::from_millis(5300));
    assert!(reaches(&friend, 81), "it was confirmed");
    assert_eq!(warnings(&daemon), "[]");
}

#[test]
fn slow_a_daemon_that_dies_meanwhile_changes_nothing_about_that() {
    let _leaks = Leaks::watch();
    let lan = Lan::new();
    let friend = lan.client(10);
    let _servers = [80, 81].map(|port| listen(&lan.server, port));
    let mut daemon = start(&lan, "enforce", "80");
    daemon.configure(&configuration("enforce", "81"));
    let on_trial = Instant::now();
    daemon.ok(&["reload", "--confirm", "4s"]);
    daemon.process().kill();
    daemon.launch();
    assert!(
        on_trial.elapsed() > Duration::from_secs(4) || reaches(&friend, 81),
        "there is time left"
    );
    eventually("the change to be taken back", PATIENCE, || {
        if reaches(&friend, 80) { Ok(()) } else { Err("not yet") }
    });
    assert!(on_trial.elapsed() > Duration::from_secs(4));

    daemon.ok(&["reload", "--confirm", "1s"]);
    daemon.process().kill();
    std::thread::sleep(Duration::from_millis(1100));
    assert!(reaches(&friend, 81), "nobody is there who could take it back");
    for _ in 0..2 {
        daemon.launch();
        assert!(reaches(&friend, 80) && !reaches(&friend, 81), "the file was not confirmed");
        assert!(warnings(&daemon).contains("not confirmed"), "{}", warnings(&daemon));
        daemon.process().kill();
    }
    daemon.launch();
    daemon.ok(&["reload"]);
    daemon.process().kill();
    daemon.launch();
    assert!(reaches(&friend, 81), "an operator wanted it after all");
}

/// Killed right after the change, in the middle of the window, right before its end and behind it; twice in one window.
#[test]
fn slow_whenever_the_daemon_dies_in_the_window_the_change_is_taken_back() {
    let _leaks = Leaks::watch();
    let lan = Lan::new();
    let friend = lan.client(10);
    let _servers = [80, 81].map(|port| listen(&lan.server, port));
    let mut daemon = start(&lan, "enforce", "80");
    let window = Duration::from_secs(1);
    for kills in [&[0][..], &[300], &[600], &[900], &[990], &[1050], &[0, 500]] {
        daemon.configure(&configuration("enforce", "81"));
        let on_trial = Instant::now();
        daemon.ok(&["reload", "--confirm", "1s"]);
        for &at in kills {
            let at = Duration::from_millis(at);
            std::thread::sleep((on_trial + at).saturating_duration_since(Instant::now()));
            daemon.process().kill();
            daemon.launch();
        }
        eventually("the change to be taken back", PATIENCE, || {
            if reaches(&friend, 80) { Ok(()) } else { Err(daemon.log()) }
        });
        assert!(on_trial.elapsed() > window, "{kills:?}: taken back before its time");
        assert!(!reaches(&friend, 81), "{kills:?}");
        assert!(warnings(&daemon).contains("not confirmed"), "{kills:?}: {}", warnings(&daemon));
        assert_eq!(daemon.foobar(&["confirm"]).code, Some(1), "{kills:?}");
        daemon.configure(&configuration("enforce", "80"));
        daemon.ok(&["reload"]);
    }
}

#[test]
fn a_broken_configuration_does_not_open_the_server() {
    let _leaks = Leaks::watch();
    let lan = Lan::new();
    let (friend, stranger) = (lan.client(10), lan.client(66));
    let _server = listen(&lan.server, 80);
    let mut daemon = start(&lan, "enforce", "80");
    daemon.ok(&["detach"]);
    daemon.process().wait(PATIENCE);
    assert!(reaches(&stranger, 80));
    daemon.configure("[[rules]]\nname = ");
    fs::remove_file(daemon.folder().join("friends.txt")).unwrap();
    daemon.launch();
    assert!(reaches(&friend, 80) && !reaches(&stranger, 80));
    let warnings = warnings(&daemon);
    assert!(warnings.contains("foobar.toml:2"), "{warnings}");
    let page = daemon.scrape();
    assert_eq!(page.sum("foobar_config_last_reload_successful", &[]), 0.0);
    assert_eq!(page.sum("foobar_config_last_reload_success_timestamp_seconds", &[]), 0.0);
}

/// Replies to what the server opened under audit pass under enforce, whichever way the mode changes.
#[test]
fn connections_of_the_server_survive_the_way_to_enforce() {
    let _leaks = Leaks::watch();
    let lan = Lan::new();
    let friend = lan.client(10);
    let elsewhere = friend.enter(|| TcpListener::bind(("0.0.0.0", 5432)).expect("a free port"));
    let stray = listen(&lan.server, 2000);
    for by_reload in [true, false] {
        let mut daemon = start(&lan, "audit", "80");
        let opened = lan.server.enter(|| TcpStream::connect(("192.0.2.10", 5432)).expect("audit"));
        let (mut far, _) = elsewhere.accept().expect("the server's connection");
        let intruder = friend.enter(|| TcpStream::connect((Lan::SERVER4, 2000)).expect("audit"));
        let (mut inside, _) = stray.accept().expect("the intruder");
        daemon.configure(&configuration("enforce", "80"));
        if by_reload {
            daemon.ok(&["reload"]);
        } else {
            daemon.process().kill();
            daemon.launch();
        }
        assert_eq!(json(&daemon, &["status"])["mode"], "enforce");
        far.write_all(b"reply").expect("a reply");
        let mut answer = [0; 5];
        let mut opened = opened;
        opened.set_read_timeout(Some(PATIENCE)).expect("a time limit");
        opened.read_exact(&mut answer).expect("replies pass");
        let mut intruder = intruder;
        intruder.write_all(b"again").expect("into the socket's buffer");
        inside.set_read_timeout(Some(QUICK)).expect("a time limit");
        inside.read_exact(&mut answer).expect_err("what audit let in is not let on");
        assert!(!reaches(&friend, 2000));
        daemon.ok(&["detach"]);
        daemon.process().wait(PATIENCE);
        fs::remove_dir_all(daemon.state_dir()).expect("the state");
    }
}

/// More counters than the table had, and ports that take over the slots of others.
#[test]
fn tables_grow_with_the_configuration_and_slots_start_at_nothing() {
    let _leaks = Leaks::watch();
    let lan = Lan::new();
    let friend = lan.client(10);
    let _servers = [80, 81].map(|port| listen(&lan.server, port));
    let accepted = |daemon: &Daemon<'_>, port: &str| {
        daemon.scrape().find("foobar_connections_accepted_total", &[("port", port)])
    };
    let named = |first: u32, last: u32, extra: &str| {
        let ports: Vec<_> = (first..=last).map(|port| port.to_string()).collect();
        configuration("enforce", "80, 81, \"9000-9100\"")
            .replace("[allow", &format!("ports = [{extra}{}]\n[allow", ports.join(", ")))
    };
    let mut daemon = start(&lan, "enforce", "80");
    assert!((0..3).all(|_| reaches(&friend, 80)));
    assert_eq!(accepted(&daemon, "80"), Some(3.0));
    for round in 0..4 {
        daemon.configure(&named(9000 + 16 * round, 9015 + 16 * round, ""));
        daemon.ok(&["reload"]);
    }
    daemon.configure(&named(9064, 9078, "81, "));
    daemon.ok(&["reload"]);
    let slot = accepted(&daemon, "81");
    assert_eq!(slot, Some(0.0), "whatever its slot counted before was of another port");
    assert!(reaches(&friend, 81));
    assert_eq!(accepted(&daemon, "81"), Some(1.0));

    let passed =
        |daemon: &Daemon<'_>| daemon.scrape().sum("foobar_passed_packets_total", &[("port", "81")]);
    let before = passed(&daemon);
    let rules: String = (0..60)
        .map(|rule| {
            format!("[[rules]]\nname = \"more{rule}\"\nports = [81, \"9064-9078\", 7000]\nprotocols = [\"tcp\", \"udp\"]\nfrom = [\"friends{rule}\"]\n[allowlists.friends{rule}]\nentries = [\"198.51.100.{rule}\"]\n")
        })
        .collect();
    daemon.configure(&(named(9064, 9078, "81, ") + &rules));
    daemon.process().kill();
    daemon.launch();
    assert!(daemon.log().contains("the table of counters grows"), "{}", daemon.log());
    assert!(passed(&daemon) >= before && before > 0.0, "what was counted is carried over");
    assert_eq!(accepted(&daemon, "81"), Some(1.0));
    assert!(reaches(&friend, 81));
}
