//! Requests in clear against the access log of a real nginx: every case is counted exactly.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    fs,
    path::Path,
    process::Command,
    time::Duration,
};

use foobar_tests::harness::{
    Daemon, Lan, Leaks, Netns, Process, Scrape, eventually, nginx_folders, tcp_connects, try_run,
};
use nix::sys::signal::Signal;
use tempfile::TempDir;

const CONFIGURATION: &str = r#"
interfaces = ["eth0"]
[[rules]]
name = "web"
ports = [80, 8081]
from = "any"
[[observe]]
port = 80
protocol = "http"
[[observe]]
port = 8081
protocol = "http"
"#;

const DOCUMENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/accuracy.md");
const BEGIN: &str = "<!-- http: written by `UPDATE_DOCS=1 cargo xtask test accuracy_http` -->\n";
const END: &str = "<!-- end of http -->\n";

/// What no client library would send: one call a line of the table.
const CLIENT: &str = r#"
import os, select, socket, sys, time
def connect():
    s = socket.create_connection(("192.0.2.1", 80), timeout=20)
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return s
def until_closed(s):
    while s.recv(65536):
        pass
    s.close()
GET = b"GET /%d HTTP/1.1\r\nHost: a\r\nCookie: " + b"c" * 300 + b"\r\n%s\r\n"
def get(n, last=False):
    return GET % (n, b"Connection: close\r\n" if last else b"")
def pipelined():
    for _ in range(20):
        s = connect()
        s.sendall(b"".join(get(n, n == 9) for n in range(10)))
        until_closed(s)
def head():
    s = connect()
    s.sendall(b"".join((b"HEAD /big HTTP/1.1\r\nHost: a\r\n\r\n" + get(n)) for n in range(10)) + get(1, True))
    until_closed(s)
def split():
    for size in (1, 3, 7, 50):
        s = connect()
        request = get(1) + get(2, True)
        for at in range(0, len(request), size):
            s.sendall(request[at:at + size])
            time.sleep(0.0005)
        until_closed(s)
