//! Policies other than the reference: choices, protocols, long prefixes, egress rules. Limits are in `limits.rs`.

use std::net::Ipv6Addr;

use foobar_common::reason::{
    Reason::{self, *},
    Verdict,
};
use foobar_tests::{
    frames::{
        Direction, Step,
        hosts::{
            ADMIN, ALL_NODES, APP, BLOCKED, Host, REMOTE, ROUTER_LINK, ROUTER_MAC, SERVER,
            SERVER_LINK, WORLD,
        },
        packet::{Packet, ethernet, filler, v4, v6},
    },
    programs::{CompiledPolicy, Finding, Programs},
};

/// Web for everybody, which most tests here add something to.
const WEB: &str = "[[rules]]\nname = \"web\"\nports = [80, 443]\nprotocols = [\"tcp\", \"udp\"]\nfrom = \"any\"\n";

fn arrives(programs: &Programs, packet: &Packet, seconds: u64) -> Finding {
    programs.run(&Step { direction: Direction::Ingress, frame: packet.bytes() }, seconds)
}

fn leaves(programs: &Programs, packet: &Packet, seconds: u64) -> Finding {
    programs
        .run(&Step { direction: Direction::Egress, frame: packet.clone().sent().bytes() }, seconds)
}

fn world() -> Packet {
    v4(WORLD.v4, SERVER.v4)
}

fn world6() -> Packet {
    v6(WORLD.v6, SERVER.v6)
}

