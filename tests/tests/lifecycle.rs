//! What survives what: a killed daemon, a restart, a detach.

use std::{
    fs,
    path::Path,
    sync::atomic::{AtomicBool, AtomicU32, Ordering},
    time::{Duration, Instant},
};

use foobar_tests::harness::{Curl, Daemon, Lan, Leaks, Netns, Nginx, curl, holds_for};
use nix::sys::signal::Signal;
use serde_json::Value;

const PAGE: &str = "http://192.0.2.1/";
const PATIENCE: Duration = Duration::from_secs(10);
const LOST: Duration = Duration::from_millis(400);

fn reaches(client: &Netns) {
    let page = curl(client).within(PATIENCE).get(PAGE);
    assert_eq!(page.map(|page| page.status), Ok(200));
}

fn is_shut_out(client: &Netns) {
    let page = curl(client).within(LOST).get(PAGE);
    assert_eq!(page.map(|page| page.status).map_err(|(code, _)| code), Err(Curl::TIMED_OUT));
}

fn status(daemon: &Daemon<'_>) -> Value {
    serde_json::from_str(&daemon.ok(&["status", "--output", "json"])).expect("JSON")
}

fn accepted(daemon: &Daemon<'_>) -> f64 {
    daemon
        .scrape()
        .sum("foobar_connections_accepted_total", &[("port", "80"), ("transport", "tcp")])
}

#[test]
fn a_killed_daemon_leaves_the_filter_up_and_the_counters_counting() {
    let _leaks = Leaks::watch();
    let lan = Lan::new();
    let (friend, stranger) = (lan.client(10), lan.client(66));
    let _nginx = Nginx::start(&lan.server);
    let mut daemon = Daemon::start(&lan.server, Daemon::FRIENDS_TO_WEB);
    (0..3).for_each(|_| reaches(&friend));
    let before = daemon.scrape();
    daemon.process().kill();
    (0..4).for_each(|_| reaches(&friend));
    is_shut_out(&stranger);
    let restarted = Instant::now();
    daemon.launch();
    assert!(restarted.elapsed() < PATIENCE, "taking over took {:?}", restarted.elapsed());
    (0..2).for_each(|_| reaches(&friend));
    is_shut_out(&stranger);
    assert_eq!(accepted(&daemon), 9.0, "three before, four meanwhile, two after");
    let name = "foobar_passed_packets_total";
    let after = daemon.scrape();
    assert!(after.sum(name, &[("port", "80")]) > before.sum(name, &[("port", "80")]));
    let refused = &[("port", "80"), ("reason", "source_not_allowed")];
    assert!(after.sum("foobar_dropped_packets_total", refused) >= 2.0, "one was shut out twice");
}

/// At no moment of a restart may a stranger get through, or a friend be shut out.
#[test]
fn a_restart_lets_nobody_through_and_shuts_nobody_out() {
    let _leaks = Leaks::watch();
    let lan = Lan::new();
    let (friend, stranger) = (lan.client(10), lan.client(66));
    let _nginx = Nginx::start(&lan.server);
    let mut daemon = Daemon::start(&lan.server, Daemon::FRIENDS_TO_WEB);
    while_clients_try(&friend, &stranger, || {
        for signal in [Signal::SIGKILL, Signal::SIGTERM, Signal::SIGKILL] {
            daemon.process().signal(signal);
            daemon.process().wait(PATIENCE);
            daemon.launch();
        }
    });
    assert_eq!(status(&daemon)["attachments"][0]["attached"], true);
}

/// Does something, while a friend gets in again and again, and a stranger never does.
fn while_clients_try(friend: &Netns, stranger: &Netns, work: impl FnOnce()) {
    let done = AtomicBool::new(false);
    let tries = AtomicU32::new(0);
    let again_and_again = |attempt: &(dyn Fn() + Sync)| {
        while !done.load(Ordering::Relaxed) {
            attempt();
            tries.fetch_add(1, Ordering::Relaxed);
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(|| again_and_again(&|| reaches(friend)));
        scope.spawn(|| again_and_again(&|| is_shut_out(stranger)));
        // Also if it panics: the clients would try for ever.
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
        done.store(true, Ordering::Relaxed);
        if let Err(panic) = outcome {
            std::panic::resume_unwind(panic);
        }
    });
    assert!(tries.load(Ordering::Relaxed) > 2, "hardly anybody tried");
}

#[test]
fn what_was_changed_at_runtime_survives_a_restart() {
    let _leaks = Leaks::watch();
    let lan = Lan::new();
    let (friend, stranger) = (lan.client(10), lan.client(66));
    let _nginx = Nginx::start(&lan.server);
    let mut daemon = Daemon::start(&lan.server, Daemon::FRIENDS_TO_WEB);
    daemon.ok(&["allow", "add", "friends", "192.0.2.66", "--comment", "a stranger no more"]);
    daemon.ok(&["allow", "remove", "friends", "192.0.2.10"]);
    let generation = status(&daemon)["policy"]["generation"].as_u64().expect("a generation");
    for signal in [Signal::SIGTERM, Signal::SIGKILL] {
        daemon.process().signal(signal);
        daemon.process().wait(PATIENCE);
        daemon.launch();
        reaches(&stranger);
        is_shut_out(&friend);
    }
    let list: Value =
        serde_json::from_str(&daemon.ok(&["allow", "list", "friends", "--output", "json"]))
            .expect("JSON");
    assert_eq!(list["entries"].as_array().map(Vec::len), Some(1), "{list}");
    assert_eq!(list["entries"][0]["comment"], "a stranger no more", "{list}");
    assert!(
        status(&daemon)["policy"]["generation"].as_u64() >= Some(generation),
        "generations do not go back"
    );
}

