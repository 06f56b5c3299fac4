//! The tables of connections that observers keep take memory only where something is observed, whichever way the policy changes.

use std::time::Duration;

use foobar_tests::harness::{
    Daemon, Lan, Leaks, Netns, Process, eventually, run, tcp_connects, try_run,
};
use serde_json::Value;

const PATIENCE: Duration = Duration::from_secs(60);

const BLIND: &str = r#"
interfaces = ["eth0"]
[[rules]]
name = "web"
ports = [8081]
from = "any"
"#;

/// Entries of the tables: those of HTTP, of TLS, of QUIC.
fn entries(daemon: &Daemon<'_>) -> [u64; 4] {
    let version =
        std::fs::read_dir(daemon.bpf_dir()).expect("pins").flatten().next().expect("a version");
    ["HTTP_FLOWS", "TLS_FLOWS", "TLS_OPENINGS", "QUIC_CLIENTS"].map(|name| {
        let pin = version.path().join("maps").join(name).display().to_string();
        let shown = run("bpftool", &["--json", "map", "show", "pinned", &pin]);
        let shown: Value = serde_json::from_str(&shown).expect("JSON");
        shown["max_entries"].as_u64().expect("a number")
    })
}

/// Makes three requests, which have to be counted from `before` on.
fn is_counted(daemon: &Daemon<'_>, client: &Netns, before: u64) {
    let mut curl = client.command("curl");
    let output = try_run(curl.args(["-s", "-o", "/dev/null", "http://192.0.2.1:8081/?[1-3]"]));
    assert_eq!(output.code, Some(0), "{}", output.text());
    eventually("three requests to be counted", PATIENCE, || {
        let counted = daemon.scrape().sum("foobar_http_requests_total", &[("port", "8081")]) as u64;
        if counted == before + 3 { Ok(()) } else { Err(counted) }
    });
}

#[test]
fn tables_of_connections_are_as_large_as_what_is_observed_needs() {
    let _leaks = Leaks::watch();
    let lan = Lan::new();
    let client = lan.client(10);
    let mut daemon = Daemon::start(&lan.server, BLIND);
    let mut server = lan.server.command("python3");
    server.args(["-m", "http.server", "8081", "--directory"]).arg(daemon.folder());
    let _server = Process::start(server, &daemon.folder().join("server"));
    eventually("the server to listen", PATIENCE, || {
        tcp_connects(&lan.server, "127.0.0.1:8081", Duration::from_secs(1))
    });
    assert_eq!(entries(&daemon), [1; 4], "nothing is observed");

    // Switched on, by a reload.
    let http = format!("{BLIND}[[observe]]\nport = 8081\nprotocol = \"http\"\n");
    daemon.configure(&http);
    daemon.ok(&["reload"]);
    assert_eq!(entries(&daemon), [16384, 1, 1, 1]);
    is_counted(&daemon, &client, 0);
    let https = http.replace("\"http\"", "\"https\"");
    daemon.configure(&https);
    daemon.ok(&["reload"]);
    let [no_http, tls @ ..] = entries(&daemon);
    assert!(no_http == 1 && tls.iter().all(|&entries| entries > 1000), "{tls:?}");

    // Switched off, by a reload; on and off, by a restart. Counters go on.
    daemon.configure(BLIND);
    daemon.ok(&["reload"]);
    assert_eq!(entries(&daemon), [1; 4]);
    for (configuration, expected) in
        [(&*http, [16384, 1, 1, 1]), (BLIND, [1; 4]), (&http, [16384, 1, 1, 1])]
    {
        daemon.process().signal(nix::sys::signal::Signal::SIGTERM);
        assert!(daemon.process().wait(PATIENCE).success(), "{}", daemon.log());
        daemon.configure(configuration);
        daemon.launch();
        assert_eq!(entries(&daemon), expected);
        if expected[0] > 1 {
            let before = daemon.scrape().sum("foobar_http_requests_total", &[("port", "8081")]);
            is_counted(&daemon, &client, before as u64);
        }
    }
    let left =
        std::fs::read_dir(daemon.bpf_dir()).expect("pins").flatten().next().expect("a version");
    let left = std::fs::read_dir(left.path().join("maps")).expect("maps").flatten();
    let left: Vec<_> = left.filter(|pin| pin.file_name().to_string_lossy().contains('-')).collect();
    assert!(left.is_empty(), "{left:?}");
}
