//! Fragments: the first shows the ports and gets a verdict, the others follow it, if they can be told to belong to it.

use std::net::Ipv6Addr;

use foobar_common::reason::Reason::{
    Blocklist, EchoRequest, FragmentOverlap, FragmentShort, FragmentTail, FragmentUnknown, NoRule,
    Protocol, Reply, Rule, SourceNotAllowed,
};

use super::{
    extensions::padding,
    hosts::{ALL_MLD_ROUTERS, BLOCKED, Host, OTHER_REMOTE, REMOTE, SERVER, WORLD},
    packet::{Packet, filler, v4, v6},
    row::{Row, drops, passes},
};

/// A fragment: of which datagram, from which byte to which.
type Cut = (u32, usize, usize);

pub(super) fn rows() -> Vec<Row> {
    let mut rows = Vec::new();
    for family in [Family::V4, Family::V6] {
        rows.extend(first(family));
        rows.extend(tails(family));
        rows.extend(foreign_tails(family));
        rows.extend(short(family));
        rows.extend(replies(family));
    }
    rows.extend(v4_only());
    rows.extend(v6_only());
    rows
}

#[derive(Clone, Copy)]
enum Family {
    V4,
    V6,
}

impl Family {
    fn name(self) -> &'static str {
        match self {
            Family::V4 => "v4",
            Family::V6 => "v6",
        }
    }

    fn packet(self, from: Host, to: Host) -> Packet {
        match self {
            Family::V4 => v4(from.v4, to.v4),
            Family::V6 => v6(from.v6, to.v6),
        }
    }

    /// A part of this datagram as a fragment of its own.
    fn fragment(self, whole: Packet, (id, from, to): Cut) -> Packet {
        let more = to < whole.transport_bytes().len();
        let offset = (from / 8) as u16;
        match self {
            Family::V4 => whole.slice(from, to).fragment4(id as u16, more, offset),
            Family::V6 => whole.slice(from, to).fragment6(id, more, offset),
        }
    }

    /// A QUIC datagram of 3,000 bytes.
    fn quic(self, from: Host) -> Packet {
        self.packet(from, SERVER).udp(51000, 443, 2992)
    }

    /// A segment of 2,000 bytes.
    fn segment(self, from: Host, port: u16) -> Packet {
        self.packet(from, SERVER).tcp_with(51000, port, "PA", &[], &filler(1980))
    }

    fn row_name(self, name: &str) -> String {
        format!("{}-fragment-{name}", self.name())
    }
}

/// First fragments are judged by their ports.
fn first(family: Family) -> Vec<Row> {
    let name = |name: &str| family.row_name(name);
    let why = "the first fragment shows the ports, so it is judged like a whole datagram";
    let echo = match family {
        Family::V4 => family.packet(WORLD, SERVER).icmp(8, 0, [0, 1, 0, 1], &filler(1992)),
        Family::V6 => family.packet(WORLD, SERVER).icmp(128, 0, [0, 1, 0, 1], &filler(1992)),
    };
    vec![
        passes(name("first-quic"), Rule, family.fragment(family.quic(WORLD), (1, 0, 1480)), why),
        passes(
            name("first-http"),
            Rule,
            family.fragment(family.segment(WORLD, 80), (2, 0, 1480)),
            why,
        ),
        passes(name("first-echo"), EchoRequest, family.fragment(echo.clone(), (3, 0, 1480)), why),
        passes(
            name("tail-of-echo"),
            FragmentTail,
            family.fragment(echo.clone(), (3, 1480, 2000)),
            "it belongs to an echo request",
        )
        .after_ingress(family.fragment(echo, (3, 0, 1480))),
        drops(
            name("first-ssh"),
            SourceNotAllowed,
            family.fragment(family.segment(WORLD, 22), (4, 0, 1480)),
            why,
        ),
        drops(
            name("first-closed"),
            NoRule,
            family.fragment(family.segment(WORLD, 9100), (5, 0, 1480)),
            why,
        ),
        drops(
            name("first-blocked"),
            Blocklist,
            family.fragment(family.quic(BLOCKED), (6, 0, 1480)),
            why,
        ),
        passes(
            name("first-of-24-bytes"),
            Rule,
            family.fragment(family.segment(WORLD, 80), (7, 0, 24)),
            "small, but it holds the whole TCP header",
        ),
        passes(
            name("first-udp-of-8-bytes"),
            Rule,
            family.fragment(family.quic(WORLD), (8, 0, 8)),
            "small, but it holds the whole UDP header",
        ),
    ]
}