/// A choice, and reasons for frames that it concerns and for such that it does not.
#[test]
fn choices_change_what_they_say_and_nothing_else() {
    let options = [0, 0, 1, 4, 0, 0, 0, 0];
    let syn = world().tcp(51000, 80, "S");
    let syn6 = world6().tcp(51000, 80, "S");
    let first = world().udp(51000, 443, 1472).fragment4(7, true, 0);
    let first6 = world6().fragment6(7, true, 0).udp(51000, 443, 1472);
    let tail = world().raw(17, &filler(80)).fragment4(7, false, 185);
    let atomic = world6().fragment6(7, false, 0).tcp(51000, 80, "S");
    let with_options = world().options(&[148, 4, 0, 0]).tcp(51000, 80, "S");
    let with_extension = world6().extension(60, &options).tcp(51000, 80, "S");
    let ping = world().icmp(8, 0, [0, 1, 0, 1], &[]);
    let ping6 = world6().icmp(128, 0, [0, 1, 0, 1], &[]);
    let xmas = world().tcp(51000, 80, "FPU");
    let loopback = v4([127, 0, 0, 1].into(), SERVER.v4).tcp(51000, 80, "S");
    let about = |port: u16| {
        let quoted = v4(SERVER.v4, WORLD.v4).tcp(port, 51000, "A").network_bytes();
        v4(REMOTE.v4, SERVER.v4).icmp(3, 4, [0, 0, 5, 0], &quoted)
    };
    let (about_web, about_closed) = (about(80), about(9100));
    let xmas_closed = world().tcp(51000, 22, "FPU");
    let loopback6 = v6(Ipv6Addr::LOCALHOST, SERVER.v6).tcp(51000, 80, "S");
    let advertisement = v6(ROUTER_LINK, ALL_NODES).hops(255).icmp(134, 0, [64, 0, 7, 8], &[0; 8]);
    let solicitation =
        v6(ROUTER_LINK, SERVER.v6).hops(255).icmp(135, 0, [0; 4], &SERVER.v6.octets());
    let dhcp = v4([192, 0, 2, 254].into(), SERVER.v4).udp(67, 68, 300);
    let dhcp6 = v6(ROUTER_LINK, SERVER_LINK).udp(547, 546, 100);
    let lldp = ethernet(0x88cc, &filler(46)).macs([0x01, 0x80, 0xc2, 0, 0, 0x0e], ROUTER_MAC);
    let alert = [0, 0, 5, 2, 0, 0, 1, 0];
    let query =
        v6(ROUTER_LINK, ALL_NODES).hops(1).extension(0, &alert).icmp(130, 0, [0; 4], &[0; 16]);

    let choices: [(&str, Vec<(&Packet, Reason)>); 13] = [
        (
            "fragments = \"drop\"",
            vec![
                (&first, Fragment),
                (&first6, Fragment),
                (&tail, Fragment),
                (&atomic, Rule),
                (&syn, Rule),
            ],
        ),
        (
            "ipv4_options = \"drop\"",
            vec![(&with_options, Ipv4Options), (&with_extension, Rule), (&syn, Rule)],
        ),
        (
            "extension_headers = \"drop\"",
            vec![
                (&with_extension, ExtensionHeader),
                (&with_options, Rule),
                (&query, Mld),
                (&first6, Rule),
                (&syn6, Rule),
            ],
        ),
        ("echo = \"drop\"", vec![(&ping, Disabled), (&ping6, Disabled), (&about_web, IcmpError)]),
        ("invalid_flags = \"pass\"", vec![(&xmas, Rule), (&xmas_closed, NoRule)]),
        ("martians = \"pass\"", vec![(&loopback, Rule), (&loopback6, Rule)]),
        (
            "icmp_errors = \"drop\"",
            vec![(&about_web, Disabled), (&about_closed, Disabled), (&ping, EchoRequest)],
        ),
        ("icmp_errors = \"all\"", vec![(&about_web, IcmpError), (&about_closed, IcmpError)]),
        (
            "router_advertisements = \"drop\"",
            vec![(&advertisement, Disabled), (&solicitation, NeighborDiscovery)],
        ),
        ("dhcp = \"drop\"", vec![(&dhcp, Disabled), (&dhcp6, Disabled)]),
        ("link_control = \"drop\"", vec![(&lldp, Disabled)]),
        ("mld = \"drop\"", vec![(&query, Disabled), (&solicitation, NeighborDiscovery)]),
        (
            "",
            vec![
                (&first, Rule),
                (&tail, FragmentTail),
                (&with_options, Rule),
                (&with_extension, Rule),
                (&ping, EchoRequest),
                (&xmas, InvalidFlags),
                (&loopback, Martian),
                (&about_closed, IcmpUnrelated),
                (&advertisement, NeighborDiscovery),
                (&dhcp, Dhcp),
                (&lldp, LinkControl),
                (&query, Mld),
            ],
        ),
    ];
    for (choice, frames) in choices {
        let programs = CompiledPolicy::of(&format!("{WEB}[choices]\n{choice}\n")).load();
        for (number, (packet, reason)) in frames.iter().enumerate() {
            let finding = arrives(&programs, packet, 0);
            assert_eq!(finding.reason, *reason, "[choices] {choice}, frame {number}: {packet:?}");
        }
    }
}

#[test]
fn protocols_without_ports_have_rules_as_well() {
    let text = r#"
[allowlists.admins]
entries = ["198.51.100.0/24", "2001:db8:ad::/48"]
[blocklists.abuse]
entries = ["203.0.113.0/24"]
[[rules]]
name = "tunnel"
protocols = ["gre"]
from = ["admins"]
[[rules]]
name = "ipsec"
protocols = ["esp"]
from = "any"
[[rules]]
name = "monitoring"
protocols = ["icmp"]
from = ["admins"]
"#;
    let programs = CompiledPolicy::of(text).load();
    let raw = |from: Host, number: u8| v4(from.v4, SERVER.v4).raw(number, &filler(40));
    let timestamp = |from: Host| v4(from.v4, SERVER.v4).icmp(13, 0, [0, 1, 0, 1], &[0; 12]);
    for (packet, reason, rule) in [
        (raw(ADMIN, 47), Rule, Some("tunnel")),
        (v6(ADMIN.v6, SERVER.v6).raw(47, &filler(40)), Rule, Some("tunnel")),
        (raw(WORLD, 47), SourceNotAllowed, None),
        (raw(WORLD, 50), Rule, Some("ipsec")),
        (raw(BLOCKED, 50), Blocklist, None),
        (raw(WORLD, 4), Protocol, None),
        // What the list may send beyond what a host needs anyway.
        (timestamp(ADMIN), Rule, Some("monitoring")),
        (timestamp(WORLD), IcmpType, None),
        (world().icmp(8, 0, [0, 1, 0, 1], &[]), EchoRequest, None),
        (timestamp(BLOCKED), IcmpType, None),
    ] {
        let finding = arrives(&programs, &packet, 0);
        assert_eq!((finding.reason, finding.rule.as_deref()), (reason, rule), "{packet:?}");
    }
}

