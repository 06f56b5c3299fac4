//! A disk that is full or read-only: changes are refused, the policy in force and what was on disk stay.

use std::{fs, path::Path, time::Duration};

use foobar_tests::harness::{Daemon, Lan, Leaks, Netns, tcp_connects};
use nix::{
    mount::{MsFlags, mount},
    sched::{CloneFlags, unshare},
};

/// Room of the state folder.
const SIZE: &str = "size=128k,mode=700";

/// From now on this thread, and what it starts, has a mount table of its own, which ends with it.
fn own_mounts() {
    unshare(CloneFlags::CLONE_NEWNS).expect("a mount namespace");
    let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
    mount(None::<&str>, "/", None::<&str>, private, None::<&str>).expect("a private root");
}

fn small_disk(folder: &Path, flags: MsFlags) {
    mount(Some("tmpfs"), folder, Some("tmpfs"), flags, Some(SIZE)).expect("a small tmpfs");
}

fn reaches(client: &Netns) -> bool {
    tcp_connects(client, &format!("{}:80", Lan::SERVER4), Duration::from_millis(400)).is_ok()
}

/// The state as it is on disk, without what an interrupted change leaves beside it.
fn stored(daemon: &Daemon<'_>) -> Vec<u8> {
    fs::read(daemon.state_dir().join("state.json")).expect("the state")
}

/// A change is refused for this reason, and nothing has changed.
fn is_refused(daemon: &Daemon<'_>, stranger: &Netns, arguments: &[&str], reason: &str) {
    let before = (stored(daemon), daemon.ok(&["allow", "list", "friends"]));
    let refused = daemon.foobar(arguments);
    assert_eq!(refused.code, Some(1), "{arguments:?}: {}", refused.text());
    assert!(refused.stderr.contains(reason), "{}", refused.stderr);
    assert!(!reaches(stranger), "{arguments:?}: the live policy has changed");
    assert_eq!((stored(daemon), daemon.ok(&["allow", "list", "friends"])), before);
    assert_eq!(daemon.scrape().sum("foobar_state_last_write_successful", &[]), 0.0);
    let status = daemon.ok(&["status"]);
    assert!(status.contains("state folder could not be written"), "{status}");
}

#[test]
fn slow_a_full_or_read_only_disk_changes_nothing() {
    let _leaks = Leaks::watch();
    let lan = Lan::new();
    let (friend, stranger) = (lan.client(10), lan.client(66));
    let _server = lan.server.enter(|| std::net::TcpListener::bind(("0.0.0.0", 80)).expect("80"));
    own_mounts();
    let mut daemon = Daemon::prepare(&lan.server, Daemon::FRIENDS_TO_WEB);
    fs::create_dir(daemon.state_dir()).expect("the state folder");
    small_disk(&daemon.state_dir(), MsFlags::empty());
    daemon.launch();
    assert_eq!(daemon.scrape().sum("foobar_state_last_write_successful", &[]), 1.0);
    let add = ["allow", "add", "friends", "192.0.2.66"];
    let open = Daemon::FRIENDS_TO_WEB.replace("[\"friends\"]", "\"any\"");

    // Full to the last byte; and with room for the copy of a configuration only.
    let filler = daemon.state_dir().join("filler");
    for room in [0, 4096] {
        let _ = fs::write(&filler, vec![0; 256 << 10]);
        let length = fs::metadata(&filler).expect("the filler").len();
        assert!(length < 256 << 10, "the disk is not full");
        let file = fs::File::options().write(true).open(&filler).expect("the filler");
        file.set_len(length - room).expect("a shorter filler");
        if room == 0 {
            is_refused(&daemon, &stranger, &add, "free some space");
        }
        daemon.configure(&open);
        is_refused(&daemon, &stranger, &["reload"], "free some space");
        daemon.configure(Daemon::FRIENDS_TO_WEB);
    }
    // A daemon that starts now has nothing new to say.
    daemon.process().kill();
    daemon.launch();
    assert!(reaches(&friend) && !reaches(&stranger));

    fs::remove_file(&filler).expect("room again");
    daemon.ok(&add);
    assert!(reaches(&stranger));
    assert_eq!(daemon.scrape().sum("foobar_state_last_write_successful", &[]), 1.0);
    daemon.ok(&["allow", "remove", "friends", "192.0.2.66"]);

    small_disk_again(&daemon.state_dir(), MsFlags::MS_RDONLY);
    is_refused(&daemon, &stranger, &add, "mount it writable");
    daemon.configure(&open);
    is_refused(&daemon, &stranger, &["reload"], "mount it writable");
    daemon.configure(Daemon::FRIENDS_TO_WEB);
    daemon.process().kill();
    daemon.launch();
    assert!(reaches(&friend) && !reaches(&stranger));
    small_disk_again(&daemon.state_dir(), MsFlags::empty());
    daemon.ok(&add);
    assert!(reaches(&stranger));
    assert_eq!(daemon.ok(&["status"]).matches("state folder").count(), 0);
}

fn small_disk_again(folder: &Path, flags: MsFlags) {
    small_disk(folder, flags | MsFlags::MS_REMOUNT);
}
