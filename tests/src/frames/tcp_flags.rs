//! Combinations of TCP flags, to a port that the sender may reach and to ports that it may not.

use foobar_common::reason::Reason::{
    self, Blocklist, InvalidFlags, NoRule, Rule, SourceNotAllowed, Unsolicited,
};

use super::{
    hosts::{BLOCKED, Host, WORLD},
    packet::filler,
    row::{Row, drops, passes},
    rules::to_server,
};

/// What stacks send (RFC 9293; RFC 3168 and RFC 9768 for E and C).
const SENT_BY_STACKS: [&str; 14] =
    ["S", "SEC", "SP", "SU", "R", "RA", "FA", "FPA", "FPUA", "A", "PA", "UA", "AE", "AC"];
/// What no stack sends.
const SENT_BY_NONE: [&str; 14] =
    ["", "F", "P", "U", "FU", "PU", "FPU", "SF", "SR", "SFR", "SFPU", "FR", "FRA", "SRPU"];

pub(super) fn rows() -> Vec<Row> {
    let mut rows = Vec::new();
    for flags in SENT_BY_STACKS {
        let why = "a running session must not be cut off, whichever packet of it comes first";
        rows.extend(both("open", WORLD, 80, flags, Rule, why));
    }
    for flags in SENT_BY_NONE {
        let why =
            "no stack sends this; scanners do, to learn of the host what a SYN would not tell";
        rows.extend(both("open", WORLD, 80, flags, InvalidFlags, why));
    }
    for (place, from, port, reason) in [
        ("forbidden", WORLD, 22, SourceNotAllowed),
        ("closed", WORLD, 9100, NoRule),
        ("blocked", BLOCKED, 80, Blocklist),
    ] {
        for flags in ["A", "PA", "FA", "R", "RA", "", "F", "FPU", "SF", "SEC"] {
            let why = "no combination of flags gets past the policy";
            rows.extend(both(place, from, port, flags, reason, why));
        }
    }
    for (place, port, reason) in [
        ("open", 80, Unsolicited),
        ("forbidden", 22, SourceNotAllowed),
        ("closed", 9100, NoRule),
        ("ephemeral", 45000, NoRule),
    ] {
        for flags in ["SA", "SAP", "SAEC"] {
            let why =
                "it claims to answer a SYN that this server never sent, and no rule may let it";
            rows.extend(both(place, WORLD, port, flags, reason, why));
        }
    }
    let why = "the blocklist comes before everything";
    rows.extend(both("blocked", BLOCKED, 80, "SA", Blocklist, why));
    rows.extend(options());
    rows
}

fn both(
    place: &str,
    from: Host,
    port: u16,
    flags: &str,
    reason: Reason,
    why: &'static str,
) -> Vec<Row> {
    let letters = if flags.is_empty() { "none" } else { flags };
    let each = |(family, packet): (&str, super::packet::Packet)| {
        let name = format!("{family}-flags-{letters}-to-{place}-port-{port}");
        let packet = packet.tcp(52000, port, flags);
        match reason {
            Rule => passes(name, reason, packet, why),
            _ => drops(name, reason, packet, why),
        }
    };
    to_server(from).into_iter().map(each).collect()
}

fn options() -> Vec<Row> {
    let mut rows = Vec::new();
    // Maximum segment size, SACK permitted, timestamps, no operation, window scale, Fast Open cookie (RFC 7413): 40 bytes.
    let mut full = vec![2, 4, 5, 180, 4, 2, 8, 10, 0, 0, 0, 1, 0, 0, 0, 0, 1, 3, 3, 7, 34, 18];
    full.extend(filler(16));
    full.extend([1, 1]);
    let fast_open = [34, 10, 1, 2, 3, 4, 5, 6, 7, 8, 1, 1];
    for (family, packet) in to_server(WORLD) {
        let cookie = packet.clone().tcp_with(52000, 443, "S", &fast_open, &filler(500));
        rows.extend([
            passes(
                format!("{family}-tcp-40-bytes-of-options"),
                Rule,
                packet.clone().tcp_with(52000, 443, "S", &full, &[]),
                "the header may be 60 bytes long",
            ),
            passes(
                format!("{family}-tcp-fast-open"),
                Rule,
                cookie,
                "a SYN may carry data (RFC 7413)",
            ),
            passes(
                format!("{family}-tcp-syn-with-data"),
                Rule,
                packet.tcp_with(52000, 443, "S", &[], &filler(10)),
                "a SYN may carry data (RFC 9293)",
            ),
        ]);
    }
    rows
}
