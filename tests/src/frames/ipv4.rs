//! IPv4: options, lengths, and where the ports really are.

use foobar_common::reason::Reason::{
    Malformed, NoRule, Rule, SourceNotAllowed, SourceRoute, Truncated,
};

use super::{
    hosts::{ADMIN, SERVER, WORLD},
    packet::{Packet, filler, v4},
    row::{Row, drops, passes},
};

/// An option that nobody knows, whose bytes look like the ports 34824 and 80 at the place where the ports are without options.
const DECOY_80: [u8; 8] = [136, 8, 0, 80, 0, 0, 0, 0];
/// The same for port 22.
const DECOY_22: [u8; 8] = [136, 8, 0, 22, 0, 0, 0, 0];

pub(super) fn rows() -> Vec<Row> {
    [options(), bad_options(), decoys(), lengths(), cuts(), transports(), sizes()].concat()
}

fn world() -> Packet {
    v4(WORLD.v4, SERVER.v4)
}

fn options() -> Vec<Row> {
    let why = "options are allowed by default, except source routes";
    let record_route = [7, 7, 4, 0, 0, 0, 0, 0];
    let timestamp = [68, 8, 5, 0, 0, 0, 0, 0];
    let security = [130, 11, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let pass = |name: &str, options: &[u8]| {
        passes(
            format!("v4-options-{name}"),
            Rule,
            world().options(options).tcp(51000, 80, "S"),
            why,
        )
    };
    vec![
        pass("no-operation", &[1, 1, 1, 1]),
        pass("end-of-list", &[0, 0, 0, 0]),
        pass("router-alert", &[148, 4, 0, 0]),
        pass("record-route", &record_route),
        pass("timestamp", &timestamp),
        pass("security", &security),
        pass("40-bytes", &[1; 40]),
        pass("source-route-behind-the-end", &[0, 131, 3, 4]),
    ]
}

fn bad_options() -> Vec<Row> {
    let mut rows = Vec::new();
    for (name, options) in [
        ("loose", &[131, 7, 4, 10, 0, 0, 1, 0][..]),
        ("strict", &[137, 7, 4, 10, 0, 0, 1, 0][..]),
        ("loose-behind-padding", &[1, 1, 1, 131, 7, 4, 10, 0, 0, 1, 0, 0][..]),
        ("strict-behind-record-route", &[7, 7, 4, 0, 0, 0, 0, 137, 7, 4, 10, 0, 0, 1, 0, 0][..]),
        ("loose-at-the-very-end", &[1, 1, 1, 1, 1, 131, 3, 4][..]),
    ] {
        let why = "a source route leads the answer past the filter that judged the question";
        let packet = world().options(options).tcp(51000, 80, "S");
        rows.push(drops(format!("v4-source-route-{name}"), SourceRoute, packet, why));
    }
    for (name, options) in [
        ("length-0", &[7, 0, 4, 0][..]),
        ("length-1", &[7, 1, 4, 0][..]),
        ("longer-than-the-header", &[7, 9, 4, 0, 0, 0, 0, 0][..]),
        ("no-room-for-its-length", &[1, 1, 1, 7][..]),
        ("hides-a-source-route", &[7, 0, 131, 3][..]),
    ] {
        let why = "an option that lies about its length hides what follows it";
        let packet = world().options(options).tcp(51000, 80, "S");
        rows.push(drops(format!("v4-option-{name}"), Malformed, packet, why));
    }
    rows
}

fn decoys() -> Vec<Row> {
    let why = "the ports stand where the header length says, not at a fixed place";
    vec![
        drops(
            "v4-options-look-like-80",
            SourceNotAllowed,
            world().options(&DECOY_80).tcp(51000, 22, "S"),
            why,
        ),
        drops(
            "v4-options-look-like-80-closed",
            NoRule,
            world().options(&DECOY_80).tcp(51000, 9100, "S"),
            why,
        ),
        drops(
            "v4-options-look-like-80-udp",
            NoRule,
            world().options(&DECOY_80).udp(51000, 53, 8),
            why,
        ),
        passes(
            "v4-options-look-like-22",
            Rule,
            world().options(&DECOY_22).tcp(51000, 80, "S"),
            why,
        ),
        passes(
            "v4-options-look-like-80-admin",
            Rule,
            v4(ADMIN.v4, SERVER.v4).options(&DECOY_80).tcp(51000, 22, "S"),
            why,
        ),
        drops(
            "v4-data-looks-like-80",
            SourceNotAllowed,
            world().tcp_with(51000, 22, "S", &[], &world().tcp(51000, 80, "S").transport_bytes()),
            "what follows the header is data",
        ),
    ]
}

fn lengths() -> Vec<Row> {
    let syn = || world().tcp(51000, 80, "S");
    let why = "a header that lies about its length";
    let mut rows = Vec::new();
    for words in 0..5 {
        let name = format!("v4-header-length-{words}");
        rows.push(drops(
            name,
            Malformed,
            syn().header_words(words),
            "a header has at least five words",
        ));
    }
    for version in [0, 5, 6, 15] {
        let name = format!("v4-version-{version}");
        rows.push(drops(name, Malformed, syn().version(version), "the EtherType says IPv4"));
    }
    for total in [0, 1, 19, 20, 21, 28, 39] {
        let name = format!("v4-total-length-{total}");
        rows.push(drops(
            name,
            Malformed,
            syn().length(total),
            "what stands behind the datagram's end is not its TCP header",
        ));
    }
    for total in [41, 60, 1500, 65535] {
        rows.push(drops(format!("v4-total-length-{total}"), Malformed, syn().length(total), why));
    }
    rows.extend([
        drops("v4-header-longer-than-datagram", Malformed, syn().header_words(11), why),
        drops(
            "v4-header-eats-the-tcp-header",
            Malformed,
            syn().header_words(6),
            "four bytes of TCP are read as options",
        ),
    ]);
    rows
}

fn cuts() -> Vec<Row> {
    let mut rows = Vec::new();
    let syn = || world().tcp(51000, 80, "S");
    for bytes in [14, 15, 20, 33] {
        rows.push(drops(
            format!("v4-cut-at-{bytes}"),
            Truncated,
            syn().cut(bytes),
            "the frame ends inside the IP header",
        ));
    }
    for bytes in [34, 36, 38, 50, 53] {
        let why = "the frame ends before the datagram does";
        rows.push(drops(format!("v4-cut-at-{bytes}"), Malformed, syn().cut(bytes), why));
    }
    rows
}

fn transports() -> Vec<Row> {
    let syn = || world().tcp(51000, 80, "S");
    let mut rows = Vec::new();
    for words in [0, 1, 4] {
        let packet = syn().edit(|bytes| bytes[12] = words << 4);
        rows.push(drops(
            format!("v4-tcp-offset-{words}"),
            Malformed,
            packet,
            "a TCP header has at least five words",
        ));
    }
    for words in [6, 15] {
        let packet = syn().edit(|bytes| bytes[12] = words << 4);
        rows.push(drops(
            format!("v4-tcp-offset-{words}"),
            Malformed,
            packet,
            "its options do not fit the datagram",
        ));
    }
    for bytes in [0, 1, 4, 8, 13, 14, 19] {
        let packet = world().raw(6, &syn().transport_bytes()[..bytes]);
        let name = format!("v4-tcp-of-{bytes}-bytes");
        rows.push(drops(name, Malformed, packet, "a TCP header has 20 bytes"));
    }
    for bytes in [0, 4, 7] {
        let packet = world().raw(17, &world().udp(51000, 443, 0).transport_bytes()[..bytes]);
        rows.push(drops(
            format!("v4-udp-of-{bytes}-bytes"),
            Malformed,
            packet,
            "a UDP header has 8 bytes",
        ));
    }
    for length in [0u16, 7, 21, 65535] {
        let packet = world()
            .udp(51000, 443, 12)
            .edit(|bytes| bytes[4..6].copy_from_slice(&length.to_be_bytes()));
        rows.push(drops(
            format!("v4-udp-length-{length}"),
            Malformed,
            packet,
            "its length does not fit the datagram",
        ));
    }
    rows.extend([
        passes(
            "v4-udp-shorter-than-datagram",
            Rule,
            world().udp(51000, 443, 12).edit(|bytes| bytes[5] = 12),
            "the rest is ignored by the stack, too (RFC 768, RFC 9868)",
        ),
        passes(
            "v4-udp-without-checksum",
            Rule,
            world().raw(17, &[0xc7, 0x38, 1, 0xbb, 0, 8, 0, 0]),
            "IPv4 allows UDP without checksum (RFC 768)",
        ),
    ]);
    rows
}

fn sizes() -> Vec<Row> {
    let mut rows = Vec::new();
    for bytes in [1460, 3000, 8960] {
        let packet = world().tcp_with(51000, 443, "PA", &[], &filler(bytes));
        let name = format!("v4-segment-of-{bytes}-bytes");
        rows.push(passes(
            name,
            Rule,
            packet,
            "full-size and jumbo frames, in one buffer or several",
        ));
    }
    let large = world().tcp_with(51000, 22, "PA", &[], &filler(8960));
    rows.extend([
        drops("v4-jumbo-to-forbidden-port", SourceNotAllowed, large, "size changes no verdict"),
        passes(
            "v4-padded",
            Rule,
            world().tcp(51000, 80, "S").padded(),
            "short frames are padded to 60 bytes",
        ),
        passes(
            "v4-padded-with-noise",
            Rule,
            world().tcp(51000, 80, "A").trailer(&[0xff; 6]),
            "padding need not be zero",
        ),
        drops(
            "v4-padded-forbidden",
            SourceNotAllowed,
            world().tcp(51000, 22, "S").padded(),
            "padding changes no verdict",
        ),
        passes("v4-last-hop", Rule, world().hops(1).tcp(51000, 80, "S"), "it has arrived"),
        passes(
            "v4-from-next-door",
            Rule,
            world().hops(255).tcp(51000, 80, "S"),
            "it came without a router",
        ),
        passes(
            "v4-may-be-fragmented",
            Rule,
            world().flags_and_offset(0).tcp(51000, 80, "S"),
            "whole, although fragments were allowed",
        ),
        passes(
            "v4-reserved-flag",
            Rule,
            world().flags_and_offset(0x8000).tcp(51000, 80, "S"),
            "RFC 791 reserves the bit, the stack ignores it, and it hides nothing",
        ),
    ]);
    rows
}
