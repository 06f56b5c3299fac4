//! Token buckets: so many new connections, packets and echo requests of each source, and no more. The clock is the test's own,
//! so what is counted is exact; the last test is about real packets and real time.

use std::{
    net::{Ipv4Addr, Ipv6Addr},
    time::{Duration, Instant},
};

use foobar_common::reason::Reason::{
    self, ConnectionLimit, EchoLimit, EchoRequest, NoRule, PacketLimit, Reply, Rule,
};
use foobar_tests::{
    frames::{
        Direction, Step,
        hosts::{REMOTE, SERVER, WORLD},
        packet::{Packet, v4, v6},
    },
    harness::{Daemon, Lan, Leaks, curl, eventually, python},
    programs::{CompiledPolicy, Programs},
};
use foobar_user::kernel::hz;

/// A limit that counts connections, one that is slower than a token a second, and one of datagrams.
const RULES: &str = r#"
[[rules]]
name = "web"
ports = [80, 443]
from = "any"
limit = { per_source = "20/s", burst = 40 }
[[rules]]
name = "slow"
ports = [22]
from = "any"
limit = { per_source = "1/m", burst = 100 }
[[rules]]
name = "datagrams"
ports = [5060]
protocols = ["udp"]
from = "any"
limit = { per_source = "50/s", burst = 10 }
"#;

/// An hour, after which each of these buckets is full again.
const HOUR: u64 = 3600;

fn arrives(packet: Packet) -> Step {
    Step { direction: Direction::Ingress, frame: packet.bytes() }
}

fn leaves(packet: Packet) -> Step {
    Step { direction: Direction::Egress, frame: packet.sent().bytes() }
}

fn from4(source: Ipv4Addr) -> Packet {
    v4(source, SERVER.v4)
}

fn from6(source: Ipv6Addr) -> Packet {
    v6(source, SERVER.v6)
}

/// A segment that opens a connection to this port.
fn opening(packet: Packet, port: u16) -> Step {
    arrives(packet.tcp(40_000, port, "S"))
}

/// How many of so many frames pass at one tick; all that do not are over the limit.
fn passing(programs: &Programs, step: &Step, frames: u32, tick: u64, over: Reason) -> u32 {
    let mut passed = 0;
    for number in 0..frames {
        let finding = programs.run_at_tick(step, tick);
        assert!(
            finding.reason == over || finding.reason.verdict().name() == "pass",
            "frame {number}: {}",
            finding.reason.name()
        );
        passed += u32::from(finding.reason != over);
    }
    passed
}

#[test]
fn a_burst_passes_and_then_a_token_comes_with_each_turn_of_the_rate() {
    let programs = CompiledPolicy::of(RULES).load();
    let open = [80, 443].map(|port| opening(from4(WORLD.v4), port));
    for number in 0..40 {
        assert_eq!(programs.run_at_tick(&open[number % 2], 0).reason, Rule, "opening {number}");
    }
    let over = programs.run_at_tick(&open[0], 0);
    assert_eq!((over.reason, over.rule.as_deref()), (ConnectionLimit, Some("web")));

    // A try at each tick of ten seconds: 200 tokens, each at its time. Rounding may cost the last one a tick.
    let ticks = 10 * hz();
    let passed: Vec<u64> = (1..=ticks + 1)
        .filter(|tick| programs.run_at_tick(&open[0], *tick).reason == Rule)
        .collect();
    assert_eq!(passed.len(), 200);
    for (tick, number) in passed.iter().zip(1..) {
        let due = (number * hz()).div_ceil(20);
        assert!((due..=due + 1).contains(tick), "token {number} came at {tick}, due at {due}");
    }
}

#[test]
fn a_pause_fills_the_bucket_up_to_the_burst() {
    let programs = CompiledPolicy::of(RULES).load();
    let open = opening(from4(WORLD.v4), 80);
    assert_eq!(passing(&programs, &open, 60, 0, ConnectionLimit), 40);
    // Half a second is worth ten.
    assert_eq!(passing(&programs, &open, 60, hz() / 2 + 1, ConnectionLimit), 10);
    for hours in 1..=3 {
        assert_eq!(passing(&programs, &open, 60, hours * HOUR * hz(), ConnectionLimit), 40);
    }
    let years = 3 * 365 * 24 * HOUR * hz();
    assert_eq!(passing(&programs, &open, 60, years, ConnectionLimit), 40);
}

#[test]
fn a_low_rate_keeps_to_itself_however_long_the_pause() {
    let programs = CompiledPolicy::of(RULES).load();
    let open = opening(from4(WORLD.v4), 22);
    assert_eq!(passing(&programs, &open, 150, 0, ConnectionLimit), 100);
    let (mut minutes, mut granted) = (0, 0);
    for pause in [1, 2, 10, 30] {
        minutes += pause;
        granted += passing(&programs, &open, 150, minutes * 60 * hz(), ConnectionLimit);
        // The rate is rounded to the nearest that a tick can express: up to 3 % off at 1,000 ticks a second.
        let due = minutes as f64 * 0.97 - 1.0..=minutes as f64 * 1.03;
        assert!(due.contains(&granted.into()), "{granted} tokens in {minutes} minutes");
    }
    assert_eq!(passing(&programs, &open, 150, 5 * HOUR * hz(), ConnectionLimit), 100);
}

