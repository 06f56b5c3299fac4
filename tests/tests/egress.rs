//! What the server may send: egress rules by destination and port, in both defaults, and what always passes.

use std::time::Duration;

use foobar_common::reason::Reason::{
    self, Egress, EgressDenied, EgressServed, NoRule, Reply, Unsolicited,
};
use foobar_tests::{
    frames::{
        Direction, Step,
        hosts::{ADMIN, APP, BLOCKED, Host, OTHER_REMOTE, REMOTE, SERVER, WORLD},
        packet::{Packet, ether, ethernet, v4, v6},
    },
    harness::{
        Daemon, Lan, Leaks, Nginx, UdpEcho, ask, curl, eventually, ping, tcp_connects, try_run,
    },
    programs::{CompiledPolicy, Programs},
};

/// Lists, and what comes in: web for everybody.
const LISTS: &str = r#"
interfaces = ["eth0"]
[allowlists.app]
entries = ["192.0.2.10", "2001:db8::10"]
[allowlists.resolvers]
entries = ["9.9.9.9", "2620:fe::fe"]
[blocklists.abuse]
entries = ["203.0.113.0/24", "2001:db8:bad::/48"]
[[rules]]
name = "web"
ports = [80]
from = "any"
[[rules]]
name = "quic"
ports = [443]
protocols = ["udp"]
from = "any"
"#;

/// Nothing leaves but what a rule allows; the second rule makes an exception of the third, since the first that matches decides.
const DENY: &str = r#"
[egress]
default = "deny"
[[egress.rules]]
name = "database"
to = ["app"]
ports = [3306]
action = "allow"
[[egress.rules]]
name = "no-abuse"
to = ["abuse"]
action = "deny"
[[egress.rules]]
name = "web-services"
ports = [443, "8000-8010"]
action = "allow"
[[egress.rules]]
name = "dns"
to = ["resolvers"]
ports = [53]
protocols = ["udp", "tcp"]
action = "allow"
[[egress.rules]]
name = "ping"
to = ["resolvers"]
protocols = ["icmp", "icmpv6"]
action = "allow"
"#;

/// Everything leaves but what a rule denies.
const ALLOW: &str = r#"
[egress]
[[egress.rules]]
name = "mail-by-the-relay"
to = ["app"]
ports = [25]
action = "allow"
[[egress.rules]]
name = "no-mail"
ports = [25]
action = "deny"
[[egress.rules]]
name = "no-abuse"
to = ["abuse"]
action = "deny"
"#;

#[derive(Clone, Copy, PartialEq)]
enum Family {
    V4,
    V6,
}

use Family::{V4, V6};

impl Family {
    fn to(self, host: Host) -> Packet {
        match self {
            V4 => v4(SERVER.v4, host.v4),
            V6 => v6(SERVER.v6, host.v6),
        }
    }

    fn from(self, host: Host) -> Packet {
        match self {
            V4 => v4(host.v4, SERVER.v4),
            V6 => v6(host.v6, SERVER.v6),
        }
    }

    fn ping(self, host: Host) -> Packet {
        let kind = if self == V4 { 8 } else { 128 };
        self.to(host).icmp(kind, 0, [0, 7, 0, 1], &[])
    }
}

fn leaves(packet: Packet) -> Step {
    Step { direction: Direction::Egress, frame: packet.sent().bytes() }
}

fn arrives(packet: Packet) -> Step {
    Step { direction: Direction::Ingress, frame: packet.bytes() }
}

