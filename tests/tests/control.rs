//! Who may use the control socket.

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt},
    process::Command,
};

use foobar_tests::harness::{Daemon, Lan, Leaks, Output, try_run};
use nix::unistd::Group;

/// A group of every Debian system that nobody is in.
const GROUP: &str = "games";
/// Some user, and a group of his own.
const USER: &str = "65534";

fn configuration(group: &str) -> String {
    format!(
        "interfaces = [\"eth0\"]\n[control]\ngroup = \"{group}\"\n[metrics]\nlisten = \"off\"\n\
         [allowlists.friends]\nentries = []\n\
         [[rules]]\nname = \"web\"\nports = [80]\nfrom = [\"friends\"]\n"
    )
}

/// Runs a `foobar` command as somebody else.
fn as_user(daemon: &Daemon<'_>, who: &[&str], arguments: &[&str]) -> Output {
    let mut command = Command::new("setpriv");
    command.args(["--reuid", USER]).args(who);
    let inner = daemon.command(arguments);
    // Without nsenter, which takes root: the socket is a file.
    let program = inner.get_args().skip_while(|argument| *argument != "--").skip(1);
    try_run(command.args(program))
}

#[test]
fn members_of_the_group_may_use_it_and_nobody_else() {
    let _leaks = Leaks::watch();
    let lan = Lan::new();
    let gid = Group::from_name(GROUP).expect("groups").expect("a group of Debian").gid.as_raw();
    let member = gid.to_string();
    let mut daemon = Daemon::prepare(&lan.server, &configuration(GROUP));
    fs::set_permissions(daemon.folder(), fs::Permissions::from_mode(0o711)).expect("the folder");
    daemon.launch();

    let socket = fs::metadata(daemon.runtime_dir().join("control.sock")).expect("the socket");
    assert_eq!((socket.uid(), socket.gid(), socket.mode() & 0o7777), (0, gid, 0o660));
    let folder = fs::metadata(daemon.runtime_dir()).expect("its folder");
    assert_eq!((folder.uid(), folder.gid(), folder.mode() & 0o7777), (0, gid, 0o710));

    let primary = ["--regid", &member, "--clear-groups"];
    let supplementary = ["--regid", USER, "--groups", &format!("7,{member}")];
    for (who, entry) in [(&primary[..], "192.0.2.10"), (&supplementary[..], "192.0.2.11")] {
        let status = as_user(&daemon, who, &["status"]);
        assert_eq!(status.code, Some(0), "{who:?}: {}", status.text());
        let changed = as_user(&daemon, who, &["allow", "add", "friends", entry]);
        assert_eq!(changed.code, Some(0), "{who:?}: {}", changed.text());
    }
    assert!(daemon.ok(&["status"]).contains("uid 65534"), "it is known who made the last change");

    let stranger = ["--regid", USER, "--clear-groups"];
    let refused = as_user(&daemon, &stranger, &["status"]);
    assert_eq!(refused.code, Some(1), "{}", refused.text());

    // Where somebody opened the file to all, the daemon still asks the kernel who it is.
    let open = |path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode));
    open(daemon.runtime_dir(), 0o711).expect("the folder");
    open(daemon.runtime_dir().join("control.sock"), 0o666).expect("the socket");
    let refused = as_user(&daemon, &stranger, &["allow", "add", "friends", "192.0.2.66"]);
    assert_eq!(refused.code, Some(1), "{}", refused.text());
    assert!(
        refused.stderr.contains("may not control") && refused.stderr.contains(GROUP),
        "{}",
        refused.stderr
    );
    assert!(!daemon.ok(&["allow", "list", "friends"]).contains("192.0.2.66"));
}

#[test]
fn an_unknown_group_is_an_error_at_first_and_a_warning_later() {
    let _leaks = Leaks::watch();
    let lan = Lan::new();
    let mut daemon = Daemon::prepare(&lan.server, &configuration("no-such-group"));
    let refused = daemon.run_to_end();
    assert_eq!(refused.code, Some(1), "{}", refused.text());
    for words in ["\"no-such-group\"", "groupadd --system no-such-group"] {
        assert!(refused.stderr.contains(words), "{}", refused.stderr);
    }
    assert!(!lan.server.ip("-details link show eth0").contains("xdp"), "nothing was attached");

    daemon.configure(&configuration(GROUP));
    daemon.launch();
    daemon.process().stop();
    // At boot, the directory service of a group may come late: no reason to leave a server open.
    daemon.configure(&configuration("no-such-group"));
    daemon.launch();
    assert!(daemon.log().contains("only root can use the control socket"), "{}", daemon.log());
    let folder = fs::metadata(daemon.runtime_dir()).expect("the folder of the socket");
    assert_eq!(folder.mode() & 0o7777, 0o700);
}
