//! What is answered.

use std::io::{Read, Write};
use std::time::Duration;

use super::{Quiet, Running, Source, is_closed, parts};
use crate::live::{Live, Since};
use crate::metrics::listener::{Listener, ListenerLimits};
use crate::metrics::tests::text;
use crate::metrics::{CONTENT_TYPE, Snapshot};

#[test]
fn metrics_are_served() {
    let running = Running::start(Quiet, ListenerLimits::default());
    let answer = running.ask("GET", "/metrics");
    let (status, headers, body) = parts(&answer);
    assert_eq!(status, "HTTP/1.1 200 OK");
    assert!(headers.to_lowercase().contains(&format!("content-type: {CONTENT_TYPE}")), "{headers}");
    assert_eq!(text::parse(body).value("foobar_policy_generation", &[]), Some(7.0));
}

#[test]
fn head_tells_the_length_and_sends_no_body() {
    let running = Running::start(Quiet, ListenerLimits::default());
    let answer = running.ask("GET", "/metrics");
    let length = format!("content-length: {}", parts(&answer).2.len());
    let answer = running.ask("HEAD", "/metrics");
    let (status, headers, body) = parts(&answer);
    assert_eq!((status, body), ("HTTP/1.1 200 OK", ""));
    assert!(headers.to_lowercase().contains(&length), "{headers}");
}

#[test]
fn other_paths_and_methods_are_refused_with_a_hint() {
    let running = Running::start(Quiet, ListenerLimits::default());
    let answer = running.ask("GET", "/metric");
    let (status, _, body) = parts(&answer);
    assert_eq!(status, "HTTP/1.1 404 Not Found");
    assert!(body.contains("/metrics"), "{body}");
    let answer = running.ask("DELETE", "/metrics");
    let (status, headers, body) = parts(&answer);
    assert_eq!(status, "HTTP/1.1 405 Method Not Allowed");
    assert!(headers.to_lowercase().contains("allow: get, head"), "{headers}");
    assert!(body.contains("GET"), "{body}");
}

#[test]
fn a_page_of_somebody_else_cannot_read_what_is_on_loopback() {
    let running = Running::start(Quiet, ListenerLimits::default());
    for path in ["/", "/metrics", "/api/live", "/healthz"] {
        for (host, expected) in [
            (
                format!("evil.example:{}", running.address.port()),
                "HTTP/1.1 421 Misdirected Request",
            ),
            (running.address.to_string(), "HTTP/1.1 200 OK"),
        ] {
            let mut stream = running.connect();
            write!(stream, "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")
                .unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).unwrap();
            let (status, _, body) = parts(&answer);
            assert_eq!(status, expected, "{path}, {host}");
            assert_eq!(body.contains("answers to localhost"), expected.contains("421"), "{body}");
        }
    }
}

#[test]
fn a_connection_is_kept_for_the_next_scrape() {
    let running = Running::start(Quiet, ListenerLimits::default());
    let mut stream = running.connect();
    for _ in 0..3 {
        stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"ok\n") {
            let mut buffer = [0; 1024];
            let read = stream.read(&mut buffer).unwrap();
            assert!(read > 0, "closed after {}", String::from_utf8_lossy(&answer));
            answer.extend_from_slice(&buffer[..read]);
        }
    }
}

#[test]
fn what_is_no_http_is_refused_and_the_next_one_served() {
    let running = Running::start(Quiet, ListenerLimits::default());
    let garbage = [
        &b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n"[..],
        b"GET /metrics SPDY/9\r\n\r\n",
        b"\r\n\0\0\0\0\r\n\r\n",
    ];
    for bytes in garbage {
        let mut stream = running.connect();
        stream.write_all(bytes).unwrap();
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        assert!(
            answer.is_empty() || answer.starts_with(b"HTTP/1.1 400"),
            "{}",
            String::from_utf8_lossy(&answer)
        );
    }
    let mut endless = running.connect();
    endless.write_all(b"GET /metrics HTTP/1.1\r\n").unwrap();
    let header = format!("x: {}\r\n", "y".repeat(1000));
    let mut sent = 0;
    while endless.write_all(header.as_bytes()).is_ok() {
        sent += header.len();
        assert!(sent < 64 << 20, "{sent} bytes of headers were taken");
    }
    assert!(parts(&running.ask("GET", "/healthz")).0.ends_with("200 OK"));
}

/// A source that fails.
struct Failing;

impl Source for Failing {
    fn snapshot(&self) -> anyhow::Result<Snapshot> {
        Err(anyhow::anyhow!("Bad file descriptor").context("cannot read the map COUNTERS"))
    }

    fn health(&self) -> Result<(), String> {
        Err("the egress program is not attached to eth0".to_owned())
    }

    fn live(&self, _: Since) -> Live {
        Live::default()
    }
}

