//! ICMP and ICMPv6 other than errors and neighbour discovery.

use foobar_common::reason::Reason::{
    Blocklist, EchoLimit, EchoRequest, IcmpType, Malformed, Unsolicited,
};

use super::{
    hosts::{BLOCKED, REMOTE, SERVER, WORLD},
    packet::{Packet, filler, v4, v6},
    row::{Row, drops, passes},
};

/// Echo requests that one source may send at once, by default.
const BURST: usize = 200;

pub(super) fn rows() -> Vec<Row> {
    [echo(), limit(), types(), short()].concat()
}

fn ping4() -> Packet {
    v4(WORLD.v4, SERVER.v4).icmp(8, 0, [0x12, 0x34, 0, 1], &filler(56))
}

fn ping6() -> Packet {
    v6(WORLD.v6, SERVER.v6).icmp(128, 0, [0x12, 0x34, 0, 1], &filler(56))
}

fn echo() -> Vec<Row> {
    let why = "an echo request tells whether the server is there";
    let unasked = "nobody asked, so it is no answer";
    vec![
        passes("v4-echo-request", EchoRequest, ping4(), why),
        passes("v6-echo-request", EchoRequest, ping6(), why),
        passes(
            "v4-echo-request-empty",
            EchoRequest,
            v4(WORLD.v4, SERVER.v4).icmp(8, 0, [0; 4], &[]),
            why,
        ),
        passes(
            "v6-echo-request-to-all-nodes",
            EchoRequest,
            {
                v6("fe80::9".parse().expect("an address"), super::hosts::ALL_NODES).icmp(
                    128,
                    0,
                    [0; 4],
                    &[],
                )
            },
            why,
        ),
        passes(
            "v6-echo-request-large",
            EchoRequest,
            v6(WORLD.v6, SERVER.v6).icmp(128, 0, [0; 4], &filler(8000)),
            why,
        ),
        drops(
            "v4-echo-request-blocked",
            Blocklist,
            v4(BLOCKED.v4, SERVER.v4).icmp(8, 0, [0; 4], &[]),
            "blocked is blocked",
        ),
        drops(
            "v6-echo-request-blocked",
            Blocklist,
            v6(BLOCKED.v6, SERVER.v6).icmp(128, 0, [0; 4], &[]),
            "blocked is blocked",
        ),
        drops(
            "v4-echo-reply-unasked",
            Unsolicited,
            v4(WORLD.v4, SERVER.v4).icmp(0, 0, [0, 9, 0, 1], &[]),
            unasked,
        ),
        drops(
            "v6-echo-reply-unasked",
            Unsolicited,
            v6(WORLD.v6, SERVER.v6).icmp(129, 0, [0, 9, 0, 1], &[]),
            unasked,
        ),
    ]
}

fn limit() -> Vec<Row> {
    let after =
        |row: Row, packet: Packet| (0..BURST).fold(row, |row, _| row.after_ingress(packet.clone()));
    let neighbour =
        v6("2001:db8:77::ffff".parse().expect("an address"), SERVER.v6).icmp(128, 0, [0; 4], &[]);
    let other_network =
        v6("2001:db8:77:1::9".parse().expect("an address"), SERVER.v6).icmp(128, 0, [0; 4], &[]);
    let why = "200 at once and 100 a second, for each source";
    vec![
        after(drops("v4-echo-limit", EchoLimit, ping4(), why), ping4()),
        after(drops("v6-echo-limit", EchoLimit, ping6(), why), ping6()),
        after(
            passes(
                "v4-echo-limit-other-source",
                EchoRequest,
                v4(REMOTE.v4, SERVER.v4).icmp(8, 0, [0; 4], &[]),
                "others have their own",
            ),
            ping4(),
        ),
        after(
            drops("v6-echo-limit-same-64", EchoLimit, neighbour, "a /64 is one subscriber"),
            ping6(),
        ),
        after(
            passes("v6-echo-limit-other-64", EchoRequest, other_network, "another subscriber"),
            ping6(),
        ),
        after(
            passes("v4-echo-limit-a-second-later", EchoRequest, ping4(), "the bucket fills again"),
            ping4(),
        )
        .wait(1),
    ]
}

fn types() -> Vec<Row> {
    let mut rows = Vec::new();
    let why = "a host needs none of these; redirects would even bend its routes";
    for kind in [1, 2, 4, 5, 6, 9, 10, 13, 14, 15, 16, 17, 18, 30, 37, 40, 42, 43, 255] {
        let packet = v4(WORLD.v4, SERVER.v4).icmp(kind, 0, [0; 4], &filler(28));
        rows.push(drops(format!("v4-icmp-type-{kind}"), IcmpType, packet, why));
    }
    for kind in
        [0, 5, 100, 101, 127, 137, 138, 139, 140, 141, 144, 148, 151, 153, 155, 160, 200, 255]
    {
        let packet = v6(WORLD.v6, SERVER.v6).hops(255).icmp(kind, 0, [0; 4], &filler(28));
        rows.push(drops(format!("v6-icmp-type-{kind}"), IcmpType, packet, why));
    }
    rows
}

fn short() -> Vec<Row> {
    let mut rows = Vec::new();
    for bytes in [0, 1, 4, 7] {
        let why = "an ICMP message has at least 8 bytes";
        let packet = v4(WORLD.v4, SERVER.v4).raw(1, &[8, 0, 0, 0, 0, 1, 0, 1][..bytes]);
        rows.push(drops(format!("v4-icmp-of-{bytes}-bytes"), Malformed, packet, why));
        let packet = v6(WORLD.v6, SERVER.v6).raw(58, &[128, 0, 0, 0, 0, 1, 0, 1][..bytes]);
        rows.push(drops(format!("v6-icmp-of-{bytes}-bytes"), Malformed, packet, why));
    }
    rows
}
