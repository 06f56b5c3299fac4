//! Wrong input: each gets a clear error that says what, where and what to do, the right exit code, and changes nothing.

use std::{fs, os::unix::fs::PermissionsExt, process::Command, time::Duration};

use foobar_tests::harness::{
    Curl, Daemon, Lan, Leaks, Netns, Nginx, Output, curl, foobar_binary, try_run,
};
use serde_json::Value;

const GOOD: &str = Daemon::FRIENDS_TO_WEB;

/// A configuration, the line that is at fault, and words that the message must have.
struct Wrong {
    text: &'static str,
    line: u32,
    words: &'static [&'static str],
}

const fn wrong(text: &'static str, line: u32, words: &'static [&'static str]) -> Wrong {
    Wrong { text, line, words }
}

const CONFIGURATIONS: [Wrong; 19] = [
    wrong("interfaces = [\"eth0\"", 1, &[]),
    wrong("mode = enforce", 1, &[]),
    wrong("mode = \"off\"", 1, &["off", "audit", "enforce"]),
    wrong("interface = [\"eth0\"]", 1, &["interface"]),
    wrong("[[rules]]\nname = \"web\"\nports = [80]\nfrom = \"any\"\nform = 1", 5, &["form"]),
    wrong("[[rules]]\nname = \"web\"\nports = [0]\nfrom = \"any\"", 3, &["0"]),
    wrong("[[rules]]\nname = \"web\"\nports = [65536]\nfrom = \"any\"", 3, &["65536"]),
    wrong("[[rules]]\nname = \"web\"\nports = [\"90-80\"]\nfrom = \"any\"", 3, &["90-80"]),
    wrong("[[rules]]\nname = \"web\"\nports = [\"http\"]\nfrom = \"any\"", 3, &["http"]),
    wrong(
        "[[rules]]\nname = \"web\"\nports = [80]\nprotocols = [\"tpc\"]\nfrom = \"any\"",
        4,
        &["tpc"],
    ),
    wrong(
        "[[rules]]\nname = \"web\"\nports = [80]\nfrom = [\"freinds\"]\n[allowlists.friends]",
        4,
        &["freinds", "friends"],
    ),
    wrong(
        "[[rules]]\nname = \"web\"\nports = [80]\nfrom = [\"abuse\"]\n[blocklists.abuse]",
        4,
        &["abuse"],
    ),
    wrong("[allowlists.a]\nentries = [\"10.0.0.0/33\"]", 2, &["10.0.0.0/33"]),
    wrong("[allowlists.a]\nentries = [\n\"10.0.0.1\",\n\"10.0.0.256\"]", 4, &["10.0.0.256"]),
    wrong("[allowlists.a]\nentries = [\"2001:db8::/129\"]", 2, &["2001:db8::/129"]),
    wrong("[allowlists.a]\nentries = [\"::ffff:10.0.0.1\"]", 2, &["::ffff:10.0.0.1"]),
    wrong("[blocklists.a]\nfile = \"no-such-file.txt\"", 2, &["no-such-file.txt"]),
    wrong("[metrics]\nlisten = \"9898\"", 2, &["9898"]),
    wrong(
        "[[rules]]\nname = \"a\"\nports = [80]\nfrom = \"any\"\n[[rules]]\nname = \"a\"\nports = [81]\nfrom = \"any\"",
        6,
        &["a"],
    ),
];

fn check(text: &str) -> (Output, String) {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("foobar.toml");
    fs::write(&file, text).expect("the configuration");
    let output = try_run(Command::new(foobar_binary()).args(["check", "--config"]).arg(&file));
    (output, file.display().to_string())
}

#[test]
fn check_says_what_is_wrong_and_where() {
    for Wrong { text, line, words } in CONFIGURATIONS {
        let (output, file) = check(text);
        let said = output.text();
        assert_eq!(output.code, Some(1), "{text}\n{said}");
        let place = format!("{file}:{line}:");
        assert!(
            said.lines().any(|row| row.starts_with(&place) && row.contains("error:")),
            "no {place} in:\n{said}\n{text}"
        );
        for word in words {
            assert!(said.contains(word), "no `{word}` in:\n{said}");
        }
    }
}

#[test]
fn check_says_all_that_is_wrong() {
    let text = "mode = \"off\"\n[allowlists.a]\nentries = [\"10.0.0.256\", \"x\"]\n[[rules]]\nname = \"web\"\nports = [0]\nfrom = [\"b\"]\n";
    let (output, file) = check(text);
    for line in [1, 3, 6, 7] {
        assert!(
            output.text().contains(&format!("{file}:{line}:")),
            "nothing about line {line}:\n{}",
            output.text()
        );
    }
}

#[test]
fn check_accepts_host_bits_and_says_what_they_become() {
    let (output, _) = check(
        "[allowlists.a]\nentries = [\"10.1.2.3/8\"]\n[[rules]]\nname = \"web\"\nports = [80]\nfrom = [\"a\"]",
    );
    assert_eq!(output.code, Some(0), "{}", output.text());
    assert!(output.text().contains("10.0.0.0/8"), "{}", output.text());
}

#[test]
fn a_wrong_line_of_a_list_file_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(
        folder.path().join("abuse.txt"),
        "# scanners\n203.0.113.0/24\n\n203.0.113.300 # oops\n",
    )
    .expect("a list");
    let file = folder.path().join("foobar.toml");
    fs::write(&file, "[blocklists.abuse]\nfile = \"abuse.txt\"\n").expect("the configuration");
    let output = try_run(Command::new(foobar_binary()).args(["check", "--config"]).arg(&file));
    assert_eq!(output.code, Some(1));
    let place = format!("{}:4:", folder.path().join("abuse.txt").display());
    assert!(output.text().contains(&place), "no {place} in:\n{}", output.text());
}

