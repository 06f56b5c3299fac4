//! A disk that reports errors, and a daemon that is killed in the middle of writing: strace lets the system calls of a running daemon
//! fail, or ends it in them. What was acknowledged is there, what was refused is not, and nothing is torn.

use std::{fs, path::Path, time::Duration};

use foobar_tests::harness::{Daemon, Lan, Leaks, Netns, Process, eventually, tcp_connects};
use nix::unistd::Pid;
use serde_json::Value;

const PATIENCE: Duration = Duration::from_secs(30);
const ADD: [&str; 4] = ["allow", "add", "friends", "192.0.2.66"];

/// Which change meets the fault.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Change {
    /// The first one of a daemon writes a document and begins a journal.
    Document,
    /// A later one is a line in the journal.
    Line,
}

/// A step, as strace selects it: system calls, the file that they must concern, and which of them.
struct Step {
    change: Change,
    calls: &'static str,
    file: Option<&'static str>,
    when: u32,
    /// What the error names.
    words: &'static str,
}

const STEPS: [Step; 8] = [
    step(Change::Document, "openat", Some(".state.json.new"), 1, "cannot create"),
    step(Change::Document, "write", Some(".state.json.new"), 1, "cannot write"),
    step(Change::Document, "fsync", None, 1, "cannot fsync"),
    step(Change::Document, "?rename,?renameat,renameat2", None, 1, "cannot rename to"),
    step(Change::Document, "fsync", None, 2, "cannot fsync"),
    step(Change::Line, "openat", Some("journal-1"), 1, "cannot open"),
    step(Change::Line, "write", Some("journal-1"), 1, "cannot write"),
    step(Change::Line, "fsync", None, 1, "cannot fsync"),
];

const fn step(
    change: Change,
    calls: &'static str,
    file: Option<&'static str>,
    when: u32,
    words: &'static str,
) -> Step {
    Step { change, calls, file, when, words }
}

impl Step {
    /// Puts strace between the daemon and the kernel, and waits until it has all threads.
    fn inject(&self, daemon: &mut Daemon<'_>, fault: &str) -> Process {
        let id = daemon.process().id();
        let mut command = std::process::Command::new("strace");
        command.args(["-f", "-p", &id.to_string(), "-e", &format!("trace={}", self.calls)]);
        command.args(["-e", &format!("inject={}:{fault}:when={}", self.calls, self.when)]);
        if let Some(file) = self.file {
            command.arg("-P").arg(daemon.state_dir().join(file));
        }
        let strace = Process::start(command, &daemon.folder().join("strace.log"));
        eventually("strace to have all threads", PATIENCE, || {
            let threads = fs::read_dir(format!("/proc/{id}/task")).expect("the daemon runs");
            let traced = |task: &Path| {
                let status = fs::read_to_string(task.join("status")).unwrap_or_default();
                !status.lines().any(|line| line == "TracerPid:\t0")
            };
            let mut threads = threads.flatten().map(|task| task.path());
            if threads.all(|task| traced(&task)) { Ok(()) } else { Err(strace.log()) }
        });
        strace
    }
}

fn entries(daemon: &Daemon<'_>) -> Vec<String> {
    let list = daemon.ok(&["allow", "list", "friends", "--output", "json"]);
    let list: Value = serde_json::from_str(&list).expect("JSON");
    let entries = list["entries"].as_array().expect("entries").iter();
    entries.map(|entry| entry["entry"].as_str().expect("a prefix").to_owned()).collect()
}

fn reaches(client: &Netns) -> bool {
    tcp_connects(client, &format!("{}:80", Lan::SERVER4), Duration::from_millis(400)).is_ok()
}

/// A daemon anew, whose next change is of this kind, without the entry that the test adds.
fn prepare(daemon: &mut Daemon<'_>, change: Change, round: usize) {
    daemon.process().kill();
    daemon.launch();
    if entries(daemon).contains(&"192.0.2.66/32".to_owned()) {
        daemon.ok(&["allow", "remove", "friends", "192.0.2.66"]);
        daemon.process().kill();
        daemon.launch();
    }
    let journals = || {
        let files = fs::read_dir(daemon.state_dir()).expect("the state folder").flatten();
        files.filter(|file| file.file_name().to_string_lossy().starts_with("journal-")).count()
    };
    assert_eq!(journals(), 0, "the start writes a document alone");
    if change == Change::Line {
        daemon.ok(&["allow", "add", "friends", &format!("198.51.100.{round}")]);
        assert_eq!(journals(), 1);
    }
}

