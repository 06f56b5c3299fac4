//! IPv6 extension headers (RFC 8200, RFC 4302) and the IPv4 authentication header: the ports stand behind all of them.

use foobar_common::reason::Reason::{
    Blocklist, ExtensionHeader, Malformed, NoRule, Protocol, Rule, SourceNotAllowed, SourceRoute,
};

use super::{
    hosts::{ADMIN, BLOCKED, SERVER, WORLD},
    packet::{Packet, filler, v4, v6},
    row::{Row, drops, passes},
};

const HOP_BY_HOP: u8 = 0;
const ROUTING: u8 = 43;
const AUTHENTICATION: u8 = 51;
const DESTINATION_OPTIONS: u8 = 60;

pub(super) fn rows() -> Vec<Row> {
    [options(), routing(), authentication(), depth(), order(), lies()].concat()
}

fn world() -> Packet {
    v6(WORLD.v6, SERVER.v6)
}

/// Hop-by-hop or destination options: `units` of 8 bytes behind the first 8, filled with one PadN option.
pub(super) fn padding(units: u8) -> Vec<u8> {
    let bytes = usize::from(units) * 8 + 8;
    let mut header = vec![0, units];
    let mut left = bytes - 2;
    while left > 0 {
        // A PadN option has at most 255 bytes of data.
        let data = (left - 2).min(248);
        header.extend([1, data as u8]);
        header.extend(vec![0; data]);
        left -= data + 2;
    }
    header
}

/// The same, but its bytes look like a TCP SYN from port 51000 to this port wherever a parser may look for one.
fn decoy(units: u8, port: u16) -> Vec<u8> {
    let mut header = padding(units);
    let fake = world().tcp(51000, port, "S").transport_bytes();
    let data = usize::from(units) * 8 + 8 - 4;
    // Inside one unknown option that the receiver skips (RFC 8200, section 4.2: highest bits 00).
    header[2] = 0x1e;
    header[3] = data as u8;
    for (place, byte) in header[4..].iter_mut().zip(fake.iter().cycle()) {
        *place = *byte;
    }
    header
}

fn authentication_header(payload_length: u8) -> Vec<u8> {
    let mut header = vec![0, payload_length, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1];
    header.resize((usize::from(payload_length) + 2) * 4, 0xaa);
    header
}

fn options() -> Vec<Row> {
    let mut rows = Vec::new();
    for units in [0, 1, 2, 7, 30, 255] {
        for (kind, number) in [("hop-by-hop", HOP_BY_HOP), ("destination", DESTINATION_OPTIONS)] {
            let why = "options of any length are walked over";
            let packet = world().extension(number, &padding(units));
            let name = format!("v6-{kind}-options-{units}");
            rows.push(passes(name.clone(), Rule, packet.clone().tcp(51000, 80, "S"), why));
            rows.push(drops(
                format!("{name}-forbidden"),
                SourceNotAllowed,
                packet.tcp(51000, 22, "S"),
                why,
            ));
        }
    }
    for units in [2, 3, 10] {
        let why = "what looks like ports inside an extension header is none";
        let packet = world().extension(DESTINATION_OPTIONS, &decoy(units, 80));
        rows.push(drops(
            format!("v6-decoy-80-in-options-{units}"),
            NoRule,
            packet.tcp(51000, 9100, "S"),
            why,
        ));
        let packet = world().extension(DESTINATION_OPTIONS, &decoy(units, 22));
        rows.push(passes(
            format!("v6-decoy-22-in-options-{units}"),
            Rule,
            packet.tcp(51000, 80, "S"),
            why,
        ));
    }
    rows.extend([
        passes(
            "v6-options-then-quic",
            Rule,
            world().extension(DESTINATION_OPTIONS, &padding(0)).udp(51000, 443, 1200),
            "UDP as well as TCP",
        ),
        passes(
            "v6-options-ssh-from-admin",
            Rule,
            v6(ADMIN.v6, SERVER.v6).extension(DESTINATION_OPTIONS, &padding(3)).tcp(51000, 22, "S"),
            "options change no right",
        ),
        drops(
            "v6-options-blocked",
            Blocklist,
            v6(BLOCKED.v6, SERVER.v6).extension(HOP_BY_HOP, &padding(0)).tcp(51000, 80, "S"),
            "the blocklist comes before everything",
        ),
    ]);
    rows
}