#[test]
fn wrong_use_has_its_own_exit_code() {
    for arguments in [
        &["no-such-command"][..],
        &["check"],
        &["run", "--mode", "off", "--config", "x"],
        &["allow", "add"],
        &[],
    ] {
        let output = try_run(Command::new(foobar_binary()).args(arguments));
        assert_eq!(output.code, Some(2), "{arguments:?}: {}", output.text());
        assert!(output.stderr.contains("--help"), "{arguments:?}: {}", output.text());
    }
    for arguments in [&["--help"][..], &["--version"], &["allow", "add", "--help"]] {
        assert_eq!(
            try_run(Command::new(foobar_binary()).args(arguments)).code,
            Some(0),
            "{arguments:?}"
        );
    }
}

/// The daemon must not start, says these words, and attaches nothing.
fn must_not_start(server: &Netns, daemon: &Daemon<'_>, words: &[&str]) {
    let output = daemon.run_to_end();
    assert_eq!(output.code, Some(1), "{}", output.text());
    for word in words {
        assert!(output.stderr.contains(word), "no `{word}` in:\n{}", output.text());
    }
    assert!(!server.ip("-details link show eth0").contains("xdp"), "something is attached");
}

#[test]
fn the_daemon_does_not_start_on_what_it_cannot_do() {
    let _leaks = Leaks::watch();
    let lan = Lan::new();
    let daemon = Daemon::prepare(&lan.server, &GOOD.replace("eth0", "eth7"));
    must_not_start(&lan.server, &daemon, &["eth7"]);
    daemon.configure(&GOOD.replace("ports = [80]", "ports = [0]"));
    must_not_start(&lan.server, &daemon, &["foobar.toml:9:"]);
    fs::remove_file(daemon.configuration()).expect("the configuration was there");
    must_not_start(&lan.server, &daemon, &["foobar.toml"]);
    daemon.configure(GOOD);
    let taken =
        lan.server.enter(|| std::net::TcpListener::bind(Daemon::METRICS)).expect("a free port");
    must_not_start(&lan.server, &daemon, &[Daemon::METRICS]);
    drop(taken);
}