/// Later fragments follow the verdict of the first.
fn tails(family: Family) -> Vec<Row> {
    let name = |name: &str| family.row_name(name);
    let quic = |cut| family.fragment(family.quic(WORLD), cut);
    let http = |cut| family.fragment(family.segment(WORLD, 80), cut);
    let why = "its first fragment passed";
    let ssh = |cut| family.fragment(family.segment(WORLD, 22), cut);
    vec![
        passes(name("second"), FragmentTail, quic((1, 1480, 2960)), why)
            .after_ingress(quic((1, 0, 1480))),
        passes(name("last"), FragmentTail, quic((1, 2960, 3000)), why)
            .after_ingress(quic((1, 0, 1480)))
            .after_ingress(quic((1, 1480, 2960))),
        passes(
            name("last-before-second"),
            FragmentTail,
            quic((1, 2960, 3000)),
            "behind the first, order does not matter",
        )
        .after_ingress(quic((1, 0, 1480))),
        passes(
            name("repeated"),
            FragmentTail,
            quic((1, 1480, 2960)),
            "the network may double packets",
        )
        .after_ingress(quic((1, 0, 1480)))
        .after_ingress(quic((1, 1480, 2960))),
        passes(name("tail-of-segment"), FragmentTail, http((2, 1480, 2000)), why)
            .after_ingress(http((2, 0, 1480))),
        passes(name("tail-at-offset-2-of-segment"), FragmentTail, http((2, 24, 2000)), why)
            .after_ingress(http((2, 0, 24))),
        passes(
            name("tail-at-offset-1-of-quic"),
            FragmentTail,
            quic((2, 8, 1480)),
            "8 bytes are a whole UDP header",
        )
        .after_ingress(quic((2, 0, 8))),
        passes(
            name("tail-after-20-seconds"),
            FragmentTail,
            quic((1, 1480, 2960)),
            "a datagram may take 30 seconds",
        )
        .after_ingress(quic((1, 0, 1480)))
        .wait(20),
        drops(
            name("tail-after-2-minutes"),
            FragmentUnknown,
            quic((1, 1480, 2960)),
            "the stack has given up, too",
        )
        .after_ingress(quic((1, 0, 1480)))
        .wait(120),
        drops(
            name("tail-alone"),
            FragmentUnknown,
            quic((1, 1480, 2960)),
            "nobody knows what it belongs to",
        ),
        drops(
            name("tail-of-dropped"),
            FragmentUnknown,
            ssh((4, 1480, 2000)),
            "its first fragment was dropped",
        )
        .after_ingress(ssh((4, 0, 1480))),
        drops(
            name("overlap-of-tcp"),
            FragmentOverlap,
            http((2, 8, 1480)),
            "it would overwrite the flags of the header that was judged (RFC 3128)",
        )
        .after_ingress(http((2, 0, 1480))),
        drops(
            name("overlap-of-tcp-alone"),
            FragmentOverlap,
            http((2, 8, 1480)),
            "whatever it belongs to",
        ),
        drops(
            name("second-first-for-ssh"),
            SourceNotAllowed,
            ssh((2, 0, 1480)),
            "every first fragment is judged",
        )
        .after_ingress(http((2, 0, 1480))),
        drops(
            name("tail-behind-second-first-for-ssh"),
            FragmentUnknown,
            http((2, 1480, 2000)),
            "two first fragments disagree: nobody knows which one the stack takes",
        )
        .after_ingress(http((2, 0, 1480)))
        .after_ingress(ssh((2, 0, 1480))),
    ]
}