fn routing() -> Vec<Row> {
    let header = |kind: u8, left: u8, units: u8| {
        let mut bytes = vec![0, units, kind, left, 0, 0, 0, 0];
        bytes.resize(usize::from(units) * 8 + 8, 0x20);
        bytes
    };
    let with = |kind, left, units| {
        world().extension(ROUTING, &header(kind, left, units)).tcp(51000, 80, "S")
    };
    let why = "a routing header with segments left makes this host a router, type 0 is forbidden (RFC 5095)";
    let end = "at its last segment a routing header is only passed over";
    vec![
        drops("v6-routing-type-0", SourceRoute, with(0, 1, 2), why),
        drops("v6-routing-type-0-at-its-end", SourceRoute, with(0, 0, 2), why),
        drops("v6-routing-type-0-empty", SourceRoute, with(0, 0, 0), why),
        drops("v6-routing-type-2-segments-left", SourceRoute, with(2, 1, 2), why),
        drops("v6-routing-type-3-segments-left", SourceRoute, with(3, 2, 2), why),
        drops("v6-routing-type-4-segments-left", SourceRoute, with(4, 1, 2), why),
        drops("v6-routing-type-253-segments-left", SourceRoute, with(253, 255, 0), why),
        passes("v6-routing-type-2-at-its-end", Rule, with(2, 0, 2), end),
        passes("v6-routing-type-4-at-its-end", Rule, with(4, 0, 4), end),
        drops(
            "v6-routing-at-its-end-forbidden",
            SourceNotAllowed,
            world().extension(ROUTING, &header(4, 0, 2)).tcp(51000, 22, "S"),
            end,
        ),
        drops(
            "v6-routing-behind-options",
            SourceRoute,
            world()
                .extension(DESTINATION_OPTIONS, &padding(0))
                .extension(ROUTING, &header(0, 1, 2))
                .tcp(51000, 80, "S"),
            "found wherever it stands",
        ),
    ]
}

fn authentication() -> Vec<Row> {
    let mut rows = Vec::new();
    let why =
        "the length of an authentication header counts in units of 4 bytes, less 2 (RFC 4302)";
    for length in [1, 2, 4, 5, 6, 10, 16] {
        let packet6 = world().extension(AUTHENTICATION, &authentication_header(length));
        rows.push(passes(
            format!("v6-ah-{length}"),
            Rule,
            packet6.clone().tcp(51000, 80, "S"),
            why,
        ));
        rows.push(drops(
            format!("v6-ah-{length}-forbidden"),
            SourceNotAllowed,
            packet6.tcp(51000, 22, "S"),
            why,
        ));
        let inside = |port| {
            let mut bytes = authentication_header(length);
            bytes[0] = 6;
            bytes.extend(v4(WORLD.v4, SERVER.v4).tcp(51000, port, "S").transport_bytes());
            v4(WORLD.v4, SERVER.v4).raw(AUTHENTICATION, &bytes)
        };
        rows.push(passes(format!("v4-ah-{length}"), Rule, inside(80), why));
        rows.push(drops(format!("v4-ah-{length}-forbidden"), SourceNotAllowed, inside(22), why));
    }
    // Read in units of 8 bytes, this header of 24 bytes would be 40 long, and the ports would stand 16 bytes into the segment:
    // where the real header has its checksum and its urgent pointer.
    let mut false_ports = world().tcp(51000, 80, "S").transport_bytes();
    false_ports.drain(..4);
    let packet = world().extension(AUTHENTICATION, &authentication_header(4)).tcp_with(
        51000,
        22,
        "S",
        &[],
        &false_ports,
    );
    let packet = packet.edit(|bytes| bytes[16..20].copy_from_slice(&[0xc7, 0x38, 0, 80]));
    rows.push(drops("v6-ah-decoy-for-units-of-8", SourceNotAllowed, packet, why));
    rows
}

