//! `foobar top` against a running daemon, and what it must not leave behind: addresses in metrics, a terminal in disorder.

use std::{fs, process::Command, time::Duration};

use foobar_tests::harness::{Daemon, Lan, Leaks, Nginx, Process, curl, eventually, python, run};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;

const CONFIGURATION: &str = r#"
interfaces = ["eth0"]
[metrics]
listen = "127.0.0.1:9898"
[blocklists.abuse]
[[rules]]
name = "web"
ports = [80, 443]
from = "any"
[[rules]]
name = "ssh"
ports = [22]
from = "any"
"#;

const PATIENCE: Duration = Duration::from_secs(60);

/// Packets from a source to a port that no rule names, some hundreds a second.
const KNOCK: &str = "
import socket, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
while True:
    for i in range(20): s.sendto(b'x' * 50, ('192.0.2.1', 9999))
    time.sleep(0.05)
";

/// Whatever reaches a server: random frames, names in HTTP and TLS, ports and sources, spoofed ones as well.
const NOISE: &str = r"
import os, random, socket, struct
raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
raw.bind(('eth0', 0))
random.seed(7)
mac = bytes.fromhex(os.sys.argv[1].replace(':', ''))
def total(data):
    s = sum(struct.unpack('!%dH' % (len(data) // 2), data))
    s = (s & 0xffff) + (s >> 16)
    return 0xffff - ((s & 0xffff) + (s >> 16))
for number in range(6000):
    source = bytes([random.choice([5, 45, 93, 198]), *random.randbytes(3)])
    protocol = random.choice([6, 6, 6, 17, 17, 1, 47, 132, random.randrange(256)])
    port = random.choice([80, 443, 22, random.randrange(65536)])
    if protocol == 17: rest = struct.pack('!HHHH', random.randrange(65536), port, 28, 0) + random.randbytes(20)
    else: rest = struct.pack('!HHLLBBHHH', random.randrange(65536), port, random.getrandbits(32), 0, 0x50, random.choice([2, 2, 16, 24, random.randrange(256)]), 512, 0, 0) + random.randbytes(20)
    head = struct.pack('!BBHHHBBH4s4s', 0x45, 0, 20 + len(rest), number, random.choice([0, 0, 0, 0x2000, 0x00b9]), 64, protocol, 0, source, socket.inet_aton('192.0.2.1'))
    head = head[:10] + struct.pack('!H', total(head)) + head[12:]
    kind = random.choice([0x0800] * 20 + [0x86dd, 0x88cc, random.randrange(65536)])
    raw.send(mac + b'\x02\0\0\0\0\x66' + struct.pack('!H', kind) + head + rest)
for number in range(60):
    for port, text in (80, b'GET /%d HTTP/1.1\r\nHost: host%d.example\r\n\r\n'), (443, b'\x16\x03\x01\0\x20%d.%d.example'):
        try:
            c = socket.create_connection(('192.0.2.1', port), timeout=10)
            c.sendall(text % (random.getrandbits(32), number)); c.close()
        except OSError: pass
";

fn knock(lan: &Lan, host: u8, daemon: &Daemon<'_>) -> (foobar_tests::harness::Netns, Process) {
    let client = lan.client(host);
    let mut command = client.command("python3");
    command.args(["-c", KNOCK]);
    let process = Process::start(command, &daemon.folder().join("knock.log"));
    (client, process)
}

#[test]
fn a_frame_has_ports_drops_and_their_sources_and_metrics_have_no_address() {
    let _leaks = Leaks::watch();
    let lan = Lan::new();
    let daemon = Daemon::start(&lan.server, CONFIGURATION);
    let _knock = knock(&lan, 66, &daemon);
    let text = eventually("the source to be sampled", PATIENCE, || {
        let text = daemon.ok(&["top", "--once"]);
        if text.contains("192.0.2.66") { Ok(text) } else { Err(text) }
    });
    for part in
        ["enforce", "generation 1", "eth0 native", "no_rule", "   443 ", "    80 ", " other "]
    {
        assert!(text.contains(part), "{part} is missing in:\n{text}");
    }
    assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    assert!(!text.contains('\x1b'), "no control sequences: {text}");

    let live: Value = serde_json::from_str(&daemon.ok(&["top", "--once", "--output", "json"]))
        .expect("one JSON value");
    assert_eq!(live["ports"][0]["port"], "80");
    assert!(live["packets"]["dropped"].as_f64() > Some(0.0), "{live}");
    let blocked = &live["blocked"][0];
    assert_eq!(
        (blocked["source"].as_str(), blocked["port"].as_u64()),
        (Some("192.0.2.66"), Some(9999))
    );
    assert_eq!(blocked["reason"], "no_rule");

    for path in ["metrics", "api/live", ""] {
        let page = curl(&lan.server).get(&format!("http://{}/{path}", Daemon::METRICS));
        let page = page.unwrap_or_else(|error| panic!("/{path}: {error:?}"));
        assert_eq!(page.status, 200);
        assert!(!page.body.contains("192.0.2.66"), "/{path} names a client");
    }
}

#[test]
fn the_terminal_is_left_as_it_was_found_also_after_a_signal() {
    let _leaks = Leaks::watch();
    let lan = Lan::new();
    let daemon = Daemon::start(&lan.server, CONFIGURATION);
    let top = daemon.command(&["top"]);
    let arguments: Vec<_> = top.get_args().map(|part| part.display().to_string()).collect();
    let number = daemon.folder().join("top.pid");
    let record = daemon.folder().join("record");
    // script(1) gives it a terminal, and writes down what it shows there.
    let mut command = Command::new("script");
    command
        .env("TERM", "xterm-256color")
        .args(["--quiet", "--flush", "--return", "--command"])
        .arg(format!(
            "stty rows 24 columns 80; echo $$ > {}; exec {} {}",
            number.display(),
            top.get_program().display(),
            arguments.join(" ")
        ));
    let mut session =
        Process::start(command_to(command, &record), &daemon.folder().join("script.log"));
    let shown = || {
        fs::read(&record)
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .unwrap_or_default()
    };
    eventually("the first frame", PATIENCE, || {
        let shown = shown();
        if shown.contains("\x1b[?1049h") && shown.contains("healthy") { Ok(()) } else { Err(shown) }
    });
    let id: i32 =
        fs::read_to_string(&number).expect("its number").trim().parse().expect("a number");
    kill(Pid::from_raw(id), Signal::SIGTERM).expect("the signal");
    let status = session.wait(PATIENCE);
    assert_eq!(status.code(), Some(0), "{}", shown());
    let shown = shown();
    let left = shown.rfind("\x1b[?1049l").expect("the other screen is left");
    assert!(shown.rfind("\x1b[?1049h") < Some(left), "and not entered again");
    assert!(
        shown[left..].contains("\x1b[?25h") || shown.rfind("\x1b[?25h") > shown.rfind("\x1b[?25l"),
        "the cursor is back"
    );
}

fn command_to(mut command: Command, record: &std::path::Path) -> Command {
    command.arg(record);
    command
}

#[test]
fn without_a_terminal_or_a_daemon_it_says_what_to_do() {
    let _leaks = Leaks::watch();
    let lan = Lan::new();
    let daemon = Daemon::prepare(&lan.server, CONFIGURATION);
    let piped = daemon.foobar(&["top"]);
    assert_eq!(piped.code, Some(1));
    assert!(piped.stderr.contains("`foobar top --once`"), "{}", piped.stderr);
    let alone = daemon.foobar(&["top", "--once"]);
    assert_eq!(alone.code, Some(1));
    assert!(alone.stderr.contains("cannot reach a foobar daemon"), "{}", alone.stderr);
}

#[test]
fn three_ports_stay_below_500_series_whatever_comes() {
    let _leaks = Leaks::watch();
    let lan = Lan::new();
    let client = lan.client(66);
    let _nginx = Nginx::start(&lan.server);
    let daemon = Daemon::start(&lan.server, CONFIGURATION);
    let before = eventually("the certificates to be asked for once", PATIENCE, || {
        let page = daemon.scrape();
        page.find("foobar_tls_certificate_read_failures_total", &[("port", "443")])
            .map(|_| page)
            .ok_or("they were not yet")
    });
    assert!(before.series() < 500, "{} series", before.series());
    let mac = lan.server.ip("-brief link show eth0");
    let mac = mac.split_whitespace().nth(2).expect("an address");
    let sent = python(&client, NOISE, &[mac], PATIENCE);
    assert_eq!(sent.code, Some(0), "{}", sent.text());
    let after = eventually("all packets to be counted", PATIENCE, || {
        let page = daemon.scrape();
        let counted = page.sum("foobar_dropped_packets_total", &[])
            + page.sum("foobar_passed_packets_total", &[]);
        if counted >= 6000.0 { Ok(page) } else { Err(counted) }
    });
    assert!(after.series() < 500, "{} series", after.series());
    let names = |page: &foobar_tests::harness::Scrape| {
        let lines = page.text().lines().filter(|line| !line.starts_with('#'));
        lines.map(|line| line.rsplit_once(' ').expect("a sample").0.to_owned()).collect::<Vec<_>>()
    };
    let (before, now) = (names(&before), names(&after));
    let fresh: Vec<_> = now.iter().filter(|name| !before.contains(name)).collect();
    assert!(fresh.is_empty(), "series that came with the traffic: {fresh:#?}");
    assert!(!after.text().contains("example"), "a name of a client's request");
    let documented = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/metrics.md"))
        .expect("docs/metrics.md");
    for kind in after.text().lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
        let name = kind.split(' ').next().unwrap_or_default();
        assert!(documented.contains(&format!("| `{name}` |")), "{name} is not documented");
    }
    let file = daemon.folder().join("metrics.txt");
    fs::write(&file, after.text()).expect("a copy of the page");
    let said =
        run("sh", &["-c", "promtool check metrics < \"$0\" 2>&1", &file.display().to_string()]);
    assert_eq!(said, "", "promtool has something to say");
    println!("three ports: {} series", after.series());
}