#[test]
fn sigterm_leaves_the_filter_attached() {
    let _leaks = Leaks::watch();
    let lan = Lan::new();
    let stranger = lan.client(66);
    let _nginx = Nginx::start(&lan.server);
    let mut daemon = Daemon::start(&lan.server, Daemon::FRIENDS_TO_WEB);
    daemon.process().signal(Signal::SIGTERM);
    assert!(daemon.process().wait(PATIENCE).success(), "{}", daemon.log());
    is_shut_out(&stranger);
    let gone = daemon.foobar(&["status"]);
    assert_eq!(gone.code, Some(1), "{}", gone.text());
    assert!(gone.stderr.contains("run"), "it says where it looked: {}", gone.stderr);
}

/// Whether anything of the filter is on the interface or in the BPF file system.
fn remains(daemon: &Daemon<'_>, server: &Netns) -> Vec<String> {
    let link = server.ip("-details link show eth0");
    let mut found = Vec::new();
    if link.contains("xdp") {
        found.push(link);
    }
    if daemon.bpf_dir().exists() {
        found.push(format!("{}: {:?}", daemon.bpf_dir().display(), entries(&daemon.bpf_dir())));
    }
    found
}

fn entries(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.path().display().to_string()).collect()
}

#[test]
fn detach_leaves_nothing() {
    let _leaks = Leaks::watch();
    let lan = Lan::new();
    let stranger = lan.client(66);
    let _nginx = Nginx::start(&lan.server);
    for with_daemon in [true, false] {
        let mut daemon = Daemon::start(&lan.server, Daemon::FRIENDS_TO_WEB);
        is_shut_out(&stranger);
        assert!(!remains(&daemon, &lan.server).is_empty(), "or this test sees nothing");
        if !with_daemon {
            daemon.process().kill();
        }
        let said = daemon.ok(&["detach"]);
        assert!(said.contains("eth0"), "{said}");
        assert_eq!(remains(&daemon, &lan.server), Vec::<String>::new());
        reaches(&stranger);
        let again = daemon.foobar(&["detach"]);
        assert!(again.code == Some(0), "detaching twice is no error: {}", again.text());
    }
}

#[test]
fn status_tells_what_runs() {
    let _leaks = Leaks::watch();
    let lan = Lan::new();
    let mut daemon = Daemon::start(&lan.server, Daemon::FRIENDS_TO_WEB);
    let text = daemon.ok(&["status"]);
    for word in ["eth0", "native", "enforce", "friends", "generation"] {
        assert!(text.contains(word), "no {word} in:\n{text}");
    }
    let status = status(&daemon);
    assert_eq!(status["mode"], "enforce");
    assert_eq!(status["daemon"]["pid"], daemon.process().id());
    assert_eq!(status["policy"]["rules"], 1);
    assert_eq!(status["warnings"], serde_json::json!([]));
    let attachments = status["attachments"].as_array().expect("attachments");
    let mode = |program: &str| {
        let attachment = attachments.iter().find(|attachment| attachment["program"] == program);
        attachment.map(|attachment| {
            (
                attachment["interface"].clone(),
                attachment["mode"].clone(),
                attachment["attached"].clone(),
            )
        })
    };
    assert_eq!(mode("ingress"), Some(("eth0".into(), "native".into(), true.into())));
    for program in ["egress", "observe_ingress"] {
        assert_eq!(mode(program), Some(("eth0".into(), "tcx".into(), true.into())), "{program}");
    }
}

/// Changes that follow each other fast, while clients that are always allowed and never allowed try to get in.
#[test]
fn no_change_lets_a_stranger_in_or_shuts_a_friend_out() {
    let _leaks = Leaks::watch();
    let lan = Lan::new();
    let (friend, stranger) = (lan.client(10), lan.client(66));
    let _nginx = Nginx::start(&lan.server);
    let daemon = Daemon::start(&lan.server, Daemon::FRIENDS_TO_WEB);
    while_clients_try(&friend, &stranger, || {
        for round in 0..40 {
            let entry = format!("198.51.{}.0/24", round % 7);
            let action = if round % 14 < 7 { "add" } else { "remove" };
            daemon.ok(&["allow", action, "friends", &entry]);
        }
    });
    holds_for("nobody is let in afterwards", LOST, || {
        match curl(&stranger).within(Duration::from_millis(100)).get(PAGE) {
            Err((Curl::TIMED_OUT, _)) => Ok(()),
            other => Err(other),
        }
    });
}