fn depth() -> Vec<Row> {
    let chain = |headers: usize| {
        (0..headers).fold(world(), |packet, _| packet.extension(DESTINATION_OPTIONS, &padding(0)))
    };
    let why = "up to eight extension headers are walked";
    let mut rows = Vec::new();
    for headers in [2, 4, 7, 8] {
        let packet = chain(headers).tcp(51000, 80, "S");
        rows.push(passes(format!("v6-chain-of-{headers}"), Rule, packet, why));
        let packet = chain(headers).tcp(51000, 22, "S");
        rows.push(drops(format!("v6-chain-of-{headers}-forbidden"), SourceNotAllowed, packet, why));
    }
    for headers in [9, 10, 30] {
        let packet = chain(headers).tcp(51000, 80, "S");
        let why = "a deeper chain than the parser walks must not pass unread";
        rows.push(drops(format!("v6-chain-of-{headers}"), ExtensionHeader, packet, why));
    }
    rows.push(passes(
        "v6-chain-in-the-order-of-rfc-8200",
        Rule,
        world()
            .extension(HOP_BY_HOP, &padding(0))
            .extension(DESTINATION_OPTIONS, &padding(1))
            .extension(ROUTING, &[0, 0, 4, 0, 0, 0, 0, 0])
            .fragment6(9, false, 0)
            .extension(AUTHENTICATION, &authentication_header(4))
            .extension(DESTINATION_OPTIONS, &padding(0))
            .tcp(51000, 443, "S"),
        "RFC 8200, section 4.1",
    ));
    rows
}

fn order() -> Vec<Row> {
    let options = padding(0);
    let why = "hop-by-hop options stand first or not at all (RFC 8200, section 4.1)";
    vec![
        drops(
            "v6-hop-by-hop-second",
            ExtensionHeader,
            world()
                .extension(DESTINATION_OPTIONS, &options)
                .extension(HOP_BY_HOP, &options)
                .tcp(51000, 80, "S"),
            why,
        ),
        drops(
            "v6-hop-by-hop-twice",
            ExtensionHeader,
            world()
                .extension(HOP_BY_HOP, &options)
                .extension(HOP_BY_HOP, &options)
                .tcp(51000, 80, "S"),
            why,
        ),
        drops(
            "v6-hop-by-hop-behind-fragment",
            ExtensionHeader,
            world().fragment6(9, false, 0).extension(HOP_BY_HOP, &options).tcp(51000, 80, "S"),
            why,
        ),
        drops(
            "v6-fragment-in-fragment",
            ExtensionHeader,
            world().fragment6(9, true, 0).fragment6(10, false, 0).tcp_with(
                51000,
                80,
                "A",
                &[],
                &filler(12),
            ),
            "a datagram is fragmented once: what the inner header says of the whole is a lie",
        ),
        drops(
            "v6-no-next-header",
            Protocol,
            world().raw(59, &world().tcp(51000, 80, "S").transport_bytes()),
            "nothing follows (RFC 8200, section 4.7), whatever the bytes look like",
        ),
        drops(
            "v6-options-then-no-next-header",
            Protocol,
            world().extension(DESTINATION_OPTIONS, &options).raw(59, &filler(20)),
            "nothing follows",
        ),
    ]
}

fn lies() -> Vec<Row> {
    let mut rows = Vec::new();
    for (kind, number) in
        [("hop-by-hop", HOP_BY_HOP), ("destination", DESTINATION_OPTIONS), ("ah", AUTHENTICATION)]
    {
        let mut header = padding(0);
        header[1] = 200;
        let packet = world().extension(number, &header).tcp(51000, 80, "S");
        let why = "it claims to be longer than the datagram";
        rows.push(drops(format!("v6-{kind}-too-long"), Malformed, packet, why));
    }
    for bytes in [0, 1, 7] {
        let packet = world().raw(DESTINATION_OPTIONS, &[6, 0, 1, 4, 0, 0, 0, 0][..bytes]);
        let name = format!("v6-options-of-{bytes}-bytes");
        rows.push(drops(name, Malformed, packet, "an extension header has at least 8 bytes"));
    }
    rows.extend([
        drops(
            "v6-options-behind-the-datagram",
            Malformed,
            world().extension(DESTINATION_OPTIONS, &padding(0)).tcp(51000, 80, "S").length(4),
            "bytes behind the datagram are no header",
        ),
        drops(
            "v6-ports-behind-the-options",
            Malformed,
            world().extension(DESTINATION_OPTIONS, &padding(0)).tcp(51000, 80, "S").length(12),
            "the datagram ends inside the TCP header",
        ),
        drops(
            "v6-ah-shorter-than-its-fixed-part",
            Malformed,
            world().extension(AUTHENTICATION, &[0, 0, 0, 0, 0, 0, 0, 1]).tcp(51000, 80, "S"),
            "an authentication header has at least 12 bytes (RFC 4302)",
        ),
    ]);
    for number in [135, 139, 140, 253, 254] {
        let packet = world().extension(number, &padding(0)).tcp(51000, 80, "S");
        let why = "an extension header that is not walked counts as an unknown protocol";
        rows.push(drops(format!("v6-extension-{number}"), Protocol, packet, why));
    }
    rows
}
