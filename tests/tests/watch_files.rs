//! `[reload] watch`: a changed file is a reload, with everything that belongs to one.

use std::{fs, net::TcpListener, os::unix::fs::symlink, time::Duration};

use foobar_tests::harness::{Daemon, Lan, Leaks, Netns, eventually, holds_for, tcp_connects};
use serde_json::Value;

const PATIENCE: Duration = Duration::from_secs(20);
const QUICK: Duration = Duration::from_millis(300);

fn configuration(ports: &str, watch: bool) -> String {
    format!(
        "interfaces = [\"eth0\"]\n[reload]\nwatch = {watch}\n[metrics]\nlisten = \"127.0.0.1:9898\"\n\
         [allowlists.friends]\nfile = \"lists/friends.txt\"\n\
         [[rules]]\nname = \"web\"\nports = [{ports}]\nfrom = [\"friends\"]\n"
    )
}

fn generation(daemon: &Daemon<'_>) -> u64 {
    let status: Value =
        serde_json::from_str(&daemon.ok(&["status", "--output", "json"])).expect("JSON");
    status["policy"]["generation"].as_u64().expect("a number")
}

fn becomes(what: &str, daemon: &Daemon<'_>, client: &Netns, port: u16, open: bool) {
    eventually(what, PATIENCE, || {
        let reached = tcp_connects(client, &format!("{}:{port}", Lan::SERVER4), QUICK).is_ok();
        if reached == open { Ok(()) } else { Err(daemon.log()) }
    });
}

#[test]
fn slow_changed_files_are_read_however_they_are_changed() {
    let _leaks = Leaks::watch();
    let lan = Lan::new();
    let (friend, other) = (lan.client(10), lan.client(11));
    let _servers = [80, 81, 82].map(|port| {
        lan.server.enter(move || TcpListener::bind(("0.0.0.0", port)).expect("a free port"))
    });
    let mut daemon = Daemon::prepare(&lan.server, &configuration("80", true));
    let lists = daemon.folder().join("lists");
    fs::create_dir(&lists).expect("a folder");
    fs::write(lists.join("friends.txt"), "192.0.2.10\n").expect("a list file");
    daemon.launch();
    becomes("a friend to get in", &daemon, &friend, 80, true);

    // Written in place.
    fs::write(lists.join("friends.txt"), "192.0.2.10\n192.0.2.11\n").expect("a list file");
    becomes("another friend to get in", &daemon, &other, 80, true);
    // Put in the place of the old one, as editors and configuration management do.
    let replace = |text: &str| {
        let new = daemon.folder().join(".foobar.toml.new");
        fs::write(&new, text).expect("a file");
        fs::rename(new, daemon.configuration()).expect("its place");
    };
    replace(&configuration("80, 81", true));
    becomes("port 81 to open", &daemon, &friend, 81, true);
    // Behind a link that is turned to another folder.
    let real = |number: u32, text: &str| {
        let folder = daemon.folder().join(format!("real{number}"));
        fs::create_dir(&folder).expect("a folder");
        fs::write(folder.join("friends.txt"), text).expect("a list file");
        let link = daemon.folder().join("link.new");
        symlink(&folder, &link).expect("a link");
        link
    };
    fs::rename(&lists, daemon.folder().join("old")).expect("another name");
    fs::rename(real(1, "192.0.2.10\n"), &lists).expect("its place");
    becomes("a friend less", &daemon, &other, 80, false);
    fs::rename(real(2, "192.0.2.11\n"), &lists).expect("its place");
    becomes("another friend", &daemon, &other, 80, true);
    becomes("no friend any more", &daemon, &friend, 80, false);

    // What is wrong changes nothing and is told; what means the same is no reload.
    replace("mode = ");
    eventually("the error to be told", PATIENCE, || {
        let page = daemon.scrape();
        if page.sum("foobar_config_last_reload_successful", &[]) == 0.0 {
            Ok(())
        } else {
            Err(daemon.log())
        }
    });
    becomes("the policy to stay", &daemon, &other, 81, true);
    replace(&configuration("80, 81", true));
    eventually("the error to be over", PATIENCE, || {
        let page = daemon.scrape();
        if page.sum("foobar_config_last_reload_successful", &[]) == 1.0 {
            Ok(())
        } else {
            Err(daemon.log())
        }
    });
    let before = generation(&daemon);
    replace(&configuration("80, 81", true));
    fs::read(daemon.configuration()).expect("reading is no change");
    holds_for("nothing to change", Duration::from_secs(2), || {
        let now = generation(&daemon);
        if now == before { Ok(()) } else { Err(daemon.log()) }
    });

    // It is switched off the same way.
    replace(&configuration("80", false));
    becomes("port 81 to close", &daemon, &other, 81, false);
    replace(&configuration("80, 82", false));
    holds_for("no reload", Duration::from_secs(2), || {
        let reached = tcp_connects(&other, &format!("{}:82", Lan::SERVER4), QUICK).is_ok();
        if reached { Err(daemon.log()) } else { Ok(()) }
    });
    daemon.ok(&["reload"]);
    becomes("port 82 to open", &daemon, &other, 82, true);
}

/// The lock-out guard asks before a file cuts somebody off.
#[test]
fn a_changed_file_cuts_no_session() {
    let _leaks = Leaks::watch();
    let lan = Lan::new();
    let friend = lan.client(10);
    let ssh = lan.server.enter(|| TcpListener::bind(("0.0.0.0", 22)).expect("a free port"));
    let mut daemon = Daemon::prepare(&lan.server, &configuration("22", true));
    fs::create_dir(daemon.folder().join("lists")).expect("a folder");
    let list = daemon.folder().join("lists/friends.txt");
    fs::write(&list, "192.0.2.10\n").expect("a list file");
    daemon.launch();
    let session =
        friend.enter(|| std::net::TcpStream::connect(("192.0.2.1", 22)).expect("a friend"));
    let (_peer, _) = ssh.accept().expect("the session");
    fs::write(&list, "192.0.2.99\n").expect("a list file");
    eventually("the refusal", PATIENCE, || {
        let log = daemon.log();
        if log.contains("would cut the SSH session of 192.0.2.10") { Ok(()) } else { Err(log) }
    });
    becomes("the friend to stay in", &daemon, &friend, 22, true);
    drop(session);
}
