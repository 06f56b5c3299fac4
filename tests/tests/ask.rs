//! `foobar explain` and `foobar watch`: the running filter is asked what it does, and why.

use std::{fs, time::Duration};

use foobar_tests::harness::{
    Daemon, Lan, Leaks, Process, eventually, holds_for, python, run, tcp_connects,
};
use serde_json::Value;

const CONFIGURATION: &str = r#"
interfaces = ["eth0"]
[metrics]
listen = "127.0.0.1:9898"
[allowlists.friends]
entries = ["192.0.2.0/28"]
[blocklists.abuse]
[[rules]]
name = "web"
ports = [80]
from = "any"
[[rules]]
name = "ssh"
ports = [22]
from = ["friends"]
[log]
drops = "off"
"#;

const STRANGER: u8 = 66;
/// Long enough for an answer, also on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);
/// A SYN that is dropped is not waited for.
const LOST: Duration = Duration::from_millis(50);

/// Sends UDP datagrams: destination, port, how many.
const UDP: &str = "
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for _ in range(int(sys.argv[3])):
    s.sendto(b'x', (sys.argv[1], int(sys.argv[2])))
";

fn explain(daemon: &Daemon<'_>, arguments: &[&str]) -> Value {
    let answer = daemon.ok(&[&["explain", "--output", "json"], arguments].concat());
    serde_json::from_str(&answer).expect("an answer")
}

/// The texts of these fields, `-` where there is none.
fn facts<'v, const N: usize>(answer: &'v Value, keys: [&str; N]) -> [&'v str; N] {
    keys.map(|key| answer[key].as_str().unwrap_or("-"))
}

#[test]
fn the_running_filter_explains_its_verdicts() {
    let _leaks = Leaks::watch();
    let lan = Lan::new();
    let daemon = Daemon::start(&lan.server, CONFIGURATION);
    let keys = ["verdict", "reason", "rule", "list", "entry"];
    let cases: [(&[&str], [&str; 5]); 6] = [
        (&["--from", "5.6.7.8", "--port", "80"], ["pass", "rule", "web", "-", "-"]),
        (
            &["--from", "192.0.2.9", "--port", "22"],
            ["pass", "rule", "ssh", "friends", "192.0.2.0/28"],
        ),
        (&["--from", "5.6.7.8", "--port", "22"], ["drop", "source_not_allowed", "-", "-", "-"]),
        (
            &["--from", "2001:db8::66", "--port", "443", "--protocol", "udp"],
            ["drop", "no_rule", "-", "-", "-"],
        ),
        (&["--from", "5.6.7.8", "--protocol", "icmp"], ["pass", "echo_request", "-", "-", "-"]),
        (&["--from", "5.6.7.8", "--protocol", "gre"], ["drop", "protocol", "-", "-", "-"]),
    ];
    for (arguments, expected) in cases {
        let answer = explain(&daemon, arguments);
        assert_eq!(facts(&answer, keys), expected, "{arguments:?}");
        assert_eq!(answer["mode"], "enforce");
    }
    let before = explain(&daemon, &["--from", "192.0.2.9", "--port", "22"]);
    daemon.ok(&["block", "add", "abuse", "192.0.2.9", "--comment", "scans"]);
    let after = explain(&daemon, &["--from", "192.0.2.9", "--port", "22"]);
    assert_eq!(facts(&after, keys), ["drop", "blocklist", "-", "abuse", "192.0.2.9/32"]);
    assert_eq!(
        (&after["source_in"][0]["origin"], &after["source_in"][0]["comment"]),
        (&"runtime".into(), &"scans".into())
    );
    assert!(after["generation"].as_u64() > before["generation"].as_u64(), "{before} {after}");
    let text = daemon.ok(&["explain", "--from", "192.0.2.9", "--port", "22"]);
    assert!(text.starts_with("drop: The source is on a blocklist.\n"), "{text}");

    // Nothing was counted: the packets were no packets.
    let page = daemon.scrape();
    assert_eq!(page.sum("foobar_dropped_packets_total", &[("reason", "blocklist")]), 0.0);
    assert_eq!(page.sum("foobar_connection_attempts_total", &[("port", "80")]), 0.0);
}

