//! What the service manager and `foobar doctor` are told.

use std::{
    fs,
    os::unix::{fs::PermissionsExt, net::UnixDatagram},
    path::Path,
    process::Command,
    time::Duration,
};

use foobar_tests::harness::{Daemon, Lan, Leaks, Process, eventually, try_run};
use nix::sys::signal::Signal;
use serde_json::Value;

const CONFIGURATION: &str = "interfaces = [\"eth0\"]\n[metrics]\nlisten = \"127.0.0.1:9898\"\n\
    [[rules]]\nname = \"web\"\nports = [80]\nfrom = \"any\"\n";

const PATIENCE: Duration = Duration::from_secs(20);

#[test]
fn the_service_manager_hears_of_start_life_and_stop() {
    let _leaks = Leaks::watch();
    let lan = Lan::new();
    let daemon = Daemon::prepare(&lan.server, CONFIGURATION);
    let socket = daemon.folder().join("notify");
    let manager = UnixDatagram::bind(&socket).expect("a socket");
    manager.set_read_timeout(Some(PATIENCE)).expect("a time limit");
    let hears = || {
        let mut message = [0; 64];
        let length = manager.recv(&mut message).expect("a message");
        String::from_utf8_lossy(&message[..length]).into_owned()
    };
    let configuration = daemon.configuration().display().to_string();
    let mut command = daemon.command(&["run", "--config", &configuration]);
    command.env("NOTIFY_SOCKET", &socket).env("WATCHDOG_USEC", "400000");
    let mut process = Process::start(command, &daemon.folder().join("run.log"));
    assert_eq!(hears(), "READY=1");
    assert!(lan.server.ip("-details link show eth0").contains("xdp"), "ready is filtered");
    assert_eq!([hears(), hears(), hears()], ["WATCHDOG=1"; 3]);
    process.signal(Signal::SIGTERM);
    assert!(std::iter::repeat_with(hears).take(10).any(|heard| heard == "STOPPING=1"));
    assert!(process.wait(PATIENCE).success(), "{}", process.log());
}

#[test]
fn doctor_finds_what_is_wrong_and_says_what_to_do() {
    let _leaks = Leaks::watch();
    let lan = Lan::new();
    let mut daemon = Daemon::start(&lan.server, CONFIGURATION);
    let examine = |daemon: &Daemon<'_>| {
        let output = daemon.foobar(&["doctor", "--output", "json"]);
        let findings: Value = serde_json::from_str(&output.stdout).expect("JSON");
        let find = |subject: &str| {
            let findings = findings.as_array().expect("findings");
            let found = findings.iter().find(|finding| finding["subject"] == subject);
            found.unwrap_or_else(|| panic!("no {subject} in {findings:?}")).clone()
        };
        (output.code, find("daemon"), find("state folder"))
    };
    let (_, alive, state) = examine(&daemon);
    assert_eq!((&alive["grade"], &state["grade"]), (&"ok".into(), &"ok".into()), "{alive} {state}");
    daemon.process().kill();
    fs::write(daemon.state_dir().join("state.json"), "{}").expect("the state file");
    let (code, alive, state) = examine(&daemon);
    assert_eq!(code, Some(1));
    assert_eq!(alive["grade"], "warning", "{alive}");
    assert!(
        alive["remedy"].as_str().is_some_and(|remedy| remedy.contains("foobar run")),
        "{alive}"
    );
    assert_eq!(state["grade"], "error", "{state}");
}

/// systemd's own judgement of the unit, without a running systemd.
#[test]
fn the_service_unit_is_hardened() {
    let unit = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/foobar.service");
    let mut command = Command::new("systemd-analyze");
    let judged = try_run(
        command.args(["security", "--no-pager", "--offline=true", "--threshold=25"]).arg(&unit),
    );
    let level = judged.stdout.lines().find(|line| line.contains("Overall exposure level"));
    println!("{}", level.unwrap_or("no level"));
    assert!(level.is_some() && judged.code == Some(0), "{}", judged.text());

    // What it does not know, it would tell. The binary is not installed here, so another one stands for it.
    let folder = tempfile::tempdir().expect("a folder");
    let text = fs::read_to_string(&unit).expect("the unit");
    let text =
        text.replace("/usr/sbin/foobar", "/bin/true").replace("Documentation=man:foobar(1)\n", "");
    let copy = folder.path().join("foobar.service");
    fs::write(&copy, text).expect("a copy");
    let verified = try_run(Command::new("systemd-analyze").args(["verify", "--man=no"]).arg(&copy));
    let complaints: Vec<_> =
        verified.stderr.lines().filter(|line| line.contains("foobar.service")).collect();
    assert_eq!(complaints, [""; 0], "{}", verified.text());
}

