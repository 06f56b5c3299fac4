//! `foobar watch --requests`: what is told of requests, against the access log of a real nginx.

use std::{fs, path::Path, time::Duration};

use foobar_tests::harness::{
    Daemon, Lan, Leaks, Netns, Process, eventually, holds_for, nginx_folders, run, tcp_connects,
    try_run,
};
use serde_json::Value;
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(60);

const CONFIGURATION: &str = r#"
interfaces = ["eth0"]
[log]
drops = "off"
[[rules]]
name = "web"
ports = [80, 8081, 443]
from = "any"
[[observe]]
port = 80
protocol = "http"
[[observe]]
port = 8081
protocol = "http"
[[observe]]
port = 443
protocol = "https"
"#;

/// One request after the other over one connection; the last comes in two halves.
const CLIENT: &str = r#"
import socket, sys, time
s = socket.create_connection(("192.0.2.1", 80), timeout=30)
def read(method):
    head = b""
    while b"\r\n\r\n" not in head:
        head += s.recv(65536)
    head, body = head.split(b"\r\n\r\n", 1)
    length = [int(l.split(b":")[1]) for l in head.split(b"\r\n") if l.lower().startswith(b"content-length")]
    while method != b"HEAD" and length and len(body) < length[0]:
        body += s.recv(65536)
def ask(method, path, pause=0):
    s.sendall(method + b" /" + path + b"?secret HTTP/1.1\r\nHost: secret\r\n")
    time.sleep(pause)
    s.sendall(b"Cookie: secret\r\n" + (b"Content-Length: 6\r\n\r\nsecret" if method in (b"POST", b"PUT", b"PATCH") else b"\r\n"))
    read(method)
for method, path in ((b"GET", b""), (b"POST", b"created"), (b"PUT", b"broken"), (b"DELETE", b"empty"), (b"HEAD", b"moved"),
                     (b"OPTIONS", b"missing"), (b"PATCH", b""), (b"BREW", b"teapot")):
    ask(method, path)
ask(b"GET", b"", 0.4)
"#;

/// nginx with its log.
struct Site {
    folder: TempDir,
    _nginx: Process,
}

impl Site {
    fn start(server: &Netns) -> Self {
        let folder =
            tempfile::Builder::new().prefix("foobar-requests-").tempdir().expect("a folder");
        let path = folder.path();
        fs::write(path.join("client.py"), CLIENT).expect("client.py");
        fs::write(path.join("nginx.conf"), nginx(path)).expect("nginx.conf");
        let mut command = server.command("nginx");
        command.arg("-p").arg(path).args(["-c", "nginx.conf", "-e", "error.log"]);
        let nginx = Process::start(command, &path.join("output.log"));
        eventually("nginx to listen", PATIENCE, || {
            tcp_connects(server, "127.0.0.1:8081", Duration::from_secs(1))
        });
        Site { folder, _nginx: nginx }
    }

    /// Lines of the access log: `METHOD STATUS PORT VERSION`.
    fn log(&self) -> Vec<String> {
        let log = fs::read_to_string(self.folder.path().join("access.log")).unwrap_or_default();
        log.lines().map(str::to_owned).collect()
    }
}

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
    log_format short '$request_method $status $server_port $server_protocol';
    access_log {folder}/access.log short;
    {temporary}
    keepalive_requests 1000000;
    server {{
        listen 80;
        listen 8081 http2;
        location / {{ default_type text/plain; return 200 "hello\n"; }}
        location /created {{ return 201 "made\n"; }}
        location /empty {{ return 204; }}
        location /moved {{ return 302 /; }}
        location /missing {{ return 404; }}
        location /teapot {{ return 418 "short and stout\n"; }}
        location /broken {{ return 503; }}
    }}
}}
"#
    )
}

/// `foobar watch --requests` in the background.
struct Watch(Process);

impl Watch {
    fn start(daemon: &Daemon<'_>, name: &str, arguments: &[&str]) -> Self {
        let words = [&["watch", "--requests", "--output", "json"], arguments].concat();
        Watch(Process::start(daemon.command(&words), &daemon.folder().join(name)))
    }

    fn lines(&self) -> Vec<Value> {
        let log = self.0.log();
        let whole = log.rsplit_once('\n').map_or("", |(whole, _)| whole);
        let value = |line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}"));
        whole.lines().map(value).collect()
    }

    fn requests(&self) -> Vec<Value> {
        self.lines().into_iter().filter(|line| line["suppressed"].is_null()).collect()
    }

    fn suppressed(&self) -> u64 {
        self.lines().iter().filter_map(|line| line["suppressed"].as_u64()).sum()
    }
}

/// What the kernel may still tell of: (packets of both kinds, requests).
fn budget(daemon: &Daemon<'_>) -> (u32, u32) {
    let version =
        fs::read_dir(daemon.bpf_dir()).expect("pins").flatten().next().expect("a version");
    let pin = version.path().join("maps/SAMPLING");
    let dump = run("bpftool", &["--json", "map", "dump", "pinned", &pin.display().to_string()]);
    let dump: Value = serde_json::from_str(&dump).expect("a dump");
    let bytes: Vec<u8> = (dump[0]["value"].as_array().expect("bytes").iter())
        .map(|byte| byte.as_str().expect("hex").trim_start_matches("0x"))
        .map(|byte| u8::from_str_radix(byte, 16).expect("hex"))
        .collect();
    let word = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"));
    (word(0) + word(4), word(12))
}

