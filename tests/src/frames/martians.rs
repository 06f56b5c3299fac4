//! Sources that cannot exist on the wire.

use std::net::{Ipv4Addr, Ipv6Addr};

use foobar_common::reason::Reason::{Martian, Rule};

use super::{
    hosts::SERVER,
    packet::{v4, v6},
    row::{Row, drops, passes},
};

pub(super) fn rows() -> Vec<Row> {
    [v4_rows(), v6_rows(), unusual()].concat()
}

fn v4_rows() -> Vec<Row> {
    let mut rows = Vec::new();
    let why = "nobody can have this address on the wire, so it is forged";
    for (name, source) in [
        ("this-network", [0, 1, 2, 3]),
        ("unspecified", [0, 0, 0, 0]),
        ("loopback", [127, 0, 0, 1]),
        ("loopback-last", [127, 255, 255, 255]),
        ("multicast", [224, 0, 0, 1]),
        ("multicast-last", [239, 255, 255, 255]),
        ("reserved", [240, 0, 0, 1]),
        ("broadcast", [255, 255, 255, 255]),
        ("own-address", [192, 0, 2, 1]),
    ] {
        let packet = || v4(Ipv4Addr::from(source), SERVER.v4);
        rows.extend([
            drops(format!("v4-from-{name}-http"), Martian, packet().tcp(51000, 80, "S"), why),
            drops(format!("v4-from-{name}-ssh"), Martian, packet().tcp(51000, 22, "S"), why),
            drops(format!("v4-from-{name}-quic"), Martian, packet().udp(51000, 443, 1200), why),
            drops(
                format!("v4-from-{name}-echo"),
                Martian,
                packet().icmp(8, 0, [0, 1, 0, 1], &[]),
                why,
            ),
        ]);
    }
    let land = v4(SERVER.v4, SERVER.v4).tcp(80, 80, "S");
    rows.push(drops("v4-land", Martian, land, "the server does not talk to itself over the wire"));
    rows
}

fn v6_rows() -> Vec<Row> {
    let mut rows = Vec::new();
    let why = "nobody can have this address on the wire, so it is forged";
    for (name, source) in [
        ("unspecified", "::"),
        ("loopback", "::1"),
        ("multicast-link", "ff02::1"),
        ("multicast-global", "ff0e::1234"),
        ("multicast-last", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
        ("mapped", "::ffff:10.0.0.1"),
        ("own-address", "2001:db8::1"),
    ] {
        let source: Ipv6Addr = source.parse().expect("an address");
        let packet = || v6(source, SERVER.v6);
        rows.extend([
            drops(format!("v6-from-{name}-http"), Martian, packet().tcp(51000, 80, "S"), why),
            drops(format!("v6-from-{name}-ssh"), Martian, packet().tcp(51000, 22, "S"), why),
            drops(format!("v6-from-{name}-quic"), Martian, packet().udp(51000, 443, 1200), why),
            drops(
                format!("v6-from-{name}-echo"),
                Martian,
                packet().icmp(128, 0, [0, 1, 0, 1], &[]),
                why,
            ),
        ]);
    }
    let land = v6(SERVER.v6, SERVER.v6).tcp(80, 80, "S");
    rows.push(drops("v6-land", Martian, land, "the server does not talk to itself over the wire"));
    rows
}

fn unusual() -> Vec<Row> {
    let why = "unusual on the Internet, but a neighbour or a private network may have it";
    let mut rows = Vec::new();
    for (name, source) in [
        ("private-10", [10, 0, 0, 1]),
        ("private-172", [172, 16, 0, 1]),
        ("private-192", [192, 168, 0, 1]),
        ("link-local", [169, 254, 1, 1]),
        ("shared", [100, 64, 0, 1]),
        ("benchmark", [198, 18, 0, 1]),
        ("before-loopback", [126, 255, 255, 255]),
        ("behind-loopback", [128, 0, 0, 0]),
        ("before-multicast", [223, 255, 255, 254]),
    ] {
        let packet = v4(Ipv4Addr::from(source), SERVER.v4).tcp(51000, 80, "S");
        rows.push(passes(format!("v4-from-{name}"), Rule, packet, why));
    }
    for (name, source) in [
        ("link-local", "fe80::1"),
        ("unique-local", "fd00::1"),
        ("6to4", "2002:506:708::1"),
        ("nat64", "64:ff9b::506:708"),
        ("behind-the-reserved-64", "0:0:0:1::1"),
        ("discard", "100::1"),
    ] {
        let source: Ipv6Addr = source.parse().expect("an address");
        rows.push(passes(
            format!("v6-from-{name}"),
            Rule,
            v6(source, SERVER.v6).tcp(51000, 80, "S"),
            why,
        ));
    }
    rows
}
