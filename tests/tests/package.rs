//! The Debian package in a Debian of its own: installed, upgraded while the filter runs, removed, purged.

use std::{fs, os::unix::fs::PermissionsExt as _, path::PathBuf, process::Command, time::Duration};

use foobar_tests::harness::{
    Curl, Debian, Lan, Leaks, Netns, Nginx, Process, curl, eventually, foobar_binary, try_run,
};

const CONFIGURATION: &str = r#"
interfaces = ["eth0"]
mode = "enforce"
[allowlists.friends]
entries = ["192.0.2.10"]
[[rules]]
name = "web"
ports = [80]
from = ["friends"]
"#;

const PAGE: &str = "http://192.0.2.1/";
const PATIENCE: Duration = Duration::from_secs(30);

/// Makes the package of the binary under test, under some version, and puts it into the Debian.
fn package(debian: &Debian, version: &str) -> String {
    let binary = foobar_binary();
    let mut xtask = Command::new(binary.with_file_name("xtask"));
    xtask.args(["dist", "--fast", "--version", version, "--binary"]).arg(&binary);
    xtask.arg("--output").arg(debian.root());
    let output = try_run(&mut xtask);
    assert_eq!(output.code, Some(0), "cargo xtask dist: {}", output.text());
    let path = PathBuf::from(output.stdout.trim());
    let inside = path.strip_prefix(debian.root()).expect("it was put there");
    format!("/{}", inside.display())
}

fn start(debian: &Debian) -> Process {
    let mut daemon = debian.start(&["foobar", "run", "--config", "/etc/foobar/foobar.toml"]);
    eventually("the daemon to answer", PATIENCE, || {
        assert!(daemon.ended().is_none(), "the daemon ended: {}", daemon.log());
        let status = debian.run(&["foobar", "status"]);
        if status.code == Some(0) { Ok(()) } else { Err(status) }
    });
    daemon
}

fn reaches(client: &Netns) -> bool {
    match curl(client).within(Duration::from_millis(500)).get(PAGE) {
        Ok(page) => page.status == 200,
        Err((Curl::TIMED_OUT, _)) => false,
        Err(other) => panic!("{other:?}"),
    }
}

fn is_filtered(server: &Netns) -> bool {
    server.ip("-details link show eth0").contains("xdp")
}

#[test]
fn slow_a_package_is_installed_upgraded_removed_and_purged() {
    let _leaks = Leaks::watch();
    let lan = Lan::new();
    let (friend, stranger) = (lan.client(10), lan.client(66));
    let _nginx = Nginx::start(&lan.server);
    let debian = Debian::new(&lan.server);
    let [first, second] = ["1.0-1", "1.1-1"].map(|version| package(&debian, version));
    let before = debian.files();
    let installed = || debian.ok(&["dpkg-query", "--show", "--showformat=${Version}", "foobar"]);

    // Installing starts nothing, and what is installed works.
    debian.ok(&["dpkg", "--install", &first]);
    assert!(!is_filtered(&lan.server) && debian.pins().is_empty());
    assert!(reaches(&stranger));
    let configuration = debian.root().join("etc/foobar/foobar.toml");
    let example = fs::read_to_string(&configuration).expect("the example");
    assert!(example.contains("\nmode = \"audit\"\n"), "it drops nothing:\n{example}");
    assert_eq!(fs::metadata(&configuration).unwrap().permissions().mode() & 0o777, 0o600);
    debian.ok(&["foobar", "check", "--config", "/etc/foobar/foobar.toml"]);
    for path in [
        "usr/lib/systemd/system/foobar.service",
        "usr/share/man/man8/foobar-run.8",
        "usr/share/bash-completion/completions/foobar",
        "usr/share/zsh/vendor-completions/_foobar",
        "usr/share/fish/vendor_completions.d/foobar.fish",
    ] {
        let there = [path.to_owned(), format!("{path}.gz")];
        assert!(there.iter().any(|path| debian.root().join(path).is_file()), "no {path}");
    }
    let enabled = debian.files().into_iter().find(|file| file.contains(".wants/foobar"));
    assert_eq!(enabled, None, "nobody has enabled it");

    // Upgrading keeps the filter up; the daemon that is started afterwards takes it over.
    fs::write(&configuration, CONFIGURATION).expect("the configuration");
    let mut daemon = start(&debian);
    assert!(reaches(&friend) && !reaches(&stranger));
    let links = debian.link_ids();
    assert!(links.len() >= 2, "{links:?}");
    for (package, version) in [(&second, "1.1-1"), (&first, "1.0-1"), (&second, "1.1-1")] {
        debian.ok(&["dpkg", "--install", package]);
        assert_eq!(installed(), version);
        assert!(daemon.ended().is_none(), "{}", daemon.log());
        assert_eq!(debian.link_ids(), links);
        assert!(reaches(&friend) && !reaches(&stranger));
        daemon.stop();
        daemon = start(&debian);
        assert_eq!(debian.link_ids(), links, "the same links");
        assert!(reaches(&friend) && !reaches(&stranger));
    }
    assert_eq!(fs::read_to_string(&configuration).unwrap(), CONFIGURATION, "it is the operator's");

    // Removing takes the filter off; what an operator has changed stays.
    debian.ok(&["foobar", "allow", "add", "friends", "192.0.2.66"]);
    debian.ok(&["dpkg", "--remove", "foobar"]);
    assert!(daemon.wait(PATIENCE).success(), "{}", daemon.log());
    assert!(!is_filtered(&lan.server) && reaches(&stranger));
    assert_eq!(debian.pins(), Vec::<String>::new());
    assert!(configuration.is_file() && debian.root().join("var/lib/foobar/state.json").is_file());
    assert!(!debian.root().join("run/foobar").exists());

    // Purging leaves nothing, also if a filter without a daemon is still there.
    debian.ok(&["dpkg", "--install", &second]);
    start(&debian).kill();
    assert!(is_filtered(&lan.server) && reaches(&stranger), "it is a friend since");
    fs::write(debian.root().join("etc/foobar/friends.txt"), "192.0.2.10\n").expect("a list");
    debian.ok(&["dpkg", "--purge", "foobar"]);
    assert!(!is_filtered(&lan.server));
    assert_eq!(debian.pins(), Vec::<String>::new());
    let left: Vec<_> = debian.files().into_iter().filter(|file| !before.contains(file)).collect();
    assert_eq!(left, Vec::<String>::new());
}