fn is_heard(daemon: &Daemon<'_>) {
    eventually("the watcher to be heard", PATIENCE, || match budget(daemon) {
        (0, requests) if requests > 0 => Ok(()),
        other => Err(other),
    });
}

#[test]
fn requests_are_told_as_nginx_logs_them() {
    let _leaks = Leaks::watch();
    let lan = Lan::new();
    let site = Site::start(&lan.server);
    let client = lan.client(10);
    let daemon = Daemon::start(&lan.server, CONFIGURATION);
    assert_eq!(budget(&daemon), (0, 0), "nobody watches");
    let all = Watch::start(&daemon, "all", &[]);
    let mut first = Watch::start(&daemon, "first", &["--port", "80", "--count", "1"]);
    let http2 = Watch::start(&daemon, "http2", &["--port", "8081"]);
    is_heard(&daemon);

    let mut script = client.command("python3");
    let output = try_run(script.arg(site.folder.path().join("client.py")));
    assert_eq!(output.code, Some(0), "{}", output.text());
    for path in ["", "empty", "broken"] {
        let mut curl = client.command("curl");
        curl.args(["-s", "-o", "/dev/null", "--http2-prior-knowledge"]);
        let output = try_run(curl.arg(format!("http://192.0.2.1:8081/{path}")));
        assert_eq!(output.code, Some(0), "{path}: {}", output.text());
    }

    eventually("all to be told", PATIENCE, || {
        match (all.requests().len(), http2.requests().len(), site.log().len()) {
            (12, 3, 12) => Ok(()),
            counts => Err(counts),
        }
    });
    let told = all.requests();
    for (told, logged) in told.iter().zip(site.log()) {
        let words: Vec<_> = logged.split(' ').collect();
        let [method, status, port, version] = words.as_slice() else { panic!("{logged}") };
        assert_eq!(told["port"].to_string(), *port, "{told}, logged as {logged}");
        assert_eq!(told["status_class"], format!("{}xx", &status[..1]), "{told}");
        if *version == "HTTP/2.0" {
            assert_eq!((&told["http_version"], &told["method"]), (&"2".into(), &Value::Null));
        } else {
            let method = if *method == "BREW" { "other" } else { method };
            assert_eq!(told["method"], method, "{told}, logged as {logged}");
            assert_eq!(told["status"].to_string(), *status, "{told}, logged as {logged}");
            assert_eq!(told["http_version"], "1.1", "{told}");
        }
    }
    let first_byte = |told: &Value| told["time_to_first_byte"].as_f64().expect("a time");
    assert!(told.iter().all(|told| first_byte(told) < 60.0), "{told:?}");
    assert!(first_byte(&told[8]) >= 0.39, "the last one was sent in two halves: {}", told[8]);
    assert!(first.0.wait(PATIENCE).success(), "{}", first.0.log());
    assert_eq!(first.requests(), told[..1]);
    for private in ["secret", "192.0.2", "teapot"] {
        assert!(!all.0.log().contains(private), "{private} is nobody's business");
    }

    // Who was killed does not watch, and what nobody watches is not sampled.
    drop((all, http2));
    eventually("nothing to be sampled", PATIENCE, || match budget(&daemon) {
        (0, 0) => Ok(()),
        budget => Err(budget),
    });
    let refused = daemon.foobar(&["watch", "--requests", "--port", "443"]);
    assert_eq!(refused.code, Some(1), "{}", refused.text());
    assert!(refused.stderr.contains("requests to port 443 are not read"), "{}", refused.text());
    let usage = daemon.foobar(&["watch", "--requests", "--dropped"]);
    assert_eq!(usage.code, Some(2), "{}", usage.text());
}

/// A flood of requests is no flood of lines, and what is not shown is counted.
#[test]
fn slow_a_flood_of_requests_is_sampled_and_the_rest_is_counted() {
    let _leaks = Leaks::watch();
    let lan = Lan::new();
    let _site = Site::start(&lan.server);
    let client = lan.client(10);
    let daemon = Daemon::start(&lan.server, CONFIGURATION);
    let watch = Watch::start(&daemon, "watch", &["--port", "80"]);
    is_heard(&daemon);
    // The account begins with a reading of the counters, a second at most after that.
    std::thread::sleep(Duration::from_secs(2));
    let mut wrk = client.command("wrk");
    let output = try_run(wrk.args(["-t1", "-c8", "-d3s", "http://192.0.2.1/"]));
    assert_eq!(output.code, Some(0), "{}", output.text());
    let counted = || daemon.scrape().sum("foobar_http_requests_total", &[("port", "80")]) as usize;
    eventually("all to be told or counted", PATIENCE, || {
        let (told, suppressed, counted) =
            (watch.requests().len(), watch.suppressed() as usize, counted());
        let is_complete = counted > 0 && told + suppressed == counted;
        if is_complete { Ok(()) } else { Err((told, suppressed, counted)) }
    });
    let (told, counted) = (watch.requests().len(), counted());
    // 1,000 a second, however long wrk took; and the machine would have to be very slow not to make more.
    assert!(told > 0 && told < counted, "{told} of {counted} were told");
    holds_for("nothing to be counted twice", Duration::from_secs(2), || {
        let all = watch.requests().len() + watch.suppressed() as usize;
        if all == counted { Ok(()) } else { Err(all) }
    });
}
