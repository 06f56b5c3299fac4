//! Nobody is cut off by mistake: what would end an SSH session is refused unless it is forced.

use std::{
    fs,
    net::{TcpListener, TcpStream},
};

use foobar_tests::harness::{Daemon, Lan, Leaks, Netns, try_run};

const CONFIGURATION: &str = r#"
interfaces = ["eth0"]
[allowlists.admins]
entries = ["192.0.2.10", "192.0.2.11"]
[blocklists.abuse]
entries = []
[[rules]]
name = "ssh"
ports = [22]
from = ["admins"]
"#;

/// An sshd as the kernel sees it, and a session of each of these clients.
fn sessions(lan: &Lan, clients: &[&Netns]) -> (TcpListener, Vec<TcpStream>) {
    let sshd = lan.server.enter(|| TcpListener::bind(("0.0.0.0", 22)).expect("a free port"));
    let open = |client: &&Netns| client.enter(|| TcpStream::connect((Lan::SERVER4, 22)));
    let sessions = clients.iter().map(|client| open(client).expect("nothing filters yet"));
    (sshd, sessions.collect())
}

fn is_refused(daemon: &Daemon<'_>, arguments: &[&str], words: &[&str]) {
    let output = daemon.foobar(arguments);
    assert_eq!(output.code, Some(1), "{arguments:?}: {}", output.text());
    for word in words {
        assert!(output.stderr.contains(word), "{arguments:?}: no {word} in: {}", output.stderr);
    }
}

#[test]
fn changes_that_cut_a_session_need_force() {
    let _leaks = Leaks::watch();
    let lan = Lan::new();
    let (one, other) = (lan.client(10), lan.client(11));
    let _sessions = sessions(&lan, &[&one, &other]);
    let daemon = Daemon::start(&lan.server, CONFIGURATION);
    is_refused(
        &daemon,
        &["allow", "remove", "admins", "192.0.2.10"],
        &["192.0.2.10", "port 22", "foobar allow add admins 192.0.2.10", "--force"],
    );
    is_refused(&daemon, &["allow", "replace", "admins", "192.0.2.11"], &["192.0.2.10"]);
    is_refused(
        &daemon,
        &["block", "add", "abuse", "192.0.2.0/24"],
        &["192.0.2.10 and 1 more", "abuse", "192.0.2.0/24"],
    );
    daemon.configure(&CONFIGURATION.replace("ports = [22]", "ports = [2222]"));
    is_refused(&daemon, &["reload"], &["no rule names port 22", "ports = [22]"]);
    daemon.ok(&["block", "add", "abuse", "192.0.2.66"]);
    daemon.ok(&["allow", "add", "admins", "192.0.2.12"]);
    daemon.ok(&["allow", "remove", "admins", "192.0.2.12"]);

    // Whoever changes something from a session of his own is kept from sawing that off, and nothing else.
    let mut command = daemon.command(&["allow", "remove", "admins", "192.0.2.11"]);
    let output = try_run(command.env("SSH_CONNECTION", "192.0.2.10 40000 192.0.2.1 22"));
    assert_eq!(output.code, Some(0), "{}", output.text());
    let mut command = daemon.command(&["block", "add", "abuse", "192.0.2.10"]);
    let output = try_run(command.env("SSH_CONNECTION", "192.0.2.10 40000 192.0.2.1 22"));
    assert_eq!(output.code, Some(1), "{}", output.text());

    daemon.ok(&["allow", "remove", "admins", "192.0.2.10", "--force"]);
    daemon.ok(&["reload", "--force"]);
}

#[test]
fn the_first_start_in_enforce_leaves_open_sessions_alone() {
    let _leaks = Leaks::watch();
    let lan = Lan::new();
    let stranger = lan.client(66);
    let _sessions = sessions(&lan, &[&stranger]);
    let mut daemon = Daemon::prepare(&lan.server, CONFIGURATION);
    let refused = daemon.run_to_end();
    assert_eq!(refused.code, Some(1), "{}", refused.text());
    assert!(
        refused.stderr.contains("192.0.2.66") && refused.stderr.contains("--force"),
        "{}",
        refused.stderr
    );
    assert!(!lan.server.ip("-details link show eth0").contains("xdp"), "nothing was attached");
    assert!(!fs::exists(daemon.bpf_dir()).unwrap(), "and nothing is left");

    daemon.configure(&format!("mode = \"audit\"\n{CONFIGURATION}"));
    daemon.launch();
    daemon.configure(CONFIGURATION);
    is_refused(&daemon, &["reload", "--confirm", "60s"], &["192.0.2.66"]);
    daemon.ok(&["reload", "--force"]);
}
