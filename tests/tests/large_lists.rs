//! Lists of a million prefixes, replaced as a whole while packets come in: quick, and without losing one of them.

use std::{
    fmt::Write as _,
    fs,
    net::{IpAddr, UdpSocket},
    path::PathBuf,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use foobar_tests::harness::{Daemon, Lan, Leaks, Netns, UdpEcho, ask};
use nix::sys::socket::{setsockopt, sockopt};
use serde_json::Value;

const POLICY: &str = r#"
interfaces = ["eth0"]
[blocklists.abuse]
[[rules]]
name = "stream"
ports = [9999]
protocols = ["udp"]
from = "any"
[[rules]]
name = "echo"
ports = [53]
protocols = ["udp"]
from = "any"
"#;

const MILLION: u32 = 1_000_000;
/// How long a change may take here, where the daemon may be a debug build on a machine that does other things as well. The
/// figures that are printed are what counts; `foobar-bench` measures the release build.
const BOUND: Duration = Duration::from_secs(60);

/// A million IPv4 addresses, of which no two can be joined, and one more.
fn million4(offset: u32, more: &str) -> String {
    let mut text = format!("# a million addresses\n{more}\n");
    for number in 0..MILLION {
        let [a, b, c, d] = (0x0a00_0000 + 2 * number + offset).to_be_bytes();
        let _ = writeln!(text, "{a}.{b}.{c}.{d}");
    }
    text
}

/// A million IPv6 prefixes, most of them /64, some single addresses and some /48, and one more.
fn million6(offset: u32, more: &str) -> String {
    let mut text = format!("# a million prefixes\n{more}\n");
    for number in 0..MILLION {
        let upper = 2 * number + offset;
        let (high, low) = (upper >> 16, upper & 0xffff);
        let _ = match number % 10 {
            0 => writeln!(text, "2001:db8:{:x}:{low:x}::{low:x}", 0x1000 + high),
            1 => writeln!(text, "2a00:{high:x}:{low:x}::/48"),
            _ => writeln!(text, "2001:db8:{:x}:{low:x}::/64", 0x1000 + high),
        };
    }
    text
}

/// What a stream of datagrams went through.
struct Stream {
    sent: u64,
    received: u64,
    /// The longest time between two that were received.
    longest_gap: Duration,
}

/// Sends a datagram each millisecond through the filter, over IPv4 and IPv6 in turn, while `work` is done.
fn stream_while<T>(lan: &Lan, client: &Netns, work: impl FnOnce() -> T) -> (T, Stream) {
    let receiver = lan.server.enter(|| UdpSocket::bind(("::", 9999)).expect("a free port"));
    // So that a receiver that has to wait for a processor loses nothing.
    setsockopt(&receiver, sockopt::RcvBufForce, &(32 << 20)).expect("a large buffer");
    receiver.set_read_timeout(Some(Duration::from_millis(200))).expect("a time limit");
    let senders = [Lan::SERVER4, Lan::SERVER6].map(|server| {
        let server: IpAddr = server.parse().expect("an address");
        let any: IpAddr = if server.is_ipv4() { [0; 4].into() } else { [0u16; 8].into() };
        let socket = client.enter(|| UdpSocket::bind((any, 0)).expect("a free port"));
        socket.connect((server, 9999)).expect("a way to the server");
        socket
    });
    let (done, all_sent) = (AtomicBool::new(false), AtomicBool::new(false));
    thread::scope(|scope| {
        let sending = scope.spawn(|| {
            let mut sent = 0;
            while !done.load(Ordering::Relaxed) {
                for sender in &senders {
                    sender.send(&[7; 64]).expect("a datagram that leaves");
                    sent += 1;
                    thread::sleep(Duration::from_millis(1));
                }
            }
            all_sent.store(true, Ordering::Relaxed);
            sent
        });
        let receiving = scope.spawn(|| {
            let (mut received, mut longest_gap) = (0, Duration::ZERO);
            let mut last = None::<Instant>;
            loop {
                if receiver.recv(&mut [0; 128]).is_err() {
                    if all_sent.load(Ordering::Relaxed) {
                        break;
                    }
                    continue;
                }
                let now = Instant::now();
                longest_gap = longest_gap.max(last.map_or(Duration::ZERO, |last| now - last));
                last = Some(now);
                received += 1;
            }
            (received, longest_gap)
        });
        // Also if it panics: the sender would go on for ever.
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
        done.store(true, Ordering::Relaxed);
        let sent = sending.join().expect("the sender");
        let (received, longest_gap) = receiving.join().expect("the receiver");
        let outcome = outcome.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        (outcome, Stream { sent, received, longest_gap })
    })
}

/// A server with the filter, and a client whose stream must not be disturbed.
struct Site<'a> {
    lan: &'a Lan,
    daemon: Daemon<'a>,
    client: Netns,
}