/// A server must not stay without filter because of a file that can be done without: the daemon says loudly what is missing, and
/// keeps the file.
#[test]
fn a_state_file_that_does_not_read_is_kept_aside_and_told_of() {
    let _leaks = Leaks::watch();
    let lan = Lan::new();
    for text in ["{\"version\": 999}", "not JSON", ""] {
        let mut daemon = Daemon::prepare(&lan.server, GOOD);
        fs::create_dir_all(daemon.state_dir()).expect("the state folder");
        fs::set_permissions(daemon.state_dir(), fs::Permissions::from_mode(0o700))
            .expect("its mode");
        fs::write(daemon.state_dir().join("state.json"), text).expect("a state file");
        daemon.launch();
        let log = daemon.log();
        assert!(
            log.lines().any(|line| line.contains("WARN") && line.contains("state.json")),
            "{log}"
        );
        let status: Value =
            serde_json::from_str(&daemon.ok(&["status", "--output", "json"])).expect("JSON");
        let warnings = status["warnings"].to_string();
        assert!(warnings.contains("state.json"), "status says nothing of it: {warnings}");
        let kept = fs::read_dir(daemon.state_dir()).expect("the state folder").flatten();
        let kept = kept
            .filter(|entry| entry.file_name() != "state.json")
            .filter_map(|entry| fs::read_to_string(entry.path()).ok());
        assert!(kept.into_iter().any(|kept| kept == text), "`{text}` is lost");
    }
}

#[test]
fn another_daemon_on_the_interface_is_not_thrown_out() {
    let _leaks = Leaks::watch();
    let lan = Lan::new();
    let stranger = lan.client(66);
    let _nginx = Nginx::start(&lan.server);
    let _first = Daemon::start(&lan.server, GOOD);
    let second = Daemon::prepare(&lan.server, &GOOD.replace("9898", "9899"));
    let output = second.run_to_end();
    assert_eq!(output.code, Some(1), "{}", output.text());
    assert!(output.stderr.contains("eth0"), "{}", output.text());
    let page = curl(&stranger).within(Duration::from_millis(400)).get("http://192.0.2.1/");
    assert_eq!(page.expect_err("the first daemon's policy holds").0, Curl::TIMED_OUT);
}

#[test]
fn a_second_daemon_of_the_same_folders_does_not_start() {
    let _leaks = Leaks::watch();
    let lan = Lan::new();
    let first = Daemon::start(&lan.server, GOOD);
    let output = first.run_to_end();
    assert_eq!(output.code, Some(1), "{}", output.text());
    first.ok(&["status"]);
}

#[test]
fn a_foreign_pin_is_refused() {
    let _leaks = Leaks::watch();
    let lan = Lan::new();
    let mut daemon = Daemon::start(&lan.server, GOOD);
    daemon.process().stop();
    let maps = fs::read_dir(daemon.bpf_dir())
        .expect("pins")
        .flatten()
        .map(|entry| entry.path().join("maps"));
    let maps = maps.into_iter().find(|folder| folder.is_dir()).expect("pinned maps");
    // A map of another key in the place of the flows.
    fs::remove_file(maps.join("FLOWS6")).expect("the IPv6 flows");
    fs::rename(maps.join("FLOWS4"), maps.join("FLOWS6")).expect("the IPv4 flows");
    let output = daemon.run_to_end();
    assert_eq!(output.code, Some(1), "{}", output.text());
    assert!(output.stderr.contains("FLOWS6"), "{}", output.text());
    assert!(lan.server.ip("-details link show eth0").contains("xdp"), "what ran goes on");
}