def upload():
    body = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n" * 50
    for n in range(40):
        s = connect()
        s.sendall(b"POST /up HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % len(body))
        for at in range(0, len(body), 280):
            s.sendall(body[at:at + 280])
        s.sendall(b"POST /up HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
        for at in range(0, len(body), 280):
            s.sendall(b"%x;a=b\r\n" % len(body[at:at + 280]) + body[at:at + 280] + b"\r\n")
        s.sendall(b"0\r\n\r\n" + get(n, True))
        until_closed(s)
def statuses():
    for path in (b"empty", b"moved", b"missing", b"broken"):
        s = connect()
        s.sendall(b"GET /%s HTTP/1.1\r\nHost: a\r\n\r\n" % path * 5 + get(1, True))
        until_closed(s)
    s = connect()
    s.sendall(b"GET /1 HTTP/1.0\r\n\r\n")
    until_closed(s)
def not_modified():
    s = connect()
    s.sendall(b"GET /big HTTP/1.1\r\nHost: a\r\nIf-Modified-Since: Fri, 31 Dec 2099 23:59:59 GMT\r\n\r\n" * 10 + get(1, True))
    until_closed(s)
def aborted():
    for _ in range(10):
        s = connect()
        s.sendall(b"GET /never HTTP/1.1\r\nHost: a\r\n\r\n")
        time.sleep(0.05)
        s.close()
def garbage():
    for noise in (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc" * 9, b"\x00" * 500, b"hello\r\n\r\n"):
        s = connect()
        s.sendall(noise)
        try:
            until_closed(s)
        except OSError:
            pass
def until_told():
    """One request after the other until there is a file "stop"; prints how many the server gave up, which are asked again."""
    given_up = answered = 0
    s = connect()
    while not os.path.exists(sys.argv[2] + "/stop"):
        if select.select([s], [], [], 0)[0]:
            # Closed while it was idle. That is no request's end.
            s.close()
            s = connect()
        try:
            s.sendall(get(1))
        except OSError:
            # Reset while it was idle: nothing was sent.
            s = connect()
            continue
        response = b""
        try:
            while not response.endswith(b"HTTP/1.1\n"):
                more = s.recv(65536)
                if not more:
                    break
                response += more
        except OSError:
            pass
        if response:
            answered += 1
        else:
            given_up += 1
            s = connect()
    print(given_up)
globals()[sys.argv[1]]()
"#;

/// nginx, its log, and a daemon that counts.
struct Site<'a> {
    client: Netns,
    folder: TempDir,
    nginx: Process,
    _silent: Process,
    daemon: Daemon<'a>,
    read: usize,
    /// What a client knows of and the log does not.
    given_up: u64,
    rows: Vec<(String, Tally, Tally)>,
}

/// Requests by version and class, such as `("1.1", "2xx")`; aborted ones under `("", "aborted")`.
type Tally = BTreeMap<(String, String), u64>;

impl<'a> Site<'a> {
    fn new(lan: &'a Lan) -> Self {
        let folder =
            tempfile::Builder::new().prefix("foobar-accuracy-").tempdir().expect("a folder");
        let path = folder.path();
        fs::create_dir(path.join("www")).expect("www");
        // A body that looks like a row of responses.
        fs::write(
            path.join("www/big"),
            "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n".repeat(9000),
        )
        .expect("big");
        fs::write(path.join("client.py"), CLIENT).expect("client.py");
        fs::write(path.join("nginx.conf"), nginx(path)).expect("nginx.conf");
        let mut silent = lan.server.command("python3");
        silent.args([
            "-c",
            "import socket,time\ns=socket.create_server(('127.0.0.1',9000))\ntime.sleep(600)",
        ]);
        let silent = Process::start(silent, &path.join("silent.log"));
        let mut command = lan.server.command("nginx");
        command.arg("-p").arg(path).args(["-c", "nginx.conf", "-e", "error.log"]);
        let nginx = Process::start(command, &path.join("output.log"));
        eventually("nginx to listen", Duration::from_secs(20), || {
            tcp_connects(&lan.server, "127.0.0.1:8081", Duration::from_secs(1))
        });
        let client = lan.client(10);
        let daemon = Daemon::start(&lan.server, CONFIGURATION);
        Site {
            client,
            folder,
            nginx,
            _silent: silent,
            daemon,
            read: 0,
            given_up: 0,
            rows: Vec::new(),
        }
    }

    fn script(&self, name: &str) -> Command {
        let mut command = self.client.command("python3");
        command.arg(self.folder.path().join("client.py")).arg(name);
        command
    }

    fn command(&self, line: &str) -> Command {
        let mut words = line.split_whitespace();
        let mut command = self.client.command(words.next().expect("a program"));
        command.args(words).current_dir(self.folder.path());
        command
    }

    /// What was logged since the last case.
    fn logged(&self) -> Vec<String> {
        let log = fs::read_to_string(self.folder.path().join("access.log")).unwrap_or_default();
        log.lines().skip(self.read).map(str::to_owned).collect()
    }

    /// The worker processes that served since the last case.
    fn workers(&self) -> BTreeSet<String> {
        let logged = self.logged();
        logged.iter().filter_map(|line| line.split(' ').nth(2)).map(str::to_owned).collect()
    }

    /// Runs a workload to its end, then compares.
    fn case(&mut self, name: &str, work: impl FnOnce(&mut Self)) {
        let before = counted(&self.daemon.scrape());
        work(self);
        let outcome = std::cell::RefCell::new((Tally::new(), Tally::new()));
        eventually(name, Duration::from_secs(15), || {
            let mut truth = tally(&self.logged());
            if self.given_up != 0 {
                *truth.entry((String::new(), "aborted".to_owned())).or_default() += self.given_up;
            }
            let mut now = counted(&self.daemon.scrape());
            for (key, count) in &mut now {
                *count -= before.get(key).copied().unwrap_or(0);
            }
            now.retain(|_, count| *count != 0);
            *outcome.borrow_mut() = (truth.clone(), now.clone());
            if truth == now && !truth.is_empty() { Ok(()) } else { Err((truth, now)) }
        });
        self.read += self.logged().len();
        let (truth, now) = outcome.into_inner();
        self.rows.push((name.to_owned(), truth, now));
    }

    fn commands(&mut self, name: &str, line: &str) {
        self.case(name, |site| {
            let output = try_run(&mut site.command(line));
            assert_eq!(output.code, Some(0), "{line}: {}", output.text());
        });
    }

    /// Something changes while one request after the other is made. nginx does not log what it gives up: where it closes a connection
    /// that was idle, in the moment in which the next request comes. The client knows.
    fn changes(&mut self, name: &str, change: impl FnOnce(&mut Self)) {
        let stop = self.folder.path().join("stop");
        let output = self.folder.path().join("given_up");
        self.case(name, |site| {
            let mut command = site.script("until_told");
            command.arg(site.folder.path());
            let mut client = Process::start(command, &output);
            let logs = |site: &Self, more: usize| {
                let wanted = site.logged().len() + more;
                eventually("more requests", Duration::from_secs(60), || {
                    let logged = site.logged().len();
                    if logged >= wanted { Ok(()) } else { Err(logged) }
                });
            };
            logs(site, 200);
            change(site);
            logs(site, 1000);
            fs::write(&stop, "").expect("stop");
            assert!(client.wait(Duration::from_secs(60)).success(), "{}", client.log());
            site.given_up = client.log().trim().parse().expect("a number");
        });
        self.given_up = 0;
        for file in [stop, output] {
            fs::remove_file(file).expect("a file of the client");
        }
    }

    fn scripts(&mut self, name: &str, script: &str) {
        self.case(name, |site| {
            let output = try_run(&mut site.script(script));
            assert_eq!(output.code, Some(0), "{script}: {}", output.text());
        });
    }
}

fn nginx(folder: &Path) -> String {
    let (temporary, folder) = (nginx_folders(folder), folder.display());
    format!(
        r#"
user root;
daemon off;
worker_processes 2;
pid {folder}/nginx.pid;
events {{ worker_connections 512; }}
http {{
    log_format short '$server_protocol $status $pid';
    access_log {folder}/access.log short;
    {temporary}
    keepalive_requests 1000000;
    gzip on;
    gzip_types text/plain;
    gzip_min_length 20;
    server {{
        listen 80;
        listen [::]:80;
        listen 8081 http2;
        root {folder}/www;
        location / {{ default_type text/plain; return 200 "hello from nginx, GET / HTTP/1.1\n"; }}
        location /big {{ default_type text/plain; }}
        location /up {{ proxy_pass http://127.0.0.1:8082; }}
        location /empty {{ return 204; }}
        location /moved {{ return 302 /; }}
        location /missing {{ return 404; }}
        location /broken {{ return 503; }}
        location /never {{ proxy_pass http://127.0.0.1:9000; }}
    }}
    server {{
        listen 127.0.0.1:8082;
        access_log off;
        location / {{ return 200 "got it\n"; }}
    }}
}}
"#
    )
}

/// What the log says. 499 is nginx's own: the client was gone before there was a response.
fn tally(lines: &[String]) -> Tally {
    let mut tally = Tally::new();
    for line in lines {
        let mut words = line.split(' ');
        let (Some(protocol), Some(status)) = (words.next(), words.next()) else {
            panic!("no line of the log: {line}");
        };
        // A request that is none has no version; it is answered as 1.1.
        let version = match protocol.strip_prefix("HTTP/").unwrap_or("1.1") {
            "2.0" => "2",
            // nginx answers such requests as 1.1, and the version of the response is what is counted.
            "1.0" => "1.1",
            other => other,
        };
        let key = if status == "499" {
            (String::new(), "aborted".to_owned())
        } else {
            (version.to_owned(), format!("{}xx", &status[..1]))
        };
        *tally.entry(key).or_default() += 1;
    }
    tally
}

fn counted(scrape: &Scrape) -> Tally {
    let mut tally = Tally::new();
    for version in ["1.0", "1.1", "2"] {
        for class in ["unknown", "1xx", "2xx", "3xx", "4xx", "5xx"] {
            let labels = [("http_version", version), ("code_class", class)];
            let count = scrape.sum("foobar_http_requests_total", &labels);
            tally.insert((version.to_owned(), class.to_owned()), count as u64);
        }
    }
    let aborted = scrape.sum("foobar_http_requests_aborted_total", &[]);
    tally.insert((String::new(), "aborted".to_owned()), aborted as u64);
    tally
}

#[test]
fn slow_every_request_is_counted_once() {
    let _leaks = Leaks::watch();
    let lan = Lan::new();
    let mut site = Site::new(&lan);
    site.commands("curl, keep-alive", "curl -s -o /dev/null http://192.0.2.1/[1-50]");
    site.commands(
        "curl, IPv6, gzip and chunked",
        "curl -s -g --compressed -o /dev/null http://[2001:db8::1]/big?[1-10]",
    );
    site.commands(
        "bodies with \"HTTP/1.1 200 OK\" 9000 times",
        "curl -s -o /dev/null http://192.0.2.1/big?[1-20]",
    );
    site.commands(
        "Expect: 100-continue",
        "curl -s -o /dev/null -H Expect:100-continue --data-binary @www/big http://192.0.2.1/up?[1-20]",
    );
    for (name, script) in [
        ("pipelined by ten", "pipelined"),
        ("HEAD and GET, pipelined", "head"),
        ("requests cut into 1 to 50 bytes", "split"),
        ("uploads of \"GET / HTTP/1.1\", with length and chunked", "upload"),
        ("204, 302, 404, 503, HTTP/1.0", "statuses"),
        ("If-Modified-Since, answered in full", "not_modified"),
        ("closed by the client before the response", "aborted"),
        ("bytes that are no HTTP", "garbage"),
    ] {
        site.scripts(name, script);
    }
    site.commands("wrk, 8 connections", "wrk -t1 -c8 -d2 --timeout 10 http://192.0.2.1/");
    site.case("wrk, one request a connection", |site| {
        let mut command = site.client.command("wrk");
        command.args(["-t1", "-c4", "-d1", "-H", "Connection: close", "http://192.0.2.1/"]);
        assert_eq!(try_run(&mut command).code, Some(0));
    });
    site.commands("h2c, 10 streams at a time", "h2load -n 3000 -c 4 -m 10 http://192.0.2.1:8081/");
    site.commands(
        "h2c, 100 streams at a time, large",
        "h2load -n 300 -c 1 -m 100 http://192.0.2.1:8081/big",
    );

    site.changes("nginx reloads in the middle", |site| {
        let workers = site.workers();
        site.nginx.signal(Signal::SIGHUP);
        eventually("another worker to serve", Duration::from_secs(60), || {
            let now = site.workers();
            if now.is_subset(&workers) { Err(now) } else { Ok(()) }
        });
    });
    site.changes("foobar restarts in the middle", |site| {
        site.daemon.process().stop();
        site.daemon.launch();
    });

    let client = site.client.name();
    let mut nft = site.client.command("nft");
    nft.arg(
        "table inet loss { chain i { type filter hook input priority 0; numgen random mod 100 < 3 drop; }; \
         chain o { type filter hook output priority 0; numgen random mod 100 < 3 drop; }; }",
    );
    let output = try_run(&mut nft);
    assert_eq!(output.code, Some(0), "nft in {client}: {}", output.text());
    site.commands("3 % loss, keep-alive", "curl -s -o /dev/null http://192.0.2.1/[1-100]");
    site.commands("3 % loss, downloads", "curl -s -o /dev/null http://192.0.2.1/big?[1-5]");
    site.commands(
        "3 % loss, uploads",
        "curl -s -o /dev/null -H Expect: --data-binary @www/big http://192.0.2.1/up?[1-5]",
    );
    document(&site.rows);
}

/// Writes the table, or checks that it lists these cases.
fn document(rows: &[(String, Tally, Tally)]) {
    let text = |tally: &Tally| {
        let words = tally.iter().map(|((version, class), count)| {
            format!(
                "{count}{} {class}",
                if version.is_empty() { String::new() } else { format!(" x {version}") }
            )
        });
        words.collect::<Vec<_>>().join(", ")
    };
    let mut table = "\n| case | nginx's log | foobar |\n|---|---|---|\n".to_owned();
    for (name, truth, counted) in rows {
        writeln!(table, "| {name} | {} | {} |", text(truth), text(counted)).expect("a string");
    }
    table.push('\n');
    let document = fs::read_to_string(DOCUMENT).expect(DOCUMENT);
    let (before, rest) = document.split_once(BEGIN).expect(BEGIN);
    let (listed, after) = rest.split_once(END).expect(END);
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(DOCUMENT, format!("{before}{BEGIN}{table}{END}{after}")).expect(DOCUMENT);
        return;
    }
    for (name, ..) in rows {
        assert!(
            listed.contains(&format!("| {name} |")),
            "docs/accuracy.md has no row for {name}; {BEGIN}"
        );
    }
}