impl Site<'_> {
    fn file(&self, text: &str) -> PathBuf {
        let file = self.daemon.folder().join("abuse.txt");
        fs::write(&file, text).expect("a list");
        file
    }

    /// Runs a command while the stream goes on, and says how long it took.
    fn undisturbed(&self, what: &str, arguments: &[&str]) {
        let ((), stream) = stream_while(self.lan, &self.client, || {
            let begin = Instant::now();
            self.daemon.ok(arguments);
            let took = begin.elapsed();
            println!("{what}: {:.3} s", took.as_secs_f64());
            assert!(took < BOUND, "{what} took {took:?}");
        });
        let Stream { sent, received, longest_gap } = stream;
        println!("  {received} of {sent} datagrams meanwhile, at most {longest_gap:.1?} apart");
        assert_eq!(received, sent, "{what}: the packet path noticed");
        assert!(sent > 0, "{what}: no stream");
    }

    fn replace(&self, what: &str, text: &str) {
        let file = self.file(text).display().to_string();
        self.undisturbed(what, &["block", "replace", "abuse", "--file", &file]);
    }

    fn entries(&self) -> (u64, u64) {
        let status: Value =
            serde_json::from_str(&self.daemon.ok(&["status", "--output", "json"])).expect("JSON");
        let list = &status["lists"][0];
        assert_eq!(list["name"], "abuse");
        (list["ipv4"].as_u64().expect("a number"), list["ipv6"].as_u64().expect("a number"))
    }

    /// Whether a client's question is answered: nobody on the list gets an answer.
    fn answers(&self, client: &Netns, server: &str) -> bool {
        let server: IpAddr = server.parse().expect("an address");
        ask(client, (server, 53).into(), 10, 4).is_ok()
    }
}

#[test]
fn slow_a_million_prefixes_are_replaced_and_the_packet_path_notices_nothing() {
    let _leaks = Leaks::watch();
    let lan = Lan::new();
    let daemon = Daemon::start(&lan.server, POLICY);
    let mut site = Site { lan: &lan, daemon, client: lan.client(10) };
    let (one, other) = (lan.client(66), lan.client(67));
    let _echo = UdpEcho::start(&lan.server, 53);
    let blocked = |site: &Site<'_>, server: &str, expected: [bool; 2]| {
        let answered = [&one, &other].map(|client| site.answers(client, server));
        assert_eq!(answered, expected.map(|blocked| !blocked), "{server}");
    };
    let (four, six) = (Lan::SERVER4, Lan::SERVER6);

    // Tables of this size are not there yet: a new instance. After that, the other generation takes the new list.
    site.replace("1,000,001 IPv4 entries in the place of none", &million4(0, "192.0.2.66"));
    assert_eq!(site.entries(), (u64::from(MILLION) + 1, 0));
    blocked(&site, four, [true, false]);
    site.replace("1,000,001 others in their place", &million4(1, "192.0.2.67"));
    blocked(&site, four, [false, true]);
    site.replace("1,000,001 IPv6 entries in their place", &million6(0, "2001:db8::66"));
    assert_eq!(site.entries(), (0, u64::from(MILLION) + 1));
    blocked(&site, four, [false, false]);
    blocked(&site, six, [true, false]);
    site.replace("1,000,001 others in their place", &million6(1, "2001:db8::67"));
    blocked(&site, six, [false, true]);

    // Single changes among a million.
    site.undisturbed("one entry more", &["block", "add", "abuse", "192.0.2.66", "2001:db8::66"]);
    blocked(&site, four, [true, false]);
    blocked(&site, six, [true, true]);
    site.undisturbed("one entry less", &["block", "remove", "abuse", "2001:db8::66"]);
    blocked(&site, six, [false, true]);

    // They are there after a restart, and the restart is not noticed either.
    let begin = Instant::now();
    site.daemon.process().kill();
    site.daemon.launch();
    println!("a restart with 1,000,002 entries: {:.3} s", begin.elapsed().as_secs_f64());
    assert_eq!(site.entries(), (1, u64::from(MILLION) + 1));
    blocked(&site, six, [false, true]);
    site.replace("3 entries in the place of a million", "192.0.2.66\n192.0.2.67\n203.0.113.0/24\n");
    assert_eq!(site.entries(), (3, 0));
    blocked(&site, six, [false, false]);
}
