//! What the service manager and `foobar doctor` are told.

use std::{fs, os::unix::net::UnixDatagram, time::Duration};

use foobar_tests::harness::{Daemon, Lan, Leaks, Process};
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