/// Prefixes longer than /64 decide by the lower half of the address.
#[test]
fn long_ipv6_prefixes_are_exact() {
    let text = r#"
[allowlists.hosts]
entries = ["2001:db8:1:2::/96", "2001:db8:1:2:0:1::/112", "2001:db8:1:3::7", "2001:db8:1:4:8000::/65"]
[blocklists.abuse]
entries = ["2001:db8:1:2::bad:0/112", "2001:db8:1:3::/127"]
[[rules]]
name = "ssh"
ports = [22]
from = ["hosts"]
"#;
    let programs = CompiledPolicy::of(text).load();
    for (source, reason) in [
        ("2001:db8:1:2::", Rule),
        ("2001:db8:1:2::1", Rule),
        ("2001:db8:1:2::ffff:ffff", Rule),
        ("2001:db8:1:2:0:1::", Rule),
        ("2001:db8:1:2:0:1:0:ffff", Rule),
        ("2001:db8:1:2:0:1:1:0", SourceNotAllowed),
        ("2001:db8:1:2:0:2::", SourceNotAllowed),
        ("2001:db8:1:1:ffff:ffff:ffff:ffff", SourceNotAllowed),
        ("2001:db8:1:2::bac:ffff", Rule),
        ("2001:db8:1:2::bad:0", Blocklist),
        ("2001:db8:1:2::bad:ffff", Blocklist),
        ("2001:db8:1:2::bae:0", Rule),
        ("2001:db8:1:3::", Blocklist),
        ("2001:db8:1:3::1", Blocklist),
        ("2001:db8:1:3::2", SourceNotAllowed),
        ("2001:db8:1:3::7", Rule),
        ("2001:db8:1:3::8", SourceNotAllowed),
        ("2001:db8:1:4:7fff:ffff:ffff:ffff", SourceNotAllowed),
        ("2001:db8:1:4:8000::", Rule),
        ("2001:db8:1:4:ffff:ffff:ffff:ffff", Rule),
        ("2001:db8:1:5::", SourceNotAllowed),
    ] {
        let packet = v6(source.parse().expect("an address"), SERVER.v6).tcp(51000, 22, "S");
        assert_eq!(arrives(&programs, &packet, 0).reason, reason, "{source}");
    }
}

