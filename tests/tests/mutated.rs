//! Control requests that went wrong on their way: a running daemon answers each of them, and goes on.

use std::{
    env,
    io::{Read as _, Write as _},
    os::unix::net::UnixStream,
    path::Path,
    thread,
    time::Duration,
};

use foobar_tests::harness::{Daemon, Lan, Leaks};
use serde_json::Value;

/// Requests in a test run; `FOOBAR_REQUESTS` chooses another number, as `cargo xtask fuzz --control` does.
const REQUESTS: u32 = 2_000;
/// Clients that send them.
const CLIENTS: u32 = 4;
/// One of so many is broken below HTTP, and ends its connection.
const RAW: u32 = 50;

const CONFIGURATION: &str = r#"
interfaces = ["eth0"]
[metrics]
listen = "127.0.0.1:9898"
[allowlists.friends]
entries = ["192.0.2.10"]
[blocklists.abuse]
[[rules]]
name = "web"
ports = [80]
from = ["friends"]
"#;

/// Requests that are right, and change little.
const SEEDS: [(&str, &str, &str); 8] = [
    ("GET", "/v1/status", ""),
    ("GET", "/v1/lists/allow/friends?limit=3&after=192.0.2.1", ""),
    (
        "POST",
        "/v1/lists/allow/friends/add",
        r#"{"entries":["10.1.2.3","2001:db8::/32"],"comment":"a","ttl_seconds":60}"#,
    ),
    (
        "POST",
        "/v1/lists/allow/friends/remove",
        r#"{"entries":["10.1.2.3"],"if_generation":3,"force":true}"#,
    ),
    (
        "POST",
        "/v1/lists/block/abuse/replace",
        r#"{"text":"203.0.113.0/24 # why\n","text_name":"abuse.txt"}"#,
    ),
    ("POST", "/v1/explain", r#"{"from":"192.0.2.10","port":80,"protocol":"tcp"}"#),
    ("POST", "/v1/reload", r#"{"if_generation":0,"confirm_seconds":60}"#),
    ("POST", "/v1/confirm", ""),
];

/// What mistakes are made of.
const SCRAPS: [&[u8]; 16] = [
    b"\"",
    b"{",
    b"}",
    b"[",
    b"]",
    b",",
    b":",
    b"\\u0000",
    b"-1",
    b"1e999",
    b"99999999999999999999",
    b"/0",
    b"::",
    b"\xff",
    b"\x00",
    b"null",
];

fn mutated(seed: &[u8], random: &mut fastrand::Rng) -> Vec<u8> {
    let mut bytes = seed.to_vec();
    for _ in 0..random.u32(0..4) {
        let at = random.usize(0..=bytes.len());
        let end = (at + random.usize(0..8)).min(bytes.len());
        let scrap = SCRAPS[random.usize(0..SCRAPS.len())];
        match random.u32(0..4) {
            0 => drop(bytes.splice(at..end, scrap.iter().copied())),
            1 => drop(bytes.splice(at..at, scrap.iter().copied())),
            2 => drop(bytes.drain(at..end)),
            _ if at < bytes.len() => bytes[at] ^= 1 << random.u32(0..8),
            _ => {}
        }
    }
    bytes
}

/// The path as a client must write it: what is no visible character would not even be HTTP.
fn path(bytes: &[u8]) -> String {
    let mut path = String::from("/");
    for &byte in bytes.strip_prefix(b"/").unwrap_or(bytes) {
        match byte {
            b'!'..=b'~' if byte != b'#' => path.push(char::from(byte)),
            other => path.push_str(&format!("%{other:02X}")),
        }
    }
    path
}

/// Bytes that are not HTTP: the daemon hangs up, or says what is wrong.
fn send_raw(socket: &Path, bytes: &[u8]) {
    let mut stream = UnixStream::connect(socket).expect("a daemon that listens");
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a time limit");
    let _ = stream.write_all(bytes);
    let _ = stream.shutdown(std::net::Shutdown::Write);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
}

#[test]
fn slow_whatever_is_asked_the_daemon_goes_on() {
    let requests =
        env::var("FOOBAR_REQUESTS").map_or(REQUESTS, |number| number.parse().expect("a number"));
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let _leaks = Leaks::watch();
    let lan = Lan::new();
    let mut daemon = Daemon::start(&lan.server, CONFIGURATION);
    let socket = daemon.runtime_dir().join("control.sock");
    let answers = thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|client| {
                let (mut control, socket) = (daemon.control(), &socket);
                let mut random = fastrand::Rng::with_seed(seed.wrapping_add(u64::from(client)));
                scope.spawn(move || {
                    let mut answers = [0u32; 6];
                    for _ in 0..requests / CLIENTS {
                        let (method, target, body) = SEEDS[random.usize(0..SEEDS.len())];
                        if random.u32(0..RAW) == 0 {
                            let raw = format!("{method} {target} HTTP/1.1\r\nhost: a\r\ncontent-length: {}\r\n\r\n{body}", body.len());
                            send_raw(socket, &mutated(raw.as_bytes(), &mut random));
                            answers[0] += 1;
                            continue;
                        }
                        // Mostly the body: a path that is wrong ends early.
                        let in_path = random.u32(0..4) == 0;
                        let target = if in_path { path(&mutated(target.as_bytes(), &mut random)) } else { target.to_owned() };
                        let body = mutated(body.as_bytes(), &mut random);
                        let (status, answer) = control
                            .request(method, &target, &body)
                            .unwrap_or_else(|error| panic!("{method} {target} {body:?}: {error}"));
                        assert!((200..500).contains(&status), "{status} to {method} {target} {body:?}: {answer}");
                        if status >= 400 && status != 405 {
                            assert!(answer["error"].is_string() || answer == Value::Null, "{status}: {answer}");
                        }
                        answers[usize::from(status / 100)] += 1;
                    }
                    answers
                })
            })
            .collect();
        let mut sum = [0; 6];
        for client in clients {
            let answers = client.join().expect("a client");
            sum.iter_mut().zip(answers).for_each(|(sum, answers)| *sum += answers);
        }
        sum
    });
    println!(
        "{requests} requests: {} done, {} refused, {} not HTTP",
        answers[2], answers[4], answers[0]
    );
    assert!(answers[2] > 0 && answers[4] > 0 && answers[0] > 0, "{answers:?}");
    assert_eq!(daemon.process().ended(), None, "{}", daemon.log());
    let log = daemon.log();
    assert!(!log.contains("panicked"), "{log}");
    daemon.ok(&["status"]);
}
