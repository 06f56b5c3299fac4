//! Requests counted by probes on nginx's functions, against its access log: whose requests, of which kind, and how long they took.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    path::Path,
    time::Duration,
};

use foobar_tests::harness::{Daemon, Lan, Leaks, Netns, eventually, try_run};

use super::{
    probed::{PATIENCE, Probed, configuration, copy_of},
    servers::{Server, certificate, folder},
    table::Table,
    workloads,
};

const SITES: &str = r#"
log_format short '$server_port $status $bytes_sent $request_time $request';
access_log FOLDER/access.log short;
keepalive_requests 100000;
client_max_body_size 4m;
client_header_timeout 2s;
server {
    listen 443 ssl http2;
    listen 8443 ssl http2;
    listen 80;
    listen [::]:80;
    listen 127.0.0.1:8081;
    listen unix:FOLDER/nginx.sock;
    ssl_certificate FOLDER/www.pem;
    ssl_certificate_key FOLDER/www.key;
    location = /missing { return 404; }
    location = /moved { return 301 /; }
    location = /broken { return 502; }
    location = /silent { return 444; }
    location = /denied { deny all; }
    location = /error { error_page 418 =503 /page; return 418; }
    location = /page { internal; default_type text/plain; return 200 "sorry\n"; }
    location = /upload { proxy_pass http://127.0.0.1:8082; }
    location = /slow { proxy_pass http://127.0.0.1:8083; proxy_buffering off; }
    location = /status { stub_status; access_log off; }
    location / { default_type text/plain; return 200 "hello\n"; }
}
server {
    listen 127.0.0.1:8082;
    access_log off;
    client_max_body_size 4m;
    location / { return 204; }
}
server {
    listen 127.0.0.1:8083;
    access_log off;
    root FOLDER/pages;
    location / { limit_rate 100; try_files /slow =404; }
}
"#;

/// nginx from this program, with all its ports.
pub fn nginx(namespace: &Netns, program: &Path, folder: tempfile::TempDir) -> Server {
    certificate(folder.path(), "www", "www.foobar.com", 2);
    let pages = folder.path().join("pages");
    std::fs::create_dir(&pages).expect("a folder");
    std::fs::write(pages.join("slow"), [b'x'; 150]).expect("a page");
    let sites = SITES.replace("FOLDER", &folder.path().display().to_string());
    let listens = ["127.0.0.1:443", "127.0.0.1:80"];
    Server::nginx_from(&program.display().to_string(), namespace, folder, &sites, &listens)
}

/// Observes 443 and 80 of the server that runs this program.
pub fn observed(program: &Path) -> String {
    let program = format!("program = \"{}\"", program.display());
    configuration(&[(443, "https", "nginx-probe", &program), (80, "http", "nginx-probe", &program)])
}

/// nginx from a copy of its program, and a daemon that observes two of its ports.
pub fn site<'a>(lan: &'a Lan, ports: &'a [&'a str]) -> Probed<'a> {
    let folder = folder();
    let program = copy_of("/usr/sbin/nginx", folder.path());
    let server = nginx(&lan.server, &program, folder);
    let daemon = Daemon::start(&lan.server, &observed(&program));
    let site = Probed { daemon, server, ports };
    site.ready();
    site
}

/// Sends something from a client and reads what comes, until the server closes or `bytes` were read.
fn say(client: &Netns, port: u16, text: &str, bytes: usize) -> usize {
    let address: SocketAddr = format!("{}:{port}", Lan::SERVER4).parse().expect("an address");
    client.enter(|| {
        let mut stream = TcpStream::connect(address).expect("a connection");
        stream.set_read_timeout(Some(PATIENCE)).expect("a limit");
        stream.write_all(text.as_bytes()).expect("sent");
        let (mut total, mut buffer) = (0, [0; 1024]);
        while total < bytes {
            match stream.read(&mut buffer) {
                Ok(0) | Err(_) => break,
                Ok(read) => total += read,
            }
        }
        total
    })
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: foobar\r\nConnection: close\r\n\r\n")
}

#[test]
fn slow_nginx_is_counted_exactly() {
    let _leaks = Leaks::watch();
    let lan = Lan::new();
    let site = site(&lan, &["443", "80"]);
    let page = site.daemon.scrape();
    let source = [("port", "443"), ("source", "nginx-probe")];
    assert_eq!(page.sum("foobar_http_source_info", &source), 1.0);
    let mut table = Table::new("nginx-probe");
    let client = lan.client(10);
    for workload in workloads::ALL {
        site.row(&mut table, workload.name, || (workload.run)(&client));
    }
    site.row(
        &mut table,
        "HTTP in clear: every class of status, an error page of another status",
        || {
            for path in ["/", "/moved", "/missing", "/denied", "/broken", "/error"] {
                for _ in 0..5 {
                    assert!(say(&client, 80, &get(path), usize::MAX) > 0);
                }
            }
            // No HTTP at all, and a method that nobody knows.
            say(&client, 80, "\u{1}\u{2}\u{3}\r\n\r\n", usize::MAX);
            say(
                &client,
                80,
                "BREW / HTTP/1.1\r\nHost: foobar\r\nConnection: close\r\n\r\n",
                usize::MAX,
            );
        },
    );
    site.row(
        &mut table,
        "clients that give up, a header that never ends, an answer that never comes (444)",
        || {
            for _ in 0..5 {
                // Gone before the backend answered; and in the middle of the answer.
                say(&client, 80, &get("/slow"), 0);
                assert_eq!(say(&client, 80, &get("/silent"), usize::MAX), 0);
                let half =
                    "POST /upload HTTP/1.1\r\nHost: foobar\r\nContent-Length: 100000\r\n\r\nhalf";
                say(&client, 80, half, 0);
            }
            say(&client, 80, &get("/slow"), 200);
            // No header within two seconds: 408, of which nothing is sent.
            assert_eq!(say(&client, 80, "GET / HTTP/1.1\r\nHost: ", usize::MAX), 0);
        },
    );
    // Neither other ports of the same nginx, nor its socket, nor its requests to itself.
    let before = site.counted();
    let others = || {
        let output = try_run(client.command("curl").args([
            "-sk",
            "--noproxy",
            "*",
            &format!("https://{}:8443/[1-20]", Lan::SERVER4),
        ]));
        assert_eq!(output.code, Some(0), "{}", output.text());
        let socket = site.server.path().join("nginx.sock").display().to_string();
        let mut curl = lan.server.command("curl");
        let output = try_run(curl.args(["-s", "--unix-socket", &socket, "http://foobar/[1-20]"]));
        assert_eq!(output.code, Some(0), "{}", output.text());
    };
    // 8443 is not let in by the filter, which is told so for this.
    let text = std::fs::read_to_string(site.daemon.configuration()).expect("the configuration");
    site.daemon.configure(&text.replace("ports = [443, 80]", "ports = [443, 80, 8443]"));
    site.daemon.ok(&["reload"]);
    others();
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(site.counted(), before);
    table.write();
}