/// Later fragments that look as if they belonged to a first one.
fn foreign_tails(family: Family) -> Vec<Row> {
    let first = || family.fragment(family.quic(WORLD), (1, 0, 1480));
    let why =
        "reassembly goes by source, destination and identification: this is another datagram's";
    let tail = |from: Host, to: Host, id| {
        family.fragment(family.packet(from, to).udp(51000, 443, 2992), (id, 1480, 2960))
    };
    let row = |name: &str, reason, packet| {
        drops(family.row_name(name), reason, packet, why).after_ingress(first())
    };
    vec![
        row("tail-of-other-identification", FragmentUnknown, tail(WORLD, SERVER, 2)),
        row("tail-of-other-source", FragmentUnknown, tail(REMOTE, SERVER, 1)),
        row("tail-of-other-destination", FragmentUnknown, tail(WORLD, OTHER_REMOTE, 1)),
        row("tail-from-blocked", FragmentUnknown, tail(BLOCKED, SERVER, 1)),
    ]
}

/// First fragments that do not show the whole transport header.
fn short(family: Family) -> Vec<Row> {
    let mut rows = Vec::new();
    for bytes in [8, 16] {
        let packet = family.fragment(family.segment(WORLD, 80), (9, 0, bytes));
        let why = "what the header says would come with a later fragment (RFC 1858, RFC 7112)";
        rows.push(drops(
            family.row_name(&format!("first-tcp-of-{bytes}-bytes")),
            FragmentShort,
            packet,
            why,
        ));
        let tail = family.fragment(family.segment(WORLD, 80), (9, bytes, 2000));
        let reason = if bytes == 8 { FragmentOverlap } else { FragmentUnknown };
        let first = family.fragment(family.segment(WORLD, 80), (9, 0, bytes));
        let name = family.row_name(&format!("tail-of-tcp-of-{bytes}-bytes"));
        rows.push(drops(name, reason, tail, "its first fragment was dropped").after_ingress(first));
    }
    rows
}

/// Replies to the server's own questions come in fragments, too: a long answer of a name server.
fn replies(family: Family) -> Vec<Row> {
    let question = || family.packet(SERVER, REMOTE).udp(40000, 53, 40).sent();
    let answer = |cut| family.fragment(family.packet(REMOTE, SERVER).udp(53, 40000, 3000), cut);
    let why = "a long answer of a name server";
    let long_question =
        family.fragment(family.packet(SERVER, REMOTE).udp(40000, 53, 3000), (11, 0, 1480)).sent();
    vec![
        passes(family.row_name("first-of-reply"), Reply, answer((10, 0, 1480)), why)
            .after_egress(question()),
        passes(family.row_name("tail-of-reply"), FragmentTail, answer((10, 1480, 2960)), why)
            .after_egress(question())
            .after_ingress(answer((10, 0, 1480))),
        passes(
            family.row_name("reply-to-fragmented-question"),
            Reply,
            family.packet(REMOTE, SERVER).udp(53, 40000, 40),
            "the first fragment of the question shows the ports",
        )
        .after_egress(long_question),
        drops(
            family.row_name("first-of-unasked-reply"),
            NoRule,
            answer((10, 0, 1480)),
            "nobody asked",
        ),
    ]
}

fn v4_only() -> Vec<Row> {
    let first = Family::V4.fragment(Family::V4.quic(WORLD), (1, 0, 1480));
    let tail = Family::V4.fragment(Family::V4.quic(WORLD), (1, 1480, 2960));
    let options_in_tail =
        Family::V4.fragment(Family::V4.quic(WORLD), (1, 1480, 2960)).options(&[1; 4]);
    vec![
        drops(
            "v4-fragment-tail-of-other-protocol",
            FragmentUnknown,
            tail.clone().protocol(6),
            "reassembly goes by protocol as well (RFC 791)",
        )
        .after_ingress(first.clone()),
        passes(
            "v4-fragment-tail-with-options",
            FragmentTail,
            options_in_tail,
            "options are copied into each fragment",
        )
        .after_ingress(first.clone()),
        drops(
            "v4-fragment-first-of-gre",
            Protocol,
            Family::V4.packet(WORLD, SERVER).raw(47, &filler(1480)).fragment4(3, true, 0),
            "no rule names this protocol",
        ),
        passes(
            "v4-fragment-tagged-tail",
            FragmentTail,
            tail.tag(super::packet::ether::VLAN, 0),
            "tags change no verdict",
        )
        .after_ingress(first),
    ]
}