#[test]
fn failures_say_why() {
    let running = Running::start(Failing, ListenerLimits::default());
    let answer = running.ask("GET", "/metrics");
    let (status, _, body) = parts(&answer);
    assert_eq!(status, "HTTP/1.1 500 Internal Server Error");
    assert!(body.contains("cannot read the map COUNTERS: Bad file descriptor"), "{body}");
    let answer = running.ask("GET", "/healthz");
    let (status, _, body) = parts(&answer);
    assert_eq!(status, "HTTP/1.1 503 Service Unavailable");
    assert_eq!(body, "the egress program is not attached to eth0\n");
}

#[test]
fn health_is_answered() {
    let running = Running::start(Quiet, ListenerLimits::default());
    let answer = running.ask("GET", "/healthz");
    assert_eq!((parts(&answer).0, parts(&answer).2), ("HTTP/1.1 200 OK", "ok\n"));
}

#[test]
fn a_shutdown_closes_the_port_and_idle_connections() {
    let mut running = Running::start(Quiet, ListenerLimits::default());
    let mut idle = running.connect();
    assert!(parts(&running.ask("GET", "/healthz")).0.ends_with("200 OK"));
    running.stop();
    running.ended();
    assert!(is_closed(&mut idle));
    assert!(std::net::TcpStream::connect(running.address).is_err());
}

#[test]
fn a_taken_port_is_named_with_the_remedy() {
    let running = Running::start(Quiet, ListenerLimits::default());
    let bind = |address| Listener::bind(address).expect_err("it cannot be bound");
    let taken = bind(running.address).to_string();
    assert!(
        taken.contains(&running.address.to_string())
            && taken.contains("another program listens there"),
        "{taken}"
    );
    assert!(taken.contains("`listen` under [metrics]"), "{taken}");
    // TEST-NET-1 (RFC 5737) belongs to no host.
    let absent = bind(([192, 0, 2, 1], 9898).into()).to_string();
    assert!(absent.contains("no interface of this host has this address"), "{absent}");
}

/// A source that takes its time.
struct Slow;

impl Source for Slow {
    fn snapshot(&self) -> anyhow::Result<Snapshot> {
        std::thread::sleep(Duration::from_millis(300));
        Quiet.snapshot()
    }

    fn health(&self) -> Result<(), String> {
        Ok(())
    }

    fn live(&self, _: Since) -> Live {
        Live::default()
    }
}

#[test]
fn a_scrape_under_way_is_finished_before_the_end() {
    let mut running = Running::start(
        Slow,
        ListenerLimits { drain: super::PATIENCE, ..ListenerLimits::default() },
    );
    let mut stream = running.connect();
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    std::thread::sleep(Duration::from_millis(100));
    running.stop();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert_eq!(parts(&answer).0, "HTTP/1.1 200 OK");
    assert!(answer.ends_with('\n') && text::parse(parts(&answer).2).samples.len() > 100);
    running.ended();
}

#[test]
fn the_status_page_is_one_document_that_loads_nothing_and_runs_no_other_script() {
    let running = Running::start(Quiet, ListenerLimits::default());
    let answer = running.ask("GET", "/");
    let (status, headers, body) = parts(&answer);
    assert_eq!(status, "HTTP/1.1 200 OK");
    let headers = headers.to_lowercase();
    assert!(headers.contains("content-type: text/html; charset=utf-8"), "{headers}");
    assert!(headers.contains("x-content-type-options: nosniff"), "{headers}");
    let policy = headers.lines().find(|line| line.starts_with("content-security-policy: "));
    let policy = policy.expect("a policy");
    assert!(policy.contains("default-src 'none'") && policy.contains("connect-src 'self'"));
    assert!(!policy.contains("unsafe") && !policy.contains('*'), "{policy}");
    assert_eq!(body.matches("<script>").count(), 1);
    assert_eq!(body.matches("<style>").count(), 1);
    for outside in ["src=", "@import", "url(", "style=", " onclick", "/*STYLE*/", "/*SCRIPT*/"] {
        assert!(!body.contains(outside), "{outside}");
    }
    let addresses = body.match_indices("http").map(|(at, _)| &body[at..(at + 30).min(body.len())]);
    let known = |address: &str| address.starts_with("http://www.w3.org/2000/svg");
    assert_eq!(addresses.filter(|address| address.contains("//") && !known(address)).count(), 0);
    assert!(body.len() < 48 << 10, "{} bytes", body.len());
}

#[test]
fn the_numbers_of_the_page_are_json_that_is_never_kept() {
    let running = Running::start(Quiet, ListenerLimits::default());
    let answer = running.ask("GET", "/api/live?id=7&after=3");
    let (status, headers, body) = parts(&answer);
    assert_eq!(status, "HTTP/1.1 200 OK");
    assert!(headers.to_lowercase().contains("cache-control: no-store"), "{headers}");
    let live: Live = serde_json::from_str(body).unwrap();
    assert_eq!(live.blocked, None);
    let answer = running.ask("GET", "/api/live?blocked=true");
    let (status, _, body) = parts(&answer);
    assert_eq!(status, "HTTP/1.1 400 Bad Request");
    assert!(body.contains("blocked"), "{body}");
}