/// Default allow with exceptions, and default deny with exceptions.
#[test]
fn egress_rules_decide_by_destination_and_port() {
    let rules = r#"
[allowlists.mirrors]
entries = ["9.9.9.0/24", "2620:fe::/48"]
[blocklists.abuse]
entries = ["203.0.113.0/24"]
[[egress.rules]]
name = "updates"
to = ["mirrors"]
ports = [443]
action = "allow"
[[egress.rules]]
name = "names"
ports = [53]
protocols = ["udp"]
action = "allow"
[[egress.rules]]
name = "no-mail"
ports = [25]
action = "deny"
"#;
    let to = |host: Host| v4(SERVER.v4, host.v4);
    let to6 = |host: Host| v6(SERVER.v6, host.v6);
    for (default, otherwise) in [("allow", Egress), ("deny", EgressDenied)] {
        let programs =
            CompiledPolicy::of(&format!("{WEB}[egress]\ndefault = \"{default}\"\n{rules}")).load();
        for (packet, reason) in [
            (to(REMOTE).tcp(45000, 443, "S"), Egress),
            (to6(REMOTE).tcp(45000, 443, "S"), Egress),
            (to(WORLD).tcp(45001, 443, "S"), otherwise),
            (to6(WORLD).tcp(45001, 443, "S"), otherwise),
            (to(REMOTE).tcp(45002, 80, "S"), otherwise),
            (to(WORLD).udp(40000, 53, 30), Egress),
            (to6(WORLD).udp(40000, 53, 30), Egress),
            (to(WORLD).tcp(40000, 53, "S"), otherwise),
            (to(REMOTE).tcp(45003, 25, "S"), EgressDenied),
            (to6(REMOTE).tcp(45003, 25, "S"), EgressDenied),
            (to(REMOTE).raw(47, &filler(40)), otherwise),
            // Answers to those who may ask always leave, and so does what the link needs.
            (to(WORLD).tcp(80, 51000, "SA"), EgressServed),
            (to6(WORLD).udp(443, 51000, 1200), EgressServed),
            (to(WORLD).icmp(0, 0, [0, 1, 0, 1], &[]), Egress),
            (to6(WORLD).hops(255).icmp(136, 0, [0; 4], &[0; 16]), Egress),
            (ethernet(0x0806, &[0; 28]), Egress),
        ] {
            assert_eq!(
                leaves(&programs, &packet, 0).reason,
                reason,
                "default {default}: {packet:?}"
            );
        }
        let answer =
            |port: u16, from: u16, flags: &str| v4(REMOTE.v4, SERVER.v4).tcp(from, port, flags);
        assert_eq!(
            arrives(&programs, &answer(45000, 443, "SA"), 0).reason,
            Reply,
            "what was allowed is answered"
        );
        assert_eq!(
            arrives(&programs, &answer(45003, 25, "SA"), 0).reason,
            NoRule,
            "what was denied opened nothing"
        );
    }
}

/// Mode `audit` passes everything, and counts as audited what it would have dropped.
#[test]
fn audit_passes_what_enforce_drops() {
    let programs = CompiledPolicy::of(&format!("mode = \"audit\"\n{WEB}")).load();
    let closed = world().tcp(51000, 9100, "S");
    let open = world().tcp(51000, 80, "S");
    for (packet, reason, audited) in [(closed, NoRule, true), (open, Rule, false)] {
        let finding = arrives(&programs, &packet, 0);
        assert_eq!(
            (finding.verdict, finding.reason, finding.audited),
            (Verdict::Pass, reason, audited)
        );
    }
}

/// The first rule that matches is the one that is told, also where a later one matches as well.
#[test]
fn the_first_matching_rule_counts() {
    let text = r#"
[allowlists.admins]
entries = ["198.51.100.0/24"]
[allowlists.app]
entries = ["192.0.2.10", "198.51.100.20"]
[[rules]]
name = "first"
ports = ["80-90"]
from = ["admins"]
[[rules]]
name = "second"
ports = [85]
from = ["app"]
[[rules]]
name = "third"
ports = [85, 90]
from = "any"
"#;
    let programs = CompiledPolicy::of(text).load();
    for (from, port, rule) in [
        (ADMIN, 80, Some("first")),
        (ADMIN, 85, Some("first")),
        (APP, 85, Some("second")),
        (WORLD, 85, Some("third")),
        (APP, 90, Some("third")),
        (APP, 80, None),
        (WORLD, 80, None),
        (ADMIN, 91, None),
    ] {
        let finding = arrives(&programs, &v4(from.v4, SERVER.v4).tcp(51000, port, "S"), 0);
        assert_eq!(finding.rule.as_deref(), rule, "{from:?} to {port}: {}", finding.reason.name());
    }
}