#[test]
fn what_cannot_be_asked_is_refused() {
    let _leaks = Leaks::watch();
    let lan = Lan::new();
    let mut daemon = Daemon::start(&lan.server, CONFIGURATION);
    for (arguments, code, words) in [
        (&["explain", "--from", "5.6.7.8"][..], 2, "--port"),
        (&["explain", "--from", "5.6.7.8", "--port", "1", "--protocol", "tpc"], 2, "tpc"),
        (
            &["explain", "--from", "5.6.7.8", "--port", "1", "--to", "::1"],
            1,
            "no packet goes from 5.6.7.8 to ::1",
        ),
        (&["explain", "--from", "5.6.7.8", "--protocol", "icmpv6"], 1, "use --protocol icmp"),
        (&["watch", "--port", "0"], 2, "--port"),
    ] {
        let output = daemon.foobar(arguments);
        assert_eq!(output.code, Some(code), "{arguments:?}: {}", output.text());
        assert!(output.stderr.contains(words), "{arguments:?}: {}", output.stderr);
    }

    daemon.process().signal(nix::sys::signal::Signal::SIGTERM);
    daemon.process().wait(PATIENCE);
    for command in [&["explain", "--from", "5.6.7.8", "--port", "80"][..], &["watch"]] {
        let output = daemon.foobar(command);
        assert_eq!(output.code, Some(1));
        assert!(output.stderr.contains("foobar run --config"), "{}", output.stderr);
    }
    // A configuration can be asked without a daemon.
    let configuration = daemon.configuration().display().to_string();
    let output = daemon.foobar(&[
        "explain",
        "--from",
        "5.6.7.8",
        "--port",
        "80",
        "--config",
        &configuration,
        "--output",
        "json",
    ]);
    assert_eq!(output.code, Some(0), "{}", output.text());
    let answer: Value = serde_json::from_str(&output.stdout).expect("an answer");
    assert_eq!(facts(&answer, ["verdict", "rule"]), ["pass", "web"]);
    assert!(
        answer["generation"].is_null() && output.stderr.contains("a fresh instance under"),
        "{}",
        output.text()
    );
}

/// `foobar watch` in the background.
struct Watch {
    process: Process,
}

impl Watch {
    fn start(daemon: &Daemon<'_>, name: &str, arguments: &[&str]) -> Self {
        let command = daemon.command(&[&["watch", "--output", "json"], arguments].concat());
        Watch { process: Process::start(command, &daemon.folder().join(name)) }
    }

    fn lines(&self) -> Vec<Value> {
        let log = self.process.log();
        let whole = log.rsplit_once('\n').map_or("", |(whole, _)| whole);
        whole
            .lines()
            .map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}")))
            .collect()
    }

    fn events(&self) -> Vec<Value> {
        self.lines().into_iter().filter(|line| line["suppressed"].is_null()).collect()
    }

    fn suppressed(&self) -> u64 {
        self.lines().iter().filter_map(|line| line["suppressed"].as_u64()).sum()
    }
}

/// The word `sampled` in the root of the instance in force: what each packet reads to know whether somebody watches.
fn sampled(daemon: &Daemon<'_>) -> u64 {
    let version = fs::read_dir(daemon.bpf_dir())
        .expect("the folder of pins")
        .flatten()
        .next()
        .expect("a version");
    let instances = fs::read_dir(version.path().join("instances")).expect("instances").flatten();
    let root =
        instances.map(|instance| instance.path().join("maps/ROOT")).next().expect("an instance");
    let dump = run("bpftool", &["--json", "map", "dump", "pinned", &root.display().to_string()]);
    let dump: Value = serde_json::from_str(&dump).expect("a dump");
    let bytes = dump[0]["value"].as_array().expect("bytes");
    let byte = |value: &Value| {
        u64::from_str_radix(value.as_str().expect("hex").trim_start_matches("0x"), 16).expect("hex")
    };
    bytes[4..8].iter().rev().fold(0, |word, value| word << 8 | byte(value))
}

#[test]
fn dropped_packets_are_shown_as_they_are_dropped() {
    let _leaks = Leaks::watch();
    let lan = Lan::new();
    let stranger = lan.client(STRANGER);
    let daemon = Daemon::start(&lan.server, CONFIGURATION);
    assert_eq!(sampled(&daemon), 0, "nobody watches");
    let mut dropped = Watch::start(&daemon, "dropped", &["--dropped", "--count", "1"]);
    let of_port = Watch::start(&daemon, "port", &["--port", "22"]);
    let all = Watch::start(&daemon, "all", &[]);
    eventually("the watchers to be heard", PATIENCE, || {
        if sampled(&daemon) == 3 { Ok(()) } else { Err("drops and passes are not sampled") }
    });
    // One watcher alone has both sampled, so that the others may be heard later: whoever was not is told of the next ones.
    eventually("all three to be told", PATIENCE, || {
        tcp_connects(&stranger, "192.0.2.1:22", LOST).expect_err("22 is for friends");
        tcp_connects(&stranger, "192.0.2.1:80", LOST).expect_err("nobody listens");
        let is_told = |event: &Value| event["verdict"] == "pass" && event["destination_port"] == 80;
        let ended = dropped.process.ended();
        match ended.is_some() && all.events().iter().any(is_told) && !of_port.events().is_empty() {
            true => Ok(()),
            false => Err((ended, all.lines())),
        }
    });
    assert!(dropped.process.wait(PATIENCE).success());
    let event = dropped.events().remove(0);
    let keys = [
        "interface",
        "direction",
        "verdict",
        "reason",
        "protocol",
        "source",
        "destination",
        "tcp_flags",
    ];
    let expected =
        ["eth0", "ingress", "drop", "source_not_allowed", "tcp", "192.0.2.66", "192.0.2.1", "SYN"];
    assert_eq!(facts(&event, keys), expected, "{event}");
    assert_eq!(event["destination_port"], 22);
    assert!(of_port.events().iter().all(|event| event["destination_port"] == 22));

    // Who was killed does not watch, and what nobody watches is not sampled.
    drop((of_port, all));
    eventually("nothing to be sampled", PATIENCE, || match sampled(&daemon) {
        0 => Ok(()),
        sampled => Err(sampled),
    });
}