#[test]
fn only_the_opening_of_a_connection_takes_a_token() {
    let programs = CompiledPolicy::of(RULES).load();
    let open = opening(from4(WORLD.v4), 80);
    let data = arrives(from4(WORLD.v4).tcp_with(40_000, 80, "PA", &[], b"GET / HTTP/1.1\r\n\r\n"));
    for _ in 0..1000 {
        assert_eq!(programs.run(&data, 0).reason, Rule);
    }
    assert_eq!(passing(&programs, &open, 60, 0, ConnectionLimit), 40);
    assert_eq!(programs.run(&data, 0).reason, Rule, "what is open goes on");
}

#[test]
fn each_datagram_takes_a_token() {
    let programs = CompiledPolicy::of(RULES).load();
    let datagram = arrives(from4(WORLD.v4).udp(5060, 5060, 100));
    assert_eq!(passing(&programs, &datagram, 30, 0, ConnectionLimit), 10);
    assert_eq!(passing(&programs, &datagram, 30, hz() / 10 + 1, ConnectionLimit), 5);
}

#[test]
fn sources_and_rules_have_buckets_of_their_own() {
    let programs = CompiledPolicy::of(RULES).load();
    let [one, other] = [[5, 6, 7, 8], [5, 6, 7, 9]].map(Ipv4Addr::from);
    let open = |source| opening(from4(source), 80);
    assert_eq!(passing(&programs, &open(one), 50, 0, ConnectionLimit), 40);
    assert_eq!(passing(&programs, &open(other), 50, 0, ConnectionLimit), 40);
    assert_eq!(programs.run(&opening(from4(one), 22), 0).reason, Rule, "another rule");
    // IPv6 by /64, which one customer has to himself: whatever address he takes, the bucket is the same.
    let open = |text: &str| opening(from6(text.parse().expect("an address")), 80);
    let addresses = ["2001:db8:77::1", "2001:db8:77::2", "2001:db8:77:0:ffff:ffff:ffff:ffff"];
    let passed: u32 = addresses
        .iter()
        .map(|address| passing(&programs, &open(address), 30, 0, ConnectionLimit))
        .sum();
    assert_eq!(passed, 40);
    assert_eq!(passing(&programs, &open("2001:db8:77:1::1"), 50, 0, ConnectionLimit), 40);
    // An IPv6 network whose bits are those of an IPv4 source's key.
    assert_eq!(passing(&programs, &open("0:ffff:506:708::1"), 50, 0, ConnectionLimit), 40);
}

#[test]
fn explaining_takes_no_token() {
    let programs = CompiledPolicy::of(RULES).load();
    let open = opening(from4(WORLD.v4), 80);
    (0..100).for_each(|_| assert_eq!(programs.peek_at_tick(&open, 0).reason, Rule));
    assert_eq!(passing(&programs, &open, 50, 0, ConnectionLimit), 40);
    assert_eq!(programs.peek_at_tick(&open, 0).reason, ConnectionLimit);
    assert_eq!(programs.peek_at_tick(&open, hz()).reason, Rule, "a second later there are 20");
    assert_eq!(programs.run_at_tick(&open, 0).reason, ConnectionLimit, "it was only a look");
}

#[test]
fn packets_of_a_source_are_limited_whatever_they_are() {
    let programs = CompiledPolicy::of(&format!(
        "[limits]\npackets_per_source = \"100/s\"\nburst = 50\n{RULES}"
    ))
    .load();
    programs.run(&leaves(v4(SERVER.v4, REMOTE.v4).tcp(45_000, 443, "S")), 0);
    let remote = || from4(REMOTE.v4);
    let kinds = [
        (arrives(remote().tcp(40_000, 80, "A")), Rule),
        (arrives(remote().icmp(8, 0, [0, 7, 0, 1], &[])), EchoRequest),
        (arrives(remote().tcp(443, 45_000, "SA")), Reply),
    ];
    let closed = arrives(remote().tcp(40_000, 9100, "S"));
    for number in 0..50 {
        let (step, reason) = &kinds[number % kinds.len()];
        assert_eq!(programs.run(step, 0).reason, *reason, "packet {number}");
        assert_eq!(programs.run(&closed, 0).reason, NoRule, "what is dropped takes no token");
    }
    for (step, _) in &kinds {
        assert_eq!(programs.run(step, 0).reason, PacketLimit);
    }
    let data = &kinds[0].0;
    assert_eq!(passing(&programs, data, 50, hz() / 5 + 1, PacketLimit), 20);
    assert_eq!(passing(&programs, data, 60, HOUR * hz(), PacketLimit), 50);
    let other = arrives(from4(WORLD.v4).tcp(40_000, 80, "A"));
    assert_eq!(passing(&programs, &other, 60, 0, PacketLimit), 50, "another source");
}