#[test]
fn another_nginx_of_the_same_program_elsewhere_is_not_counted() {
    let _leaks = Leaks::watch();
    let lan = Lan::new();
    let site = site(&lan, &["443", "80"]);
    let client = lan.client(10);
    let elsewhere = lan.client(11);
    let program = site.server.path().join("program");
    let other = nginx(&elsewhere, &program, folder());
    let before = site.counted();
    let mut curl = elsewhere.command("curl");
    let output = try_run(curl.args(["-s", "--noproxy", "*", "http://127.0.0.1/[1-50]"]));
    assert_eq!(output.code, Some(0), "{}", output.text());
    eventually("its log", PATIENCE, || match other.log("access.log").lines().count() {
        50 => Ok(()),
        lines => Err(lines),
    });
    site.compare("one request here", || {
        assert!(say(&client, 80, &get("/"), usize::MAX) > 0);
    });
    assert_eq!(site.counted().values().sum::<u64>(), before.values().sum::<u64>() + 1);
}

/// The histogram of durations, and the comparison with nginx's own count of requests.
#[test]
fn durations_and_the_ratio_are_those_of_nginx() {
    let _leaks = Leaks::watch();
    let lan = Lan::new();
    let folder = folder();
    let program = copy_of("/usr/sbin/nginx", folder.path());
    let server = nginx(&lan.server, &program, folder);
    let text =
        format!("program = \"{}\"\nstatus = \"http://127.0.0.1:8081/status\"", program.display());
    let text = configuration(&[
        (80, "http", "nginx-probe", &text),
        (443, "https", "turns", "status = \"http://127.0.0.1:8081/status\""),
    ]);
    let site = Probed { daemon: Daemon::start(&lan.server, &text), server, ports: &["80"] };
    site.ready();
    let client = lan.client(10);
    site.compare("slow and quick", || {
        std::thread::scope(|scope| {
            for _ in 0..3 {
                // 150 bytes at 100 a second: one or two seconds.
                scope.spawn(|| say(&client, 80, &get("/slow"), usize::MAX));
            }
            for _ in 0..20 {
                say(&client, 80, &get("/"), usize::MAX);
            }
        });
    });
    let page = site.daemon.scrape();
    let find = |name: &str, labels: &[(&str, &str)]| {
        page.find(&format!("foobar_http_request_duration_seconds{name}"), labels)
    };
    let log = site.server.log("access.log");
    let times = log.lines().filter(|line| line.starts_with("80 "));
    let times: Vec<f64> = times.filter_map(|line| line.split(' ').nth(3)?.parse().ok()).collect();
    assert_eq!(find("_count", &[("port", "80")]), Some(times.len() as f64));
    let up_to = |limit: f64| times.iter().filter(|time| **time <= limit).count() as f64;
    for (bound, limit) in [("0.5", 0.5), ("10", 10.0)] {
        let labels = [("port", "80"), ("le", bound)];
        assert_eq!(find("_bucket", &labels), Some(up_to(limit)), "{bound}: {times:?}");
    }
    // nginx reads its clock once a round of its loop, and shows milliseconds.
    let (sum, logged) =
        (find("_sum", &[("port", "80")]).expect("a sum"), times.iter().sum::<f64>());
    assert!((sum - logged).abs() < 0.25 && sum > 2.0, "{sum}, logged {logged}");

    let ratio = |port: &str| {
        let page = site.daemon.scrape();
        page.find("foobar_http_observed_ratio", &[("port", port)]).expect("a ratio")
    };
    // Both ports and what nginx asked of itself for /slow are in its count.
    eventually("the ratio of probes", PATIENCE, || match ratio("80") {
        ratio if ratio > 0.5 && ratio <= 1.0 => Ok(()),
        other => Err(other),
    });
    let mut curl = client.command("curl");
    let url = format!("https://{}/[1-20]", Lan::SERVER4);
    let output = try_run(curl.args(["-sk", "--http1.1", "--noproxy", "*", &url]));
    assert_eq!(output.code, Some(0), "{}", output.text());
    eventually("the ratio of turns", PATIENCE, || match ratio("443") {
        ratio if ratio > 0.3 && ratio < 1.0 => Ok(()),
        other => Err(other),
    });
}