#[test]
fn without_root_it_says_so() {
    let _leaks = Leaks::watch();
    let lan = Lan::new();
    let daemon = Daemon::prepare(&lan.server, GOOD);
    // A copy, where nobody may read it.
    let binary = daemon.folder().join("foobar");
    fs::copy(foobar_binary(), &binary).expect("a copy of the binary");
    for (path, mode) in [(daemon.folder(), 0o755), (&binary, 0o755)] {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("its mode");
    }
    let mut command = lan.server.command("setpriv");
    command
        .args(["--reuid=65534", "--regid=65534", "--clear-groups", "--bounding-set=-all"])
        .arg(&binary);
    command.args(["run", "--config"]).arg(daemon.configuration());
    for (option, folder) in [
        ("--runtime-dir", daemon.runtime_dir()),
        ("--state-dir", daemon.state_dir()),
        ("--bpf-dir", daemon.bpf_dir()),
    ] {
        command.arg(option).arg(folder);
    }
    let output = try_run(&mut command);
    assert_eq!(output.code, Some(1), "{}", output.text());
    assert!(output.stderr.contains("root"), "{}", output.text());
}

#[test]
fn wrong_commands_change_nothing() {
    let _leaks = Leaks::watch();
    let lan = Lan::new();
    let daemon = Daemon::start(&lan.server, GOOD);
    let generation = || {
        let status: Value =
            serde_json::from_str(&daemon.ok(&["status", "--output", "json"])).expect("JSON");
        status["policy"]["generation"].as_u64().expect("a generation")
    };
    let before = generation();
    for (arguments, code, words) in [
        (&["allow", "add", "freinds", "192.0.2.11"][..], 1, &["freinds", "friends"][..]),
        (&["block", "add", "friends", "192.0.2.11"], 1, &["friends"]),
        (&["allow", "remove", "friends", "192.0.2.11"], 1, &["192.0.2.11"]),
        (&["allow", "add", "friends", "192.0.2.0/33"], 2, &["192.0.2.0/33"]),
        (&["allow", "add", "friends", "::ffff:192.0.2.11"], 2, &["::ffff:192.0.2.11"]),
        (&["allow", "add", "friends", "192.0.2.11", "--ttl", "soon"], 2, &["soon"]),
        (&["allow", "add", "friends", "--file", "/no/such/file"], 1, &["/no/such/file"]),
        (&["allow", "add", "friends", "192.0.2.11", "--if-generation", "0"], 1, &["generation"]),
    ] {
        let output = daemon.foobar(arguments);
        assert_eq!(output.code, Some(code), "{arguments:?}: {}", output.text());
        for word in words {
            assert!(
                output.stderr.contains(word),
                "{arguments:?}: no `{word}` in:\n{}",
                output.stderr
            );
        }
    }
    assert_eq!(generation(), before, "the policy is the same");
    let output = daemon.foobar(&["allow", "add", "freinds", "192.0.2.11", "--output", "json"]);
    let error: Value = serde_json::from_str(&output.stderr)
        .unwrap_or_else(|error| panic!("{error}: {}", output.stderr));
    assert!(error["error"].is_string() && error["help"].is_string(), "{error}");
}

#[test]
fn the_control_socket_is_for_root_alone() {
    let _leaks = Leaks::watch();
    let lan = Lan::new();
    let daemon = Daemon::start(&lan.server, GOOD);
    let socket = daemon.runtime_dir().join("control.sock");
    let mode = fs::metadata(&socket).expect("the socket").permissions().mode() & 0o777;
    assert_eq!(mode, 0o600, "mode {mode:o}");
    // curl works as well as the command line.
    let mut command = Command::new("curl");
    command.args(["--silent", "--show-error", "--max-time", "5", "--unix-socket"]).arg(&socket);
    let said = try_run(command.arg("http://localhost/v1/status"));
    let status: Value = serde_json::from_str(&said.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", said.text()));
    assert_eq!(status["mode"], "enforce");
    for (folder, name) in [(daemon.state_dir(), "state"), (daemon.bpf_dir(), "pins")] {
        let mode = fs::metadata(&folder).expect(name).permissions().mode() & 0o777;
        assert_eq!(mode, 0o700, "{name}: mode {mode:o}");
    }
}