#[test]
fn slow_a_disk_that_reports_errors_gets_changes_refused() {
    let _leaks = Leaks::watch();
    let lan = Lan::new();
    let stranger = lan.client(66);
    let _server = lan.server.enter(|| std::net::TcpListener::bind(("0.0.0.0", 80)).expect("80"));
    let mut daemon = Daemon::start(&lan.server, Daemon::FRIENDS_TO_WEB);
    for (round, step) in STEPS.iter().enumerate() {
        let at = format!("{:?}: {} {}", step.change, step.calls, step.when);
        prepare(&mut daemon, step.change, round);
        let before = entries(&daemon);
        let mut strace = step.inject(&mut daemon, "error=EIO");
        let refused = daemon.foobar(&ADD);
        assert_eq!(refused.code, Some(1), "{at}: {}\n{}", refused.text(), strace.log());
        assert!(refused.stderr.contains(step.words), "{at}: {}", refused.stderr);
        assert!(refused.stderr.contains("Input/output error"), "{at}: {}", refused.stderr);
        strace.stop();
        assert!(!reaches(&stranger), "{at}: the policy in force has changed");
        assert_eq!(entries(&daemon), before, "{at}");
        assert_eq!(daemon.scrape().sum("foobar_state_last_write_successful", &[]), 0.0, "{at}");

        daemon.process().kill();
        daemon.launch();
        assert_eq!(entries(&daemon), before, "{at}: what was refused is on disk");
        assert!(!reaches(&stranger), "{at}");
        daemon.ok(&ADD);
        assert!(reaches(&stranger), "{at}");
        assert_eq!(daemon.scrape().sum("foobar_state_last_write_successful", &[]), 1.0, "{at}");
    }
}

#[test]
fn slow_a_daemon_killed_while_it_writes_leaves_the_old_or_the_new_state() {
    let _leaks = Leaks::watch();
    let lan = Lan::new();
    let stranger = lan.client(66);
    let _server = lan.server.enter(|| std::net::TcpListener::bind(("0.0.0.0", 80)).expect("80"));
    let mut daemon = Daemon::start(&lan.server, Daemon::FRIENDS_TO_WEB);
    let mut made_it = Vec::new();
    for (round, step) in STEPS.iter().enumerate() {
        let at = format!("{:?}: {} {}", step.change, step.calls, step.when);
        prepare(&mut daemon, step.change, round);
        let before = entries(&daemon);
        let id = Pid::from_raw(daemon.process().id().cast_signed());
        let strace = step.inject(&mut daemon, "signal=SIGKILL");
        let unanswered = daemon.foobar(&ADD);
        assert_eq!(unanswered.code, Some(1), "{at}: {}\n{}", unanswered.text(), strace.log());
        daemon.process().wait(PATIENCE);
        assert!(nix::sys::signal::kill(id, None).is_err(), "{at}: it lives");
        drop(strace);
        assert!(!reaches(&stranger), "{at}: a change that is not on disk is in force");

        daemon.launch();
        let after = entries(&daemon);
        let without: Vec<_> =
            after.iter().filter(|entry| *entry != "192.0.2.66/32").cloned().collect();
        let is_new = after.len() > before.len();
        assert_eq!(without, before, "{at}: {after:?}");
        assert_eq!(reaches(&stranger), is_new, "{at}");
        made_it.push(is_new);
        daemon.ok(&["allow", "add", "friends", "203.0.113.1"]);
        daemon.ok(&["allow", "remove", "friends", "203.0.113.1"]);
    }
    println!("killed in each of {} steps: the change was on disk after {made_it:?}", STEPS.len());
    assert!(!made_it[0] && !made_it[5], "nothing was written yet");
}
