//! A daemon that starts on files that a crash, a bad disk or another version left: it starts from the last good configuration or does
//! not start, never opens the server, and says loudly what is wrong.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path, process::Command, time::Duration};

use foobar_tests::harness::{
    Daemon, Lan, Leaks, Netns, foobar_binary, link_ids, tcp_connects, try_run,
};
use serde_json::Value;

fn reaches(client: &Netns) -> bool {
    tcp_connects(client, &format!("{}:80", Lan::SERVER4), Duration::from_millis(400)).is_ok()
}

fn warnings(daemon: &Daemon<'_>) -> String {
    let status = daemon.ok(&["status", "--output", "json"]);
    let status: Value = serde_json::from_str(&status).expect("JSON");
    status["warnings"].to_string()
}

fn flipped(bytes: &[u8], at: usize) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes[at] ^= 4;
    bytes
}

/// What becomes of a good configuration; each is refused.
fn configurations() -> Vec<(&'static str, Vec<u8>)> {
    let good = Daemon::FRIENDS_TO_WEB.as_bytes();
    let quote = Daemon::FRIENDS_TO_WEB.rfind('"').expect("a string");
    vec![
        ("empty", Vec::new()),
        ("only white space", b"\n \n".to_vec()),
        ("blocks that were never written", vec![0; 4096]),
        ("truncated", good[..quote].to_vec()),
        ("a changed byte", flipped(good, Daemon::FRIENDS_TO_WEB.find("ports").expect("ports"))),
        ("of a newer version", [good, b"[time_travel]\nback = \"to the future\"\n"].concat()),
        ("not text", vec![0xff; 100]),
    ]
}

#[test]
fn slow_a_damaged_configuration_is_refused_and_the_last_good_one_serves() {
    let _leaks = Leaks::watch();
    let lan = Lan::new();
    let (friend, stranger) = (lan.client(10), lan.client(66));
    let _server = lan.server.enter(|| std::net::TcpListener::bind(("0.0.0.0", 80)).expect("80"));
    let mut daemon = Daemon::start(&lan.server, Daemon::FRIENDS_TO_WEB);
    daemon.ok(&["allow", "add", "friends", "198.51.100.1"]);
    for (number, (name, bytes)) in configurations().into_iter().enumerate() {
        // With the filter in force, and as at boot.
        if number % 2 == 0 {
            daemon.ok(&["detach"]);
            daemon.process().wait(Duration::from_secs(20));
        } else {
            daemon.process().kill();
        }
        let file = daemon.configuration();
        fs::write(&file, &bytes).expect("the configuration");
        let check = try_run(Command::new(foobar_binary()).args(["check", "--config"]).arg(&file));
        assert_eq!(check.code, Some(1), "{name}: {}", check.text());
        assert!(check.text().contains("foobar.toml"), "{name}: {}", check.text());

        daemon.launch();
        assert!(reaches(&friend) && !reaches(&stranger), "{name}");
        assert!(warnings(&daemon).contains("foobar.toml"), "{name}: {}", warnings(&daemon));
        assert_eq!(daemon.scrape().sum("foobar_config_last_reload_successful", &[]), 0.0, "{name}");
        let refused = daemon.foobar(&["reload"]);
        assert_eq!(refused.code, Some(1), "{name}: {}", refused.text());
        let friends = daemon.ok(&["allow", "list", "friends"]);
        assert!(friends.contains("198.51.100.1"), "{name}: runtime changes stay: {friends}");
    }
    daemon.configure(Daemon::FRIENDS_TO_WEB);
    daemon.ok(&["reload"]);
    assert_eq!(daemon.scrape().sum("foobar_config_last_reload_successful", &[]), 1.0);
    assert_eq!(warnings(&daemon), "[]");
}

