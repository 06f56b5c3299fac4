//! What counts the requests of a port is named wherever it is asked for, and two counts of the same requests are compared.

use std::{fs, path::Path, time::Duration};

use foobar_tests::harness::{
    Daemon, Lan, Leaks, Process, eventually, nginx_folders, tcp_connects, try_run,
};
use serde_json::Value;

const PATIENCE: Duration = Duration::from_secs(60);

const CONFIGURATION: &str = r#"
interfaces = ["eth0"]
[[rules]]
name = "web"
ports = [80, 443, 22]
from = "any"
[[observe]]
port = 80
protocol = "http"
status = "http://127.0.0.1:8082/stub_status"
[[observe]]
port = 443
protocol = "https"
"#;

fn nginx(folder: &Path) -> String {
    let (temporary, folder) = (nginx_folders(folder), folder.display());
    format!(
        r#"
user root;
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
events {{ worker_connections 512; }}
http {{
    access_log off;
    {temporary}
    server {{
        listen 80;
        location / {{ return 200 "hello\n"; }}
    }}
    server {{
        listen 127.0.0.1:8082;
        location = /stub_status {{ stub_status; }}
    }}
}}
"#
    )
}

#[test]
fn a_port_has_one_source_and_two_counts_are_compared() {
    let _leaks = Leaks::watch();
    let lan = Lan::new();
    let client = lan.client(10);
    let folder = tempfile::Builder::new().prefix("foobar-sources-").tempdir().expect("a folder");
    fs::write(folder.path().join("nginx.conf"), nginx(folder.path())).expect("nginx.conf");
    let mut command = lan.server.command("nginx");
    command.arg("-p").arg(folder.path()).args(["-c", "nginx.conf", "-e", "error.log"]);
    let _nginx = Process::start(command, &folder.path().join("output.log"));
    eventually("nginx to listen", PATIENCE, || {
        tcp_connects(&lan.server, "127.0.0.1:8082", Duration::from_secs(1))
    });
    let daemon = Daemon::start(&lan.server, CONFIGURATION);

    let status: Value =
        serde_json::from_str(&daemon.ok(&["status", "--output", "json"])).expect("JSON");
    let told: Vec<_> = (status["ports"].as_array().expect("ports").iter())
        .map(|port| [&port["port"], &port["requests_source"], &port["requests_tier"]])
        .map(|words| words.map(|word| word.as_str().unwrap_or("-")))
        .filter(|[port, ..]| *port != "other")
        .collect();
    for expected in [["80", "wire", "exact"], ["443", "turns", "estimate"], ["22", "-", "-"]] {
        assert!(told.contains(&expected), "{expected:?} is not in {told:?}");
    }
    let text = daemon.ok(&["status"]);
    assert!(text.contains("wire (exact)") && text.contains("turns (estimate)"), "{text}");
    let doctor = daemon.foobar(&["doctor"]).text();
    assert!(doctor.contains("port 80 by wire (exact)"), "{doctor}");
    let info = |port, source| {
        daemon.scrape().find("foobar_http_source_info", &[("port", port), ("source", source)])
    };
    assert_eq!((info("80", "wire"), info("443", "turns")), (Some(1.0), Some(1.0)));
    assert_eq!(info("80", "nginx-status"), None, "sources are never summed");

    // What comes over the network is seen by both; what stays on loopback by nginx alone.
    let ratio = || daemon.scrape().find("foobar_http_observed_ratio", &[("port", "80")]);
    eventually("the page to be read", PATIENCE, || {
        let up = daemon.scrape().find("foobar_http_status_page_up", &[("port", "80")]);
        if up == Some(1.0) && ratio().is_some() { Ok(()) } else { Err(up) }
    });
    // So that what follows lies between two readings of both counts.
    std::thread::sleep(Duration::from_secs(3));
    let ask = |mut curl: std::process::Command, address: &str| {
        let output = try_run(curl.args(["-s", "-o", "/dev/null", address]));
        assert_eq!(output.code, Some(0), "{}", output.text());
    };
    ask(client.command("curl"), "http://192.0.2.1/[1-100]");
    eventually("both to have counted the same", PATIENCE, || match ratio() {
        Some(1.0) => Ok(()),
        other => Err(other),
    });
    ask(lan.server.command("curl"), "http://127.0.0.1/[1-100]");
    eventually("half of it to be seen", PATIENCE, || match ratio() {
        Some(ratio) if (0.45..=0.55).contains(&ratio) => Ok(()),
        other => Err(other),
    });
}
