//! The expiry of certificates is what openssl says of the same port and name.

use std::{process::Command, time::Duration};

use foobar_tests::harness::{Daemon, Lan, Leaks, Netns, Process, eventually, run, try_run};

use super::servers::{Server, certificate, folder, write};

const PATIENCE: Duration = Duration::from_secs(60);
const EXPIRY: &str = "foobar_tls_certificate_expiry_timestamp_seconds";
const FAILURES: &str = "foobar_tls_certificate_read_failures_total";

const CONFIGURATION: &str = r#"
interfaces = ["eth0"]
[[rules]]
name = "web"
ports = [443, 8443]
from = "any"
[[observe]]
port = 443
protocol = "https"
server_names = ["www.foobar.com", "api.foobar.com"]
[[observe]]
port = 8443
protocol = "https"
"#;

const SITES: &str = r"
server {
    listen 443 ssl default_server;
    listen [::]:443 ssl default_server;
    ssl_certificate FOLDER/www.pem;
    ssl_certificate_key FOLDER/www.key;
}
server {
    listen 443 ssl;
    listen [::]:443 ssl;
    server_name api.foobar.com;
    ssl_certificate FOLDER/api.pem;
    ssl_certificate_key FOLDER/api.key;
}
";

/// `notAfter` of what the port serves for this name, in seconds since 1970.
fn by_openssl(namespace: &Netns, port: u16, name: Option<&str>) -> f64 {
    let name = name.map_or("-noservername".to_owned(), |name| format!("-servername {name}"));
    let script = format!(
        "openssl s_client -connect 127.0.0.1:{port} {name} </dev/null 2>/dev/null | \
         openssl x509 -noout -enddate"
    );
    let output = try_run(namespace.command("sh").args(["-c", &script]));
    let date = output.stdout.trim().strip_prefix("notAfter=");
    let date = date.unwrap_or_else(|| panic!("openssl says no date: {}", output.text()));
    run("date", &["-d", date, "+%s"]).trim().parse().expect("seconds since 1970")
}

fn shown(daemon: &Daemon<'_>, port: &str, name: &str) -> Option<f64> {
    daemon.scrape().find(EXPIRY, &[("port", port), ("server_name", name)])
}

/// Waits until foobar says what openssl says.
fn agrees(daemon: &Daemon<'_>, namespace: &Netns, port: u16, name: Option<&str>) -> f64 {
    let expected = by_openssl(namespace, port, name);
    let label = name.unwrap_or("default");
    eventually("the expiry that openssl sees", PATIENCE, || {
        match shown(daemon, &port.to_string(), label) {
            Some(found) if (found - expected).abs() < f64::EPSILON => Ok(()),
            found => Err(format!("{port} {label}: {found:?}, openssl: {expected}")),
        }
    });
    expected
}

#[test]
fn expiry_is_read_by_name_also_from_servers_that_start_late_and_after_a_renewal() {
    let _leaks = Leaks::watch();
    let lan = Lan::new();
    let daemon = Daemon::start(&lan.server, CONFIGURATION);
    // Nobody listens yet: no value that would be wrong, and a count of what failed.
    let failed = |port: &str| {
        eventually("a failed attempt", PATIENCE, || {
            match daemon.scrape().sum(FAILURES, &[("port", port)]) {
                count if count >= 1.0 => Ok(()),
                count => Err(count),
            }
        });
    };
    failed("443");
    failed("8443");
    assert_eq!(shown(&daemon, "443", "default"), None);

    let folder = folder();
    certificate(folder.path(), "www", "www.foobar.com", 2);
    certificate(folder.path(), "api", "api.foobar.com", 30);
    let sites = SITES.replace("FOLDER", &folder.path().display().to_string());
    let nginx = Server::nginx(&lan.server, folder, &sites, &["127.0.0.1:443", "[::1]:443"]);
    let www = agrees(&daemon, &lan.server, 443, Some("www.foobar.com"));
    let api = agrees(&daemon, &lan.server, 443, Some("api.foobar.com"));
    assert!(api > www + 27.0 * 86400.0, "the names have certificates of their own");
    agrees(&daemon, &lan.server, 443, None);

    // Renewed on disk and in nginx; the next reading sees it, here that of a reload.
    certificate(nginx.path(), "www", "www.foobar.com", 90);
    nginx.signal("nginx.pid", "HUP");
    eventually("nginx to serve the new one", PATIENCE, || {
        match by_openssl(&lan.server, 443, Some("www.foobar.com")) {
            new if new > www => Ok(()),
            old => Err(old),
        }
    });
    daemon.ok(&["reload"]);
    assert!(agrees(&daemon, &lan.server, 443, Some("www.foobar.com")) > www + 80.0 * 86400.0);
    agrees(&daemon, &lan.server, 443, None);

    // A name that is not served any more, or not asked for, has no series.
    daemon.configure(&CONFIGURATION.replace(", \"api.foobar.com\"", ""));
    daemon.ok(&["reload"]);
    eventually("the name to go", PATIENCE, || match shown(&daemon, "443", "api.foobar.com") {
        None => Ok(()),
        Some(time) => Err(time),
    });
    // Each port, and each of its names, was complained about once although several attempts failed.
    let log = daemon.log();
    let complaints = |what: &str| {
        log.lines().filter(|line| line.contains(what) && line.contains("is not read")).count()
    };
    assert_eq!(complaints("port 443 for www.foobar.com"), 1, "{log}");
    assert!(complaints("port 8443 for clients") >= 1, "{log}");
}

/// A server that wants a certificate of the client refuses the handshake, after it has shown its own; under TLS 1.2 before the
/// handshake is complete.
#[test]
fn expiry_is_read_from_servers_that_refuse_and_from_old_ones() {
    let _leaks = Leaks::watch();
    let lan = Lan::new();
    let folder = folder();
    let path = certificate(folder.path(), "mutual", "www.foobar.com", 7);
    let key = folder.path().join("mutual.key");
    let serve = |port: &str, arguments: &[&str]| {
        let mut command: Command = lan.server.command("openssl");
        command.args(["s_server", "-quiet", "-accept", port]).args(arguments);
        command.arg("-cert").arg(&path).arg("-key").arg(&key);
        Process::start(command, &folder.path().join(format!("s_server-{port}.log")))
    };
    let mut servers = [
        serve("443", &["-tls1_2", "-Verify", "1", "-verify_return_error"]),
        serve("8443", &["-tls1_3", "-Verify", "1", "-verify_return_error"]),
    ];
    write(&folder, "ready", "");
    let daemon = Daemon::start(&lan.server, CONFIGURATION);
    let expected =
        run("openssl", &["x509", "-noout", "-enddate", "-in", &path.display().to_string()]);
    let date = expected.trim().trim_start_matches("notAfter=").to_owned();
    let expected: f64 = run("date", &["-d", &date, "+%s"]).trim().parse().expect("seconds");
    for port in ["443", "8443"] {
        eventually("the certificate", PATIENCE, || match shown(&daemon, port, "default") {
            Some(found) if (found - expected).abs() < f64::EPSILON => Ok(()),
            found => Err(found),
        });
    }
    assert!(servers.iter_mut().all(|server| server.ended().is_none()));
}