/// Each frame leaves, or does not, for this reason and by this rule.
fn check(programs: &Programs, rows: &[(&str, Packet, Reason, Option<&str>)]) {
    let mut wrong = Vec::new();
    for (name, packet, reason, rule) in rows {
        let found = programs.run(&leaves(packet.clone()), 0);
        if (found.reason, found.rule.as_deref()) != (*reason, *rule) {
            wrong.push(format!("{name}: {} by {:?}", found.reason.name(), found.rule));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn default_deny_lets_out_what_a_rule_allows() {
    let programs = CompiledPolicy::of(&format!("{LISTS}{DENY}")).load();
    for family in [V4, V6] {
        let syn = |host, port| family.to(host).tcp(45_000, port, "S");
        let question = |host, port| family.to(host).udp(45_000, port, 30);
        check(
            &programs,
            &[
                ("database", syn(APP, 3306), Egress, Some("database")),
                ("database elsewhere", syn(WORLD, 3306), EgressDenied, None),
                ("database over UDP", question(APP, 3306), EgressDenied, None),
                ("web", syn(WORLD, 443), Egress, Some("web-services")),
                ("web range, first", syn(WORLD, 8000), Egress, Some("web-services")),
                ("web range, last", syn(WORLD, 8010), Egress, Some("web-services")),
                ("behind the range", syn(WORLD, 8011), EgressDenied, None),
                ("web of the blocked", syn(BLOCKED, 443), EgressDenied, Some("no-abuse")),
                ("anything to the blocked", question(BLOCKED, 9), EgressDenied, Some("no-abuse")),
                ("resolver", question(REMOTE, 53), Egress, Some("dns")),
                ("resolver over TCP", syn(REMOTE, 53), Egress, Some("dns")),
                ("another resolver", question(OTHER_REMOTE, 53), EgressDenied, None),
                ("ping", family.ping(REMOTE), Egress, Some("ping")),
                ("ping elsewhere", family.ping(WORLD), EgressDenied, None),
                ("http", syn(WORLD, 80), EgressDenied, None),
                ("tunnel", family.to(WORLD).raw(47, &[0; 20]), EgressDenied, None),
                ("mid-stream", family.to(WORLD).tcp(45_000, 22, "PA"), EgressDenied, None),
            ],
        );
    }
}

#[test]
fn default_allow_keeps_in_what_a_rule_denies() {
    let programs = CompiledPolicy::of(&format!("{LISTS}{ALLOW}")).load();
    for family in [V4, V6] {
        let syn = |host, port| family.to(host).tcp(45_000, port, "S");
        check(
            &programs,
            &[
                ("relay", syn(APP, 25), Egress, Some("mail-by-the-relay")),
                ("mail", syn(WORLD, 25), EgressDenied, Some("no-mail")),
                ("mail to the blocked", syn(BLOCKED, 25), EgressDenied, Some("no-mail")),
                ("web", syn(WORLD, 443), Egress, None),
                ("web of the blocked", syn(BLOCKED, 443), EgressDenied, Some("no-abuse")),
                ("ping of the blocked", family.ping(BLOCKED), EgressDenied, Some("no-abuse")),
                ("ping", family.ping(WORLD), Egress, None),
                ("tunnel", family.to(WORLD).raw(47, &[0; 20]), Egress, None),
            ],
        );
    }
}

#[test]
fn answers_and_what_the_link_needs_always_leave() {
    let programs = CompiledPolicy::of(&format!("{LISTS}{DENY}")).load();
    for family in [V4, V6] {
        for peer in [WORLD, ADMIN, BLOCKED] {
            let segment = |flags: &str| family.to(peer).tcp(80, 51_000, flags);
            let (reply, unreachable) = if family == V4 { (0, 3) } else { (129, 1) };
            let quoted = family.from(peer).udp(51_000, 9999, 10).network_bytes();
            check(
                &programs,
                &[
                    ("SYN+ACK", segment("SA"), EgressServed, None),
                    ("data", segment("PA"), EgressServed, None),
                    ("FIN", segment("FA"), EgressServed, None),
                    ("RST", segment("R"), EgressServed, None),
                    ("QUIC", family.to(peer).udp(443, 51_000, 1200), EgressServed, None),
                    ("pong", family.to(peer).icmp(reply, 0, [0, 7, 0, 1], &[]), Egress, None),
                    ("error", family.to(peer).icmp(unreachable, 1, [0; 4], &quoted), Egress, None),
                ],
            );
        }
        // From a served port, but no answer.
        let opening = family.to(WORLD).tcp(80, 9999, "S");
        check(&programs, &[("opening from a served port", opening, EgressDenied, None)]);
    }
    let solicitation = v6(SERVER.v6, REMOTE.v6).hops(255).icmp(135, 0, [0; 4], &[0; 16]);
    let arp = ethernet(0x0806, &[0; 28]);
    let tagged = V4.to(WORLD).tcp(80, 51_000, "A").tag(ether::VLAN, 7);
    check(
        &programs,
        &[
            ("neighbour solicitation", solicitation, Egress, None),
            ("ARP", arp, Egress, None),
            ("tagged answer", tagged, EgressServed, None),
        ],
    );
}

/// What did not leave has no answer: a denied packet opens no way in, an allowed one does.
#[test]
fn a_denied_packet_opens_no_way_in() {
    let programs = CompiledPolicy::of(&format!("{LISTS}{DENY}")).load();
    for family in [V4, V6] {
        let pong = if family == V4 { 0 } else { 129 };
        for (question, answer, expected) in [
            (
                family.to(WORLD).tcp(45_000, 22, "S"),
                family.from(WORLD).tcp(22, 45_000, "SA"),
                NoRule,
            ),
            (
                family.to(WORLD).tcp(45_001, 443, "S"),
                family.from(WORLD).tcp(443, 45_001, "SA"),
                Reply,
            ),
            (family.to(WORLD).udp(45_002, 53, 30), family.from(WORLD).udp(53, 45_002, 30), NoRule),
            (family.to(REMOTE).udp(45_003, 53, 30), family.from(REMOTE).udp(53, 45_003, 30), Reply),
            (family.ping(WORLD), family.from(WORLD).icmp(pong, 0, [0, 7, 0, 1], &[]), Unsolicited),
            (family.ping(REMOTE), family.from(REMOTE).icmp(pong, 0, [0, 7, 0, 1], &[]), Reply),
        ] {
            let left = programs.run(&leaves(question), 0).verdict;
            let found = programs.run(&arrives(answer), 0);
            assert_eq!(found.reason, expected);
            assert_eq!(left, found.verdict, "an answer comes in if its question left");
        }
    }
}

/// A server that may ask one neighbour alone, and only its ports 80 and 53.
const NEIGHBOUR: &str = r#"
[allowlists.neighbour]
entries = ["192.0.2.20", "2001:db8::20"]
[egress]
default = "deny"
[[egress.rules]]
name = "neighbour"
to = ["neighbour"]
ports = [80, 53]
protocols = ["tcp", "udp"]
action = "allow"
"#;

/// Sends frames of 5,000 bytes whose linear part is the Ethernet header alone, as a sender with PACKET_VNET_HDR may choose (packet(7)): IPv4 and IPv6,
/// TCP and UDP, each to a port that the rule names and to one that it does not.
const SHORT_LINEAR_PART: &str = r#"
import errno, socket, struct
SOL_PACKET, PACKET_VNET_HDR, BYTES = 263, 15, 4900
out = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
out.bind(("eth0", 0))
out.setsockopt(SOL_PACKET, PACKET_VNET_HDR, 1)
# No segmentation, no checksum to fill in: flags, gso_type, hdr_len, gso_size, csum_start, csum_offset.
vnet = struct.pack("=BBHHHH", 0, 0, 14, 0, 0, 0)
macs = bytes(12)
for protocol in (6, 17):
    for port in (80, 81):
        ports = struct.pack("!HH", 45000, port)
        if protocol == 6:
            head = ports + struct.pack("!IIBBHHH", 1, 1, 5 << 4, 0x10, 512, 0, 0)
        else:
            head = ports + struct.pack("!HH", BYTES, 0)
        transport = head + bytes(BYTES - len(head))
        v4 = struct.pack("!BBHHHBBH", 0x45, 0, 20 + BYTES, 7, 0, 64, protocol, 0)
        v4 += socket.inet_aton("192.0.2.1") + socket.inet_aton("192.0.2.20")
        v6 = struct.pack("!IHBB", 6 << 28, BYTES, protocol, 64)
        v6 += socket.inet_pton(socket.AF_INET6, "2001:db8::1") + socket.inet_pton(socket.AF_INET6, "2001:db8::20")
        for kind, ip in ((0x0800, v4), (0x86dd, v6)):
            try:
                out.send(vnet + macs + struct.pack("!H", kind) + ip + transport)
            except OSError as error:
                # The sender is told that it was dropped.
                if error.errno != errno.ENOBUFS: raise
"#;

const PATIENCE: Duration = Duration::from_secs(10);
const LOST: Duration = Duration::from_millis(400);

#[test]
fn a_real_server_is_kept_in() {
    let _leaks = Leaks::watch();
    let lan = Lan::new();
    let (neighbour, other) = (lan.client(20), lan.client(66));
    let _servers = [&lan.server, &neighbour, &other].map(Nginx::start);
    let _echoes = [&neighbour, &other].map(|namespace| UdpEcho::start(namespace, 53));
    let server = &lan.server;
    let gets = |client, host: &str| curl(client).within(PATIENCE).get(&format!("http://{host}/"));
    let asks =
        |host: &str, tries| ask(server, format!("{host}:53").parse().expect(host), 100, tries);

    let audit = format!("mode = \"audit\"\n{LISTS}{NEIGHBOUR}");
    let daemon = Daemon::start(server, &audit);
    for host in ["192.0.2.66", "[2001:db8::66]"] {
        assert!(gets(server, host).is_ok(), "audit drops nothing");
        assert_eq!(asks(host, 10).map_err(|error| error.kind()), Ok(300));
    }
    let page = daemon.scrape();
    for transport in ["tcp", "udp"] {
        let labels = &[("transport", transport), ("reason", "egress_denied")];
        assert!(page.sum("foobar_egress_audited_packets_total", labels) >= 2.0, "{transport}");
        let dropped = page.find("foobar_egress_dropped_packets_total", labels).unwrap_or_default();
        assert_eq!(dropped, 0.0, "{transport}");
    }
    drop(daemon);

    let daemon = Daemon::start(server, &format!("{LISTS}{NEIGHBOUR}"));
    for host in ["192.0.2.20", "[2001:db8::20]"] {
        let page = gets(server, host).unwrap_or_else(|error| panic!("{host}: {error:?}"));
        assert_eq!(page.status, 200);
        assert_eq!(asks(host, 10).map_err(|error| error.kind()), Ok(300), "{host}");
        let https = tcp_connects(server, &format!("{host}:443"), LOST);
        assert!(https.is_err(), "only the ports that the rule names");
    }
    for host in ["192.0.2.66", "[2001:db8::66]"] {
        assert!(
            tcp_connects(server, &format!("{host}:80"), LOST).is_err(),
            "{host} is no neighbour"
        );
        assert!(asks(host, 1).is_err(), "{host} is no neighbour");
    }
    assert!(ping(server, "192.0.2.20").is_err(), "no rule allows pings");
    for host in ["192.0.2.1", "[2001:db8::1]"] {
        let page = gets(&other, host).unwrap_or_else(|error| panic!("{host}: {error:?}"));
        assert_eq!(page.status, 200, "answers leave, whoever asked");
    }
    ping(&other, "192.0.2.1").expect("pongs leave");

    daemon.ok(&["allow", "add", "neighbour", "192.0.2.66"]);
    assert!(gets(server, "192.0.2.66").is_ok(), "the lists are the same, and change as quickly");
    let denied = eventually("denied packets to be counted", PATIENCE, || {
        let page = daemon.scrape();
        let denied = |transport| {
            let labels = &[("transport", transport), ("reason", "egress_denied")];
            page.sum("foobar_egress_dropped_packets_total", labels)
        };
        let denied = ["tcp", "udp", "icmp"].map(denied);
        if denied.iter().all(|count| *count >= 1.0) { Ok(denied) } else { Err(denied) }
    });
    // A SYN each to port 443 of the neighbour and to port 80 of the other, over IPv4 and IPv6.
    assert!(denied[0] >= 4.0, "{denied:?}");
    let allowed = daemon.scrape().sum("foobar_egress_rule_packets_total", &[("rule", "neighbour")]);
    assert!(allowed >= 10.0, "two pages and two answers: {allowed} packets");
}

#[test]
fn headers_outside_of_the_linear_part_are_read() {
    let _leaks = Leaks::watch();
    let lan = Lan::new();
    let server = &lan.server;
    let mut command = server.command("ip");
    let large = try_run(command.args(["link", "set", "eth0", "mtu", "9000"]));
    assert_eq!(large.code, Some(0), "{}", large.text());
    let daemon = Daemon::start(server, &format!("{LISTS}{NEIGHBOUR}"));
    let counted = || {
        let page = daemon.scrape();
        let denied = |transport| {
            let labels = [("transport", transport), ("reason", "egress_denied")];
            page.sum("foobar_egress_dropped_packets_total", &labels)
        };
        let allowed = page.sum("foobar_egress_rule_packets_total", &[("rule", "neighbour")]);
        [denied("tcp"), denied("udp"), allowed]
    };
    let [tcp, udp, allowed] = counted();
    let mut command = server.command("python3");
    let sent = try_run(command.args(["-c", SHORT_LINEAR_PART]));
    assert_eq!(sent.code, Some(0), "{}", sent.text());
    let expected = [tcp + 2.0, udp + 2.0, allowed + 4.0];
    eventually("the frames to be counted", PATIENCE, || {
        let now = counted();
        if now == expected { Ok(()) } else { Err((now, expected)) }
    });
}
