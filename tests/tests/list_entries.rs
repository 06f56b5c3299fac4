//! Entries of lists: lifetimes that end by themselves, comments, lists from files.

use std::{
    fs,
    io::Write as _,
    process::Stdio,
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use foobar_tests::harness::{Daemon, Lan, Leaks, Netns, eventually, tcp_connects};
use serde_json::Value;

const POLICY: &str = r#"
interfaces = ["eth0"]
[allowlists.friends]
entries = ["192.0.2.10"]
file = "friends.txt"
[blocklists.abuse]
[[rules]]
name = "web"
ports = [80]
from = ["friends"]
"#;

/// Nobody listens on port 80: who reaches the server is refused, who does not hears nothing.
fn reaches(client: &Netns) -> bool {
    let answer = tcp_connects(client, "192.0.2.1:80", Duration::from_millis(300));
    answer.is_err_and(|error| error.kind() == std::io::ErrorKind::ConnectionRefused)
}

fn eventually_reaches(client: &Netns, expected: bool) {
    eventually("a lifetime to end", Duration::from_secs(15), || {
        if reaches(client) == expected { Ok(()) } else { Err(expected) }
    });
}

/// Starts the daemon with one entry in the list's file.
fn start(lan: &Lan) -> Daemon<'_> {
    let mut daemon = Daemon::prepare(&lan.server, POLICY);
    fs::write(
        daemon.folder().join("friends.txt"),
        "# friends, one a line\n\n192.0.2.11  # next door\n2001:db8:f::/48\n",
    )
    .expect("a list");
    daemon.launch();
    daemon
}

/// The entries of a list: prefix, comment, end.
fn entries(
    daemon: &Daemon<'_>,
    kind: &str,
    list: &str,
) -> Vec<(String, Option<String>, Option<u64>)> {
    let list = daemon.ok(&[kind, "list", list, "--output", "json"]);
    let list: Value = serde_json::from_str(&list).expect("JSON");
    let entries = list["entries"].as_array().expect("entries").iter();
    entries
        .map(|entry| {
            let text = |key: &str| entry[key].as_str().map(str::to_owned);
            (text("entry").expect("an entry"), text("comment"), entry["expires_at"].as_u64())
        })
        .collect()
}

fn names(daemon: &Daemon<'_>, kind: &str, list: &str) -> Vec<String> {
    entries(daemon, kind, list).into_iter().map(|(name, ..)| name).collect()
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs()
}

#[test]
fn a_lifetime_ends_by_itself_and_takes_only_its_own_entry_along() {
    let _leaks = Leaks::watch();
    let lan = Lan::new();
    let (guest, neighbour) = (lan.client(66), lan.client(68));
    let daemon = start(&lan);
    assert!(!reaches(&guest) && !reaches(&neighbour));
    // The neighbour has two entries, of which one stays.
    daemon.ok(&["allow", "add", "friends", "192.0.2.68/31"]);
    daemon.ok(&["allow", "add", "friends", "192.0.2.68", "--ttl", "2s"]);
    let (begin, until) = (Instant::now(), now() + 2);
    daemon.ok(&["allow", "add", "friends", "192.0.2.66", "--ttl", "2s", "--comment", "a guest"]);
    assert!(reaches(&guest) && reaches(&neighbour));
    let listed = entries(&daemon, "allow", "friends");
    let guests: Vec<_> = listed.iter().filter(|entry| entry.0 == "192.0.2.66/32").collect();
    let [(_, Some(comment), Some(end))] = guests[..] else { panic!("{listed:?}") };
    assert_eq!(comment, "a guest");
    assert!((until..=until + 3).contains(end), "ends at {end}, {until} was meant");
    let text = daemon.ok(&["allow", "list", "friends"]);
    assert!(text.contains("a guest"), "{text}");

    eventually_reaches(&guest, false);
    assert!(begin.elapsed() >= Duration::from_secs(2), "gone after {:?}", begin.elapsed());
    eventually("the neighbour's entry to end as well", Duration::from_secs(5), || {
        let left = names(&daemon, "allow", "friends");
        if left.iter().any(|name| name.ends_with("8/32")) { Err(left) } else { Ok(()) }
    });
    assert!(reaches(&neighbour), "what another entry grants stays");
    let left = ["192.0.2.10/32", "192.0.2.11/32", "192.0.2.68/31", "2001:db8:f::/48"];
    assert_eq!(names(&daemon, "allow", "friends"), left);
}