/// Shortcomings made on purpose: each is found and comes with what to do.
#[test]
fn doctor_looks_at_devices_programs_and_files() {
    let _leaks = Leaks::watch();
    let lan = Lan::new();
    lan.server.ip("link add br0 type bridge");
    let text = CONFIGURATION
        .replace("\"eth0\"", "\"eth0\", \"br0\"")
        .replace("127.0.0.1:9898", "0.0.0.0:9898");
    let mut daemon = Daemon::start(&lan.server, &text);
    let examine = |more: &[&str]| -> (Option<i32>, Vec<Value>) {
        let output = daemon.foobar(&[&["doctor", "--output", "json"], more].concat());
        (output.code, serde_json::from_str(&output.stdout).expect("JSON"))
    };
    let find = |findings: &[Value], subject: &str| -> (String, String) {
        let found = findings.iter().find(|finding| finding["subject"] == subject);
        let found = found.unwrap_or_else(|| panic!("no {subject} in {findings:#?}"));
        let text = format!("{} {}", found["found"], found["remedy"]);
        (found["grade"].as_str().expect("a grade").to_owned(), text)
    };
    let (_, findings) = examine(&[]);
    let (grade, native) = find(&findings, "eth0: XDP");
    assert!(grade == "ok" && native.contains("native mode, driver veth, MTU 1500"), "{native}");
    let (grade, generic) = find(&findings, "br0: XDP");
    assert!(
        grade == "warning" && generic.contains("generic mode") && generic.contains("device below"),
        "{generic}"
    );
    assert_eq!(find(&findings, "privileges").0, "ok");
    let (grade, metrics) = find(&findings, "metrics");
    assert!(grade == "warning" && metrics.contains("web_config"), "{metrics}");
    assert_eq!(find(&findings, "configuration").0, "ok");

    // Somebody else's program holds an interface.
    lan.server.ip("link add wan0 type veth peer name wan1");
    let other = Daemon::prepare(&lan.server, "");
    let mut run = other.command(&["run", "--interface", "wan0", "--config"]);
    fs::write(other.configuration(), "mode = \"audit\"\n[metrics]\nlisten = \"off\"\n")
        .expect("a file");
    run.arg(other.configuration());
    let mut process = Process::start(run, &other.folder().join("run.log"));
    eventually("the other one", PATIENCE, || {
        assert_eq!(process.ended(), None, "{}", process.log());
        if other.foobar(&["status"]).code == Some(0) { Ok(()) } else { Err(process.log()) }
    });
    let (code, findings) = examine(&["--interface", "wan0"]);
    let (grade, foreign) = find(&findings, "wan0: other programs");
    assert_eq!((code, grade.as_str()), (Some(1), "error"), "{foreign}");
    let holder = format!("held by foobar ({})", process.id());
    for words in ["XDP native program", "ingress, loaded by user 0", &holder, "--replace"] {
        assert!(foreign.contains(words), "no {words} in {foreign}");
    }
    process.stop();

    // A configuration that broke, and pins that others can reach.
    daemon.configure("mode = ");
    fs::set_permissions(daemon.bpf_dir(), fs::Permissions::from_mode(0o755)).expect("a mode");
    let (code, findings) = examine(&[]);
    assert_eq!(code, Some(1));
    for (subject, remedy) in [("configuration", "foobar check"), ("pins", "chmod 0700")] {
        let (grade, text) = find(&findings, subject);
        assert!(grade == "error" && text.contains(remedy), "{text}");
    }
    fs::set_permissions(daemon.bpf_dir(), fs::Permissions::from_mode(0o700)).expect("a mode");
    daemon.process().stop();
}
