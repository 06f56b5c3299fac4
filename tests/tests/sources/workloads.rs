//! What clients do to a server, and what the server logged of it.

use std::time::Duration;

use foobar_tests::harness::{Lan, Netns, Output, try_run};

/// A server over TLS that answers `/` with 200, `/missing` with 404, and takes uploads at `/upload`.
pub const PORT: u16 = 443;

/// One workload: its name, and what does it.
pub struct Workload {
    pub name: &'static str,
    /// Whether HTTP/2 is spoken, of which Apache misses some requests in its own count.
    pub is_http2: bool,
    pub run: fn(&Netns),
}

const LIMIT: Duration = Duration::from_secs(60);

/// Runs a client to its end, for at most a minute.
fn client(namespace: &Netns, program: &str, arguments: &[&str]) -> Output {
    let mut command = namespace.command("timeout");
    command.arg(LIMIT.as_secs().to_string()).arg(program).args(arguments);
    try_run(&mut command)
}

fn url(path: &str) -> String {
    format!("https://{}{path}", Lan::SERVER4)
}

fn h2load(namespace: &Netns, arguments: &[&str], path: &str) {
    let url = url(path);
    let output = client(namespace, "h2load", &[arguments, &[&url]].concat());
    assert_eq!(output.code, Some(0), "{}", output.text());
    assert!(output.stdout.contains("status codes:"), "{}", output.text());
}

fn curl(namespace: &Netns, arguments: &[&str]) {
    let common =
        ["--silent", "--show-error", "--insecure", "--noproxy", "*", "--output", "/dev/null"];
    let output = client(namespace, "curl", &[&common, arguments].concat());
    assert_eq!(output.code, Some(0), "{}", output.text());
}

/// Each a way in which the wire alone would miscount.
pub const ALL: &[Workload] = &[
    Workload {
        name: "HTTP/1.1, keep-alive",
        is_http2: false,
        run: |client| h2load(client, &["--h1", "-n", "400", "-c", "4"], "/"),
    },
    Workload {
        name: "HTTP/1.1, one request a connection",
        is_http2: false,
        run: |client| {
            for _ in 0..20 {
                curl(client, &["--http1.1", &url("/")]);
            }
        },
    },
    Workload {
        name: "HTTP/1.1, pipelined 8 deep",
        is_http2: false,
        run: |client| h2load(client, &["--h1", "-n", "400", "-c", "2", "-m", "8"], "/"),
    },
    Workload {
        name: "HTTP/2, 4 connections of 10 streams",
        is_http2: true,
        run: |client| h2load(client, &["-n", "2000", "-c", "4", "-m", "10"], "/"),
    },
    Workload {
        name: "uploads of 1 MB, HTTP/1.1 and HTTP/2",
        is_http2: true,
        run: |client| {
            let body = tempfile::NamedTempFile::new().expect("a file");
            std::fs::write(body.path(), vec![b'x'; 1 << 20]).expect("a body");
            let data = format!("@{}", body.path().display());
            for version in ["--http1.1", "--http2"] {
                for _ in 0..5 {
                    curl(client, &[version, "--data-binary", &data, &url("/upload")]);
                }
            }
        },
    },
    Workload {
        name: "errors (404), HTTP/2",
        is_http2: true,
        run: |client| h2load(client, &["-n", "200", "-c", "2", "-m", "5"], "/missing"),
    },
];