fn v6_only() -> Vec<Row> {
    let world = || v6(WORLD.v6, SERVER.v6);
    let quic = |cut| Family::V6.fragment(Family::V6.quic(WORLD), cut);
    let http = |cut| Family::V6.fragment(Family::V6.segment(WORLD, 80), cut);
    let report = |cut| {
        let whole = v6(Ipv6Addr::UNSPECIFIED, ALL_MLD_ROUTERS).hops(1).icmp(
            143,
            0,
            [0, 0, 0, 80],
            &filler(1600),
        );
        Family::V6.fragment(whole, cut)
    };
    let why = "an atomic fragment is a whole datagram (RFC 6946)";
    // Extension headers in the fragmentable part: all of them belong into the first fragment (RFC 7112).
    let behind_options = |bytes: &[u8]| world().fragment6(12, true, 0).raw(60, bytes);
    let mut chain = padding(0);
    chain[0] = 6;
    let with_header =
        [&chain[..], &world().tcp(51000, 80, "A").transport_bytes(), &[0; 4]].concat();
    vec![
        passes("v6-atomic-fragment-http", Rule, world().fragment6(1, false, 0).tcp(51000, 80, "S"), why),
        passes("v6-atomic-fragment-quic", Rule, world().fragment6(1, false, 0).udp(51000, 443, 1200), why),
        drops("v6-atomic-fragment-ssh", SourceNotAllowed, world().fragment6(1, false, 0).tcp(51000, 22, "S"), why),
        drops("v6-atomic-fragment-closed", NoRule, world().fragment6(1, false, 0).tcp(51000, 9100, "S"), why),
        drops(
            "v6-tail-behind-atomic-fragment",
            FragmentUnknown,
            quic((1, 1480, 2960)),
            "an atomic fragment is whole, so it has no tail",
        )
        .after_ingress(world().fragment6(1, false, 0).udp(51000, 443, 1200)),
        passes("v6-fragment-first-behind-options", Rule, behind_options(&with_header), "the whole chain is here"),
        drops(
            "v6-fragment-first-with-options-alone",
            FragmentShort,
            behind_options(&chain),
            "the chain goes on in a later fragment (RFC 7112)",
        ),
        drops(
            "v6-fragment-first-with-half-the-chain",
            FragmentShort,
            behind_options(&with_header[..24]),
            "the TCP header goes on in a later fragment (RFC 7112)",
        ),
        drops(
            "v6-fragment-overlap-under-another-next-header",
            FragmentOverlap,
            http((2, 8, 1480)).protocol(17),
            "only the first fragment's next header counts (RFC 8200, section 4.5), so the tail's own may lie",
        )
        .after_ingress(http((2, 0, 1480))),
        passes(
            "v6-fragment-tail-under-another-next-header",
            FragmentTail,
            quic((1, 1480, 2960)).protocol(60),
            "only the first fragment's next header counts (RFC 8200, section 4.5)",
        )
        .after_ingress(quic((1, 0, 1480))),
        passes(
            "v6-fragment-tail-behind-options",
            FragmentTail,
            world().extension(60, &padding(0)).fragment6(1, false, 185).raw(17, &filler(40)),
            "each fragment repeats the headers in front of the fragment header",
        )
        .after_ingress(world().extension(60, &padding(0)).fragment6(1, true, 0).udp(51000, 443, 1472)),
        passes(
            "v6-fragment-tail-of-report-without-address",
            FragmentTail,
            report((13, 1480, 1608)),
            "a long listener report from :: (RFC 3810); what it asks stands in its first fragment",
        )
        .after_ingress(report((13, 0, 1480))),
        drops(
            "v6-fragment-tail-without-address-alone",
            FragmentUnknown,
            report((13, 1480, 1608)),
            "nobody knows what it belongs to",
        ),
    ]
}
