//! Hooks of the kernel that are not to be had: the filter works, and what cannot be counted is said, not guessed.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path, time::Duration};

use foobar_tests::harness::{
    CLASSIFIER, Daemon, Lan, Leaks, Netns, Nginx, Process, curl, eventually, foobar_binary,
};
use foobar_user::kernel::probe;
use serde_json::Value;

const PATIENCE: Duration = Duration::from_secs(60);

/// Holds every place of the hook for arriving packets at eth0 (`BPF_MPROG_MAX` of include/linux/bpf_mprog.h) with programs that go on
/// to the next one.
const CROWD: &str = "
links = []
try:
    while len(links) < 100:
        links.append(attach(load([(MOVE, 0, TCX_NEXT), EXIT]), TCX_INGRESS))
except OSError as full:
    assert full.errno == errno.ERANGE, full
print('ready', flush=True)
time.sleep(600)
";

/// What `foobar status` says.
fn status(daemon: &Daemon<'_>) -> Value {
    serde_json::from_str(&daemon.ok(&["status", "--output", "json"])).expect("JSON")
}

fn warnings(status: &Value) -> String {
    status["warnings"].to_string()
}

/// Whether a program is attached to eth0, as the metrics have it.
fn attached(daemon: &Daemon<'_>, program: &str) -> Option<f64> {
    let labels = [("program", program), ("interface", "eth0")];
    daemon.scrape().find("foobar_bpf_program_attached", &labels)
}

/// Fetches the page so many times, over a connection each.
fn fetch(client: &Netns, times: usize) {
    for _ in 0..times {
        let fetched = curl(client).within(Duration::from_secs(10)).get("http://192.0.2.1/");
        assert_eq!(fetched.expect("an answer").status, 200);
    }
}

/// A program that runs `foobar` where the kernel seems not to describe its types.
fn without_types(folder: &Path) -> std::path::PathBuf {
    let script = folder.join("foobar-without-types");
    let hide = "mount --bind /dev/null /sys/kernel/btf/vmlinux && exec \"$0\" \"$@\"";
    let binary = foobar_binary();
    let text =
        format!("#!/bin/sh\nexec unshare --mount sh -c '{hide}' {} \"$@\"\n", binary.display());
    fs::write(&script, text).expect("the script");
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).expect("its mode");
    script
}

#[test]
fn without_types_of_the_kernel_openings_stand_for_connections() {
    let _leaks = Leaks::watch();
    let lan = Lan::new();
    let client = lan.client(10);
    let _nginx = Nginx::start(&lan.server);
    let mut daemon = Daemon::prepare(&lan.server, Daemon::WEB_FOR_ALL);
    daemon.use_binary(&without_types(daemon.folder()));
    daemon.launch();
    fetch(&client, 5);

    let port = [("port", "80")];
    let scrape = eventually("openings to make a rate", PATIENCE, || {
        let scrape = daemon.scrape();
        let minute = [("port", "80"), ("kind", "connections"), ("window", "60s")];
        if scrape.sum("foobar_qps", &minute) > 0.0 {
            Ok(scrape)
        } else {
            Err(scrape.text().to_owned())
        }
    });
    assert_eq!(scrape.sum("foobar_connection_attempts_total", &port), 5.0);
    assert_eq!(scrape.sum("foobar_connections_accepted_total", &port), 0.0, "nobody saw them");
    let source = |name| scrape.find("foobar_connection_source_info", &[("source", name)]);
    assert_eq!((source("openings"), source("handshakes")), (Some(1.0), None));
    let attached = [("program", "sock_state")];
    assert_eq!(scrape.find("foobar_bpf_program_attached", &attached), Some(0.0));
    // Requests need no types.
    assert_eq!(scrape.sum("foobar_http_requests_total", &port), 5.0);
    let told = warnings(&status(&daemon));
    assert!(told.contains("completed handshakes are not seen"), "{told}");
    let doctor = daemon.foobar(&["doctor"]);
    assert!(doctor.text().contains("type information (BTF)"), "{}", doctor.text());

    // The same binary where it sees them: handshakes count from here on.
    daemon.use_binary(&foobar_binary());
    daemon.process().stop();
    daemon.launch();
    fetch(&client, 3);
    eventually("handshakes to be counted", PATIENCE, || {
        let scrape = daemon.scrape();
        let accepted = scrape.sum("foobar_connections_accepted_total", &port);
        if accepted == 3.0 { Ok(()) } else { Err(accepted) }
    });
    let source = daemon.scrape().find("foobar_connection_source_info", &[("source", "handshakes")]);
    assert_eq!(source, Some(1.0));
}

#[test]
fn an_interface_that_takes_no_observer_is_filtered_all_the_same() {
    assert!(probe().tcx, "this kernel has another hook: Linux 6.6 or later is needed here");
    let _leaks = Leaks::watch();
    let lan = Lan::new();
    let client = lan.client(10);
    let _nginx = Nginx::start(&lan.server);
    let folder = tempfile::tempdir().expect("a folder");
    let mut python3 = lan.server.command("python3");
    python3.arg("-c").arg([CLASSIFIER, CROWD].concat());
    let crowd = Process::start(python3, &folder.path().join("crowd"));
    eventually("the hook to be full", PATIENCE, || {
        if crowd.log().contains("ready") { Ok(()) } else { Err(crowd.log()) }
    });

    let mut daemon = Daemon::start(&lan.server, Daemon::WEB_FOR_ALL);
    fetch(&client, 3);
    let refused = curl(&client).get("http://192.0.2.1:9898/").unwrap_err();
    assert_eq!(refused.0, 28, "the filter is in force: {refused:?}");

    let said = status(&daemon);
    let told = warnings(&said);
    assert!(
        told.contains("requests are not read off the packets on eth0: observe_ingress is missing"),
        "{told}"
    );
    let ports = said["ports"].as_array().expect("ports");
    for port in ports.iter().filter(|port| port["port"] != "other") {
        assert_eq!(
            (&port["requests_source"], &port["requests_tier"]),
            (&"none".into(), &"no hook".into())
        );
    }
    let scrape = daemon.scrape();
    for port in ["80", "443"] {
        let source =
            |name| scrape.find("foobar_http_source_info", &[("port", port), ("source", name)]);
        assert_eq!((source("none"), source("wire"), source("turns")), (Some(1.0), None, None));
    }
    assert_eq!(attached(&daemon, "observe_ingress"), Some(0.0));
    assert_eq!((attached(&daemon, "ingress"), attached(&daemon, "egress")), (Some(1.0), Some(1.0)));
    assert_eq!(scrape.sum("foobar_connections_accepted_total", &[("port", "80")]), 3.0);
    let doctor = daemon.foobar(&["doctor"]);
    assert!(
        doctor.text().contains("not every interface takes the programs that read packets"),
        "{}",
        doctor.text()
    );

    // A restart tries again; with the hook still full nothing changes, with room in it requests are counted.
    daemon.process().stop();
    daemon.launch();
    assert_eq!(attached(&daemon, "observe_ingress"), Some(0.0));
    drop(crowd);
    daemon.process().stop();
    daemon.launch();
    assert_eq!(attached(&daemon, "observe_ingress"), Some(1.0));
    fetch(&client, 4);
    let scrape = daemon.scrape();
    assert_eq!(scrape.sum("foobar_http_requests_total", &[("port", "80")]), 4.0);
    let wire = [("port", "80"), ("source", "wire")];
    assert_eq!(scrape.find("foobar_http_source_info", &wire), Some(1.0));
    assert!(!warnings(&status(&daemon)).contains("observe_ingress"));
}