#[test]
fn a_lifetime_can_be_changed_and_taken_away() {
    let _leaks = Leaks::watch();
    let lan = Lan::new();
    let (longer, lasting, shorter) = (lan.client(66), lan.client(67), lan.client(68));
    let daemon = start(&lan);
    daemon.ok(&["allow", "add", "friends", "192.0.2.66", "192.0.2.67", "--ttl", "2s"]);
    daemon.ok(&["allow", "add", "friends", "192.0.2.68", "--ttl", "1h"]);
    daemon.ok(&["allow", "add", "friends", "192.0.2.66", "--ttl", "1h"]);
    daemon.ok(&["allow", "add", "friends", "192.0.2.67"]);
    daemon.ok(&["allow", "add", "friends", "192.0.2.68", "--ttl", "2s"]);
    eventually_reaches(&shorter, false);
    thread::sleep(Duration::from_millis(1500));
    assert!(reaches(&longer) && reaches(&lasting));
}

#[test]
fn a_block_that_ends_lets_in_again() {
    let _leaks = Leaks::watch();
    let lan = Lan::new();
    let friend = lan.client(10);
    let daemon = start(&lan);
    assert!(reaches(&friend));
    daemon.ok(&[
        "block",
        "add",
        "abuse",
        "192.0.2.0/26",
        "--ttl",
        "2s",
        "--comment",
        "to cool down",
    ]);
    assert!(!reaches(&friend));
    eventually_reaches(&friend, true);
    assert_eq!(names(&daemon, "block", "abuse"), Vec::<String>::new());
}

#[test]
fn a_lifetime_that_ends_while_no_daemon_runs_is_over_at_the_next_start() {
    let _leaks = Leaks::watch();
    let lan = Lan::new();
    let guest = lan.client(66);
    let mut daemon = start(&lan);
    daemon.ok(&["allow", "add", "friends", "192.0.2.66", "--ttl", "2s"]);
    daemon.process().kill();
    assert!(reaches(&guest));
    thread::sleep(Duration::from_millis(3200));
    daemon.launch();
    assert!(!reaches(&guest));
    assert_eq!(names(&daemon, "allow", "friends").len(), 3);
}

#[test]
fn lists_come_from_files_and_from_standard_input() {
    let _leaks = Leaks::watch();
    let lan = Lan::new();
    let (next_door, guest) = (lan.client(11), lan.client(66));
    let mut daemon = start(&lan);
    assert!(reaches(&next_door), "the file that the configuration names");
    let configured = ["192.0.2.10/32", "192.0.2.11/32", "2001:db8:f::/48"];
    assert_eq!(names(&daemon, "allow", "friends"), configured);

    let file = daemon.folder().join("more.txt");
    fs::write(&file, "192.0.2.64/30 # guests\n# nobody else\n192.0.2.9/24\n").expect("a list");
    let file = file.display().to_string();
    let said = daemon.ok(&["allow", "replace", "friends", "--file", &file]);
    assert!(said.contains("192.0.2.0/24"), "host bits are told of: {said}");
    assert_eq!(names(&daemon, "allow", "friends"), ["192.0.2.0/24", "192.0.2.64/30"]);
    assert!(reaches(&guest) && reaches(&next_door));

    let mut command =
        daemon.command(&["allow", "replace", "friends", "--file", "-", "--comment", "from a pipe"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().expect("foobar");
    let mut input = child.stdin.take().expect("a pipe");
    input.write_all(b"192.0.2.66\n2001:db8::66\n").expect("a list");
    drop(input);
    assert!(child.wait().expect("its end").success());
    let piped = |daemon: &Daemon<'_>| {
        let comment = Some("from a pipe".to_owned());
        assert_eq!(
            entries(daemon, "allow", "friends"),
            [
                ("192.0.2.66/32".into(), comment.clone(), None),
                ("2001:db8::66/128".into(), comment, None)
            ]
        );
        assert!(reaches(&guest) && !reaches(&next_door));
    };
    piped(&daemon);
    daemon.process().kill();
    daemon.launch();
    piped(&daemon);

    // A file with a mistake changes nothing, whatever else is in it.
    fs::write(&file, "192.0.2.1\n192.0.2.256\n").expect("a list");
    let refused = daemon.foobar(&["allow", "replace", "friends", "--file", &file]);
    assert_eq!(refused.code, Some(1), "{}", refused.text());
    assert!(refused.stderr.contains(&format!("{file}:2")), "{}", refused.text());
    piped(&daemon);
}

#[test]
fn a_comment_is_one_line_of_two_hundred_characters() {
    let _leaks = Leaks::watch();
    let lan = Lan::new();
    let daemon = start(&lan);
    let long = "ä".repeat(200);
    daemon.ok(&["allow", "add", "friends", "192.0.2.66", "--comment", &long]);
    for wrong in [format!("{long}x"), "two\nlines".into()] {
        let said = daemon.foobar(&["allow", "add", "friends", "192.0.2.66", "--comment", &wrong]);
        assert_eq!(said.code, Some(1), "{}", said.text());
    }
    let comments: Vec<_> =
        entries(&daemon, "allow", "friends").into_iter().filter_map(|entry| entry.1).collect();
    assert_eq!(comments, [long]);
}