/// A flood of packets is no flood of events, and what is not shown is counted.
#[test]
fn a_flood_is_sampled_and_the_rest_is_counted() {
    const FLOOD: usize = 20_000;
    let _leaks = Leaks::watch();
    let lan = Lan::new();
    let stranger = lan.client(STRANGER);
    let daemon = Daemon::start(&lan.server, CONFIGURATION);
    let watch = Watch::start(&daemon, "watch", &["--dropped"]);
    eventually("the watcher to be heard", PATIENCE, || {
        if sampled(&daemon) == 1 { Ok(()) } else { Err(()) }
    });
    let sent = python(&stranger, UDP, &["192.0.2.1", "9999", &FLOOD.to_string()], PATIENCE);
    assert_eq!(sent.code, Some(0), "{}", sent.text());
    let dropped =
        || daemon.scrape().sum("foobar_dropped_packets_total", &[("transport", "udp")]) as usize;
    eventually("all to be told or counted", PATIENCE, || {
        let (told, suppressed, dropped) =
            (watch.events().len(), watch.suppressed() as usize, dropped());
        let is_complete = dropped >= FLOOD / 2 && told + suppressed >= dropped;
        if is_complete { Ok(()) } else { Err((told, suppressed, dropped)) }
    });
    let (told, dropped) = (watch.events().len(), dropped());
    assert!(told < dropped / 2, "{told} of {dropped} were told");
    holds_for("nothing to be counted twice", Duration::from_secs(3), || {
        let all = watch.events().len() + watch.suppressed() as usize;
        if all <= dropped + 10 { Ok(()) } else { Err(all) }
    });
}

/// The log and a watcher have the same events, and both go on when the policy is loaded anew and when a daemon takes over.
#[test]
fn sampling_outlives_another_policy() {
    let _leaks = Leaks::watch();
    let lan = Lan::new();
    let stranger = lan.client(STRANGER);
    let logged = CONFIGURATION.replace("drops = \"off\"", "drops = \"10/s\"");
    let daemon = Daemon::start(&lan.server, &logged);
    let watch = Watch::start(&daemon, "watch", &["--dropped"]);
    eventually("the watcher to be heard", PATIENCE, || {
        if sampled(&daemon) == 1 { Ok(()) } else { Err(()) }
    });
    // The first flips, the second needs another instance of the programs: it has IPv6 sources now.
    for entry in ["203.0.113.0/24", "2001:db8:bad::/48"] {
        daemon.ok(&["block", "add", "abuse", entry]);
        assert_eq!(sampled(&daemon), 1, "{entry}");
        let before = watch.events().len();
        eventually("a drop to be told", PATIENCE, || {
            tcp_connects(&stranger, "192.0.2.1:22", LOST).expect_err("22 is for friends");
            if watch.events().len() > before { Ok(()) } else { Err(watch.lines()) }
        });
    }
    eventually("a drop to be logged", PATIENCE, || {
        let log = daemon.log();
        if log.contains("dropped") && log.contains("source_not_allowed") {
            Ok(())
        } else {
            Err(log)
        }
    });
}

/// A watcher does not keep the daemon from stopping.
#[test]
fn the_daemon_stops_although_somebody_watches() {
    let _leaks = Leaks::watch();
    let lan = Lan::new();
    let mut daemon = Daemon::start(&lan.server, CONFIGURATION);
    let mut watch = Watch::start(&daemon, "watch", &["--count", "1000000"]);
    eventually("the watcher to be heard", PATIENCE, || {
        if sampled(&daemon) == 3 { Ok(()) } else { Err(()) }
    });
    daemon.process().signal(nix::sys::signal::Signal::SIGTERM);
    assert!(daemon.process().wait(Duration::from_secs(10)).success(), "{}", daemon.log());
    assert_eq!(watch.process.wait(PATIENCE).code(), Some(1));
    assert!(watch.process.log().contains("the daemon stopped"), "{}", watch.process.log());
    assert_eq!(sampled(&daemon), 0, "nobody reads what the filter would tell");
}
