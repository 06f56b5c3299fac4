//! IPv6: the fixed header, lengths, and addresses that only look like IPv4.

use foobar_common::reason::Reason::{
    Malformed, Martian, NoRule, Rule, SourceNotAllowed, Truncated,
};

use super::{
    hosts::{SERVER, WORLD},
    packet::{Packet, ether, filler, v4, v6},
    row::{Row, drops, passes},
};

pub(super) fn rows() -> Vec<Row> {
    [embedded(), lengths(), cuts(), transports(), sizes()].concat()
}

fn world() -> Packet {
    v6(WORLD.v6, SERVER.v6)
}

/// IPv6 addresses that hold an IPv4 address have none of its rights.
fn embedded() -> Vec<Row> {
    let why = "an IPv6 address that holds an allowed IPv4 address is another address";
    let mut rows = Vec::new();
    for (name, source) in [
        ("6to4", "2002:c633:6414::1"),
        ("nat64", "64:ff9b::c633:6414"),
        ("nat64-local", "64:ff9b:1::c633:6414"),
        ("isatap", "fe80::5efe:c633:6414"),
        ("teredo", "2001:0:c633:6414::39cc:9beb"),
        ("upper-half", "c633:6414::"),
    ] {
        let packet = v6(source.parse().expect("an address"), SERVER.v6).tcp(51000, 22, "S");
        rows.push(drops(format!("v6-{name}-of-admin"), SourceNotAllowed, packet, why));
    }
    for (name, source, port) in [
        ("admin", "::ffff:198.51.100.20", 22),
        ("app", "::ffff:192.0.2.10", 3306),
        ("world", "::ffff:5.6.7.8", 80),
        ("blocked", "::ffff:203.0.113.77", 80),
        ("compatible-admin", "::198.51.100.20", 22),
        ("translated-admin", "::ffff:0:c633:6414", 22),
    ] {
        let packet = v6(source.parse().expect("an address"), SERVER.v6).tcp(51000, port, "S");
        let why = "::/64 holds forms of IPv4 addresses that are never on the wire (RFC 4291, section 2.5)";
        rows.push(drops(format!("v6-mapped-{name}"), Martian, packet, why));
    }
    rows
}

fn lengths() -> Vec<Row> {
    let syn = || world().tcp(51000, 80, "S");
    let mut rows = Vec::new();
    for version in [0, 4, 5, 7] {
        let packet = syn().version(version);
        rows.push(drops(
            format!("v6-version-{version}"),
            Malformed,
            packet,
            "the EtherType says IPv6",
        ));
    }
    for length in [1, 4, 8, 14, 19] {
        let why = "what stands behind the datagram's end is not its TCP header";
        rows.push(drops(
            format!("v6-payload-length-{length}"),
            Malformed,
            syn().length(length),
            why,
        ));
    }
    for length in [21, 60, 1500, 65535] {
        let why = "the datagram claims to be longer than the frame";
        rows.push(drops(
            format!("v6-payload-length-{length}"),
            Malformed,
            syn().length(length),
            why,
        ));
    }
    rows.extend([
        drops("v6-payload-length-0", Malformed, syn().length(0), "there is no room for TCP"),
        drops(
            "v6-jumbogram",
            Malformed,
            world().extension(0, &[0, 0, 194, 4, 0, 1, 0, 0]).tcp(51000, 80, "S").length(0),
            "payload length 0 with a jumbo option (RFC 2675) has no place on Ethernet",
        ),
        drops(
            "v6-under-the-ipv4-ethertype",
            Malformed,
            syn().ether_type(ether::IPV4),
            "the stack would refuse it, too",
        ),
        drops(
            "v4-under-the-ipv6-ethertype",
            Malformed,
            v4(WORLD.v4, SERVER.v4)
                .tcp_with(51000, 80, "S", &[], &filler(40))
                .ether_type(ether::IPV6),
            "the stack would refuse it, too",
        ),
    ]);
    rows
}

fn cuts() -> Vec<Row> {
    let syn = || world().tcp(51000, 80, "S");
    let mut rows = Vec::new();
    for bytes in [14, 15, 34, 53] {
        rows.push(drops(
            format!("v6-cut-at-{bytes}"),
            Truncated,
            syn().cut(bytes),
            "the frame ends inside the IP header",
        ));
    }
    for bytes in [54, 58, 73] {
        let why = "the frame ends before the datagram does";
        rows.push(drops(format!("v6-cut-at-{bytes}"), Malformed, syn().cut(bytes), why));
    }
    rows
}

fn transports() -> Vec<Row> {
    let syn = || world().tcp(51000, 80, "S");
    let mut rows = Vec::new();
    for words in [0, 4, 6, 15] {
        let packet = syn().edit(|bytes| bytes[12] = words << 4);
        let name = format!("v6-tcp-offset-{words}");
        rows.push(drops(
            name,
            Malformed,
            packet,
            "the header is shorter than TCP's, or longer than the datagram",
        ));
    }
    for bytes in [4, 13, 19] {
        let packet = world().raw(6, &syn().transport_bytes()[..bytes]);
        rows.push(drops(
            format!("v6-tcp-of-{bytes}-bytes"),
            Malformed,
            packet,
            "a TCP header has 20 bytes",
        ));
    }
    for length in [0u16, 7, 21] {
        let packet = world()
            .udp(51000, 443, 12)
            .edit(|bytes| bytes[4..6].copy_from_slice(&length.to_be_bytes()));
        rows.push(drops(
            format!("v6-udp-length-{length}"),
            Malformed,
            packet,
            "its length does not fit the datagram",
        ));
    }
    rows
}

fn sizes() -> Vec<Row> {
    let mut rows = Vec::new();
    for bytes in [1440, 8940] {
        let packet = world().tcp_with(51000, 443, "PA", &[], &filler(bytes));
        let name = format!("v6-segment-of-{bytes}-bytes");
        rows.push(passes(
            name,
            Rule,
            packet,
            "full-size and jumbo frames, in one buffer or several",
        ));
    }
    rows.extend([
        passes(
            "v6-with-trailer",
            Rule,
            world().tcp(51000, 80, "A").trailer(&[0xff; 4]),
            "a trailer is ignored",
        ),
        drops(
            "v6-data-looks-like-80",
            SourceNotAllowed,
            world().tcp_with(51000, 22, "S", &[], &world().tcp(51000, 80, "S").transport_bytes()),
            "what follows the header is data",
        ),
        drops(
            "v6-address-looks-like-80",
            NoRule,
            v6("2001:db8:77:0:0:0:c738:50".parse().expect("an address"), SERVER.v6)
                .tcp(51000, 9100, "S"),
            "ports stand behind the whole header",
        ),
        passes("v6-last-hop", Rule, world().hops(1).tcp(51000, 80, "S"), "it has arrived"),
    ]);
    rows
}