#[test]
fn echo_requests_are_limited_by_default_and_as_configured() {
    for (choice, rate, burst) in [
        ("", 100, 200),
        ("[choices]\necho = { rate = \"10/s\", burst = 5 }\n", 10, 5),
        ("[choices]\necho = { rate = \"600/m\", burst = 1 }\n", 10, 1),
    ] {
        let programs = CompiledPolicy::of(&format!("{choice}{RULES}")).load();
        let [one, other] = ["2001:db8:77::1", "2001:db8:78::1"]
            .map(|text| from6(text.parse().expect("an address")).icmp(128, 0, [0, 7, 0, 1], &[]))
            .map(arrives);
        let v4 = arrives(from4(WORLD.v4).icmp(8, 0, [0, 7, 0, 1], &[]));
        for ping in [one, other, v4] {
            assert_eq!(passing(&programs, &ping, burst + 20, 0, EchoLimit), burst);
            let second = passing(&programs, &ping, rate + 20, hz() + 1, EchoLimit);
            assert_eq!(second, rate.min(burst), "{choice:?}");
        }
    }
}

/// More sources than the table has entries (65,536): the oldest go, nobody is refused, and the latest are still limited.
#[test]
fn more_sources_than_the_table_holds() {
    let programs = CompiledPolicy::of(RULES).load();
    let source = |number: u32| Ipv4Addr::from(0x0b00_0000 + number);
    for number in 0..80_000 {
        let finding = programs.run(&opening(from4(source(number)), 80), 0);
        assert_eq!(finding.reason, Rule, "source {number}");
    }
    for number in [0, 79_999] {
        let passed =
            passing(&programs, &opening(from4(source(number)), 80), 60, 0, ConnectionLimit);
        assert!((39..=40).contains(&passed), "{passed} more of source {number}");
    }
}

/// Opens 100 connections at once and says how many are open after half a second: before a lost SYN is sent again.
const CONNECT: &str = "
import select, socket, sys, time
began = time.monotonic()
sockets = []
for i in range(100):
    s = socket.socket(socket.AF_INET6 if ':' in sys.argv[1] else socket.AF_INET)
    s.setblocking(False)
    s.connect_ex((sys.argv[1], 80))
    sockets.append(s)
sent = time.monotonic() - began
time.sleep(0.5)
print(len(select.select([], sockets, [], 0)[1]), sent)
";

#[test]
fn real_connections_are_limited_and_a_change_of_a_list_grants_no_more() {
    let _leaks = Leaks::watch();
    let lan = Lan::new();
    let (greedy, modest) = (lan.client(10), lan.client(11));
    let _nginx = foobar_tests::harness::Nginx::start(&lan.server);
    let daemon = Daemon::start(
        &lan.server,
        "interfaces = [\"eth0\"]\n[blocklists.abuse]\n[[rules]]\nname = \"web\"\nports = [80]\nfrom = \"any\"\n\
         limit = { per_source = \"1/s\", burst = 30 }\n",
    );
    let connect = |host: &str| {
        let output = python(&greedy, CONNECT, &[host], Duration::from_secs(20));
        let words = output.stdout.split_whitespace().map(|word| word.parse::<f64>());
        let numbers: Vec<f64> =
            words.collect::<Result<_, _>>().unwrap_or_else(|_| panic!("{}", output.text()));
        let (open, seconds) = (numbers[0], numbers[1]);
        println!("{host}: {open} of 100 connections within {seconds:.3} s");
        (open, seconds)
    };
    for host in [Lan::SERVER4, Lan::SERVER6] {
        let begin = Instant::now();
        let (open, seconds) = connect(host);
        assert!((30.0..=30.0 + seconds + 1.0).contains(&open), "{open} connections to {host}");
        // Two changes of the policy: both generations were written anew, and the buckets are as they were.
        daemon.ok(&["block", "add", "abuse", "203.0.113.0/24"]);
        daemon.ok(&["block", "remove", "abuse", "203.0.113.0/24"]);
        let (open, _) = connect(host);
        let most = begin.elapsed().as_secs_f64() + 1.0;
        assert!(open <= most, "{open} more connections to {host}, at most {most:.1}");
        let page = curl(&modest).get("http://192.0.2.1/").expect("another source is not affected");
        assert_eq!(page.status, 200);
    }
    let labels = &[("port", "80"), ("transport", "tcp"), ("reason", "connection_limit")];
    eventually("the drops to be counted", Duration::from_secs(5), || {
        let dropped = daemon.scrape().sum("foobar_dropped_packets_total", labels);
        // 70 and more of either host, and what the clients sent again meanwhile.
        if dropped >= 140.0 { Ok(()) } else { Err(dropped) }
    });
}