/// What becomes of good state, and words that the error must have.
fn states(document: &[u8], journal: &[u8]) -> Vec<(&'static str, Damage, &'static str)> {
    let half = document.len() / 2;
    let line = journal.iter().position(|byte| *byte == b'\n').expect("a line") + 1;
    let newer = document.to_vec();
    let newer = [br#"{"version":9"#, newer.strip_prefix(br#"{"version":2"#).expect("a version")];
    vec![
        ("empty", Damage::Document(Vec::new()), "empty"),
        ("truncated", Damage::Document(document[..half].to_vec()), "damaged"),
        ("a changed byte", Damage::Document(flipped(document, half)), "damaged"),
        ("never written", Damage::Document(vec![0; 4096]), "damaged"),
        ("newer", Damage::Document(newer.concat()), "state version 9"),
        ("no journal", Damage::Journal(None), "missing"),
        ("a changed line", Damage::Journal(Some(flipped(journal, line / 2))), "line 2"),
        ("a missing line", Damage::Journal(Some(journal[line..].to_vec())), "is followed by"),
    ]
}

enum Damage {
    Document(Vec<u8>),
    Journal(Option<Vec<u8>>),
}

/// With a filter in force, nothing is thrown away: the daemon does not start, the filter stays. Without one, a server must not stay
/// open: the daemon starts from the configuration, and keeps the files.
#[test]
fn slow_damaged_state_is_never_thrown_away_and_never_opens_the_server() {
    let _leaks = Leaks::watch();
    let lan = Lan::new();
    let (friend, stranger) = (lan.client(10), lan.client(66));
    let _server = lan.server.enter(|| std::net::TcpListener::bind(("0.0.0.0", 80)).expect("80"));
    let mut daemon = Daemon::start(&lan.server, Daemon::FRIENDS_TO_WEB);
    for address in ["198.51.100.1", "198.51.100.2", "198.51.100.3"] {
        daemon.ok(&["allow", "add", "friends", address]);
    }
    daemon.process().kill();
    let (file, journal) =
        (daemon.state_dir().join("state.json"), daemon.state_dir().join("journal-1"));
    let good = (fs::read(&file).expect("the state"), fs::read(&journal).expect("the journal"));
    let links = link_ids(&daemon.bpf_dir());
    let put = |path: &Path, bytes: &[u8]| {
        fs::write(path, bytes).expect("a file");
        fs::set_permissions(path, fs::Permissions::from_mode(0o600)).expect("its mode");
    };
    let apply = |damage: &Damage| match damage {
        Damage::Document(bytes) => put(&file, bytes),
        Damage::Journal(Some(bytes)) => put(&journal, bytes),
        Damage::Journal(None) => fs::remove_file(&journal).expect("the journal"),
    };
    for (name, damage, word) in states(&good.0, &good.1) {
        apply(&damage);
        let refused = daemon.run_to_end();
        assert_eq!(refused.code, Some(1), "{name}: {}", refused.text());
        for word in [word, "filter in force", "help:"] {
            assert!(refused.stderr.contains(word), "{name}: no `{word}`: {}", refused.stderr);
        }
        let doctor = daemon.foobar(&["doctor"]);
        assert_eq!(doctor.code, Some(1), "{name}: {}", doctor.text());
        assert_eq!(link_ids(&daemon.bpf_dir()), links, "{name}: the same links");
        assert!(reaches(&friend) && !reaches(&stranger), "{name}");
        put(&file, &good.0);
        put(&journal, &good.1);
    }
    daemon.launch();
    assert!(daemon.ok(&["allow", "list", "friends"]).contains("198.51.100.3"));

    for (name, damage, word) in states(&good.0, &good.1) {
        daemon.ok(&["detach"]);
        daemon.process().wait(Duration::from_secs(20));
        put(&file, &good.0);
        put(&journal, &good.1);
        apply(&damage);
        daemon.launch();
        assert!(reaches(&friend) && !reaches(&stranger), "{name}");
        assert!(warnings(&daemon).contains(word), "{name}: {}", warnings(&daemon));
        assert!(daemon.log().contains("WARN"), "{name}");
        let kept = fs::read_dir(daemon.state_dir()).expect("the state folder").flatten();
        let kept: Vec<_> = kept.map(|entry| entry.file_name().into_string().unwrap()).collect();
        assert!(kept.iter().any(|kept| kept.starts_with("state.json.")), "{name}: {kept:?}");
        for entry in kept.iter().filter(|kept| kept.contains("damaged") || kept.contains("other")) {
            fs::remove_file(daemon.state_dir().join(entry)).expect("what was kept aside");
        }
    }
}
