//! What rules and lists say of well-formed packets.

use std::net::{Ipv4Addr, Ipv6Addr};

use foobar_common::reason::Reason::{Blocklist, NoRule, Rule, SourceNotAllowed};

use super::{
    hosts::{ADMIN, APP, BLOCKED, Host, SERVER, WORLD},
    packet::{Packet, v4, v6},
    row::{Row, drops, passes},
};

pub(super) fn rows() -> Vec<Row> {
    [open_ports(), lists(), prefix_edges(), closed_ports(), blocked(), sessions()].concat()
}

/// Somebody's packets to the server, without transport yet: over IPv4 and over IPv6.
pub(super) fn to_server(from: Host) -> [(&'static str, Packet); 2] {
    [("v4", v4(from.v4, SERVER.v4)), ("v6", v6(from.v6, SERVER.v6))]
}

fn open_ports() -> Vec<Row> {
    let each = |(family, packet): (&str, Packet)| {
        [
            passes(
                format!("{family}-http-syn"),
                Rule,
                packet.clone().tcp(51000, 80, "S"),
                "tcp/80 is open to all",
            ),
            passes(
                format!("{family}-https-syn"),
                Rule,
                packet.clone().tcp(51000, 443, "S"),
                "tcp/443 is open to all",
            ),
            passes(
                format!("{family}-quic-initial"),
                Rule,
                packet.clone().udp(51000, 443, 1200),
                "udp/443 is open to all",
            ),
            passes(
                format!("{family}-quic-short"),
                Rule,
                packet.clone().udp(51000, 443, 30),
                "udp/443 is open to all",
            ),
            passes(
                format!("{family}-quic-empty"),
                Rule,
                packet.clone().udp(51000, 443, 0),
                "a datagram may be empty",
            ),
            passes(
                format!("{family}-http-from-low-port"),
                Rule,
                packet.clone().tcp(22, 80, "S"),
                "the source port says nothing about the sender",
            ),
            passes(
                format!("{family}-http-from-served-port"),
                Rule,
                packet.tcp(80, 80, "S"),
                "the source port says nothing about the sender",
            ),
        ]
    };
    to_server(WORLD).into_iter().flat_map(each).collect()
}

fn lists() -> Vec<Row> {
    let mut rows = Vec::new();
    for (family, packet) in to_server(ADMIN) {
        let ssh = packet.clone().tcp(51000, 22, "S");
        let database = packet.clone().tcp(51000, 3306, "S");
        rows.extend([
            passes(
                format!("{family}-ssh-from-admin"),
                Rule,
                ssh,
                "the list `admins` holds this source",
            ),
            passes(
                format!("{family}-http-from-admin"),
                Rule,
                packet.tcp(51000, 80, "S"),
                "open to all, so to admins as well",
            ),
            drops(
                format!("{family}-database-from-admin"),
                SourceNotAllowed,
                database,
                "a list gives the right to the ports of its rule, not to others",
            ),
        ]);
    }
    for (family, packet) in to_server(WORLD) {
        let why = "this source is on no list";
        rows.push(drops(
            format!("{family}-ssh-from-world"),
            SourceNotAllowed,
            packet.clone().tcp(51000, 22, "S"),
            why,
        ));
        rows.push(drops(
            format!("{family}-database-from-world"),
            SourceNotAllowed,
            packet.tcp(51000, 3306, "S"),
            why,
        ));
    }
    let [(_, app4), (_, app6)] = to_server(APP);
    rows.extend([
        passes(
            "v4-database-from-app",
            Rule,
            app4.clone().tcp(51000, 3306, "S"),
            "192.0.2.10 is the one entry of `app`",
        ),
        drops(
            "v4-ssh-from-app",
            SourceNotAllowed,
            app4.tcp(51000, 22, "S"),
            "`app` has no right to tcp/22",
        ),
        drops(
            "v6-database-from-app",
            SourceNotAllowed,
            app6.tcp(51000, 3306, "S"),
            "the list holds the IPv4 address of that host alone",
        ),
    ]);
    rows
}

/// The first and the last address of each prefix, and their neighbours outside.
fn prefix_edges() -> Vec<Row> {
    let mut rows = Vec::new();
    let mut edge4 = |name: &str, source: [u8; 4], port: u16, reason| {
        let packet = v4(Ipv4Addr::from(source), SERVER.v4).tcp(51000, port, "S");
        rows.push(edge(format!("v4-edge-{name}"), reason, packet));
    };
    edge4("admins-first", [198, 51, 100, 0], 22, Rule);
    edge4("admins-last", [198, 51, 100, 255], 22, Rule);
    edge4("admins-below", [198, 51, 99, 255], 22, SourceNotAllowed);
    edge4("admins-above", [198, 51, 101, 0], 22, SourceNotAllowed);
    edge4("app-below", [192, 0, 2, 9], 3306, SourceNotAllowed);
    edge4("app-above", [192, 0, 2, 11], 3306, SourceNotAllowed);
    edge4("app-reversed", [10, 2, 0, 192], 3306, SourceNotAllowed);
    edge4("abuse-first", [203, 0, 113, 0], 80, Blocklist);
    edge4("abuse-last", [203, 0, 113, 255], 80, Blocklist);
    edge4("abuse-below", [203, 0, 112, 255], 80, Rule);
    edge4("abuse-above", [203, 0, 114, 0], 80, Rule);
    edge4("lowest", [1, 0, 0, 0], 80, Rule);
    edge4("highest", [223, 255, 255, 255], 80, Rule);
    let mut edge6 = |name: &str, source: &str, port: u16, reason| {
        let source: Ipv6Addr = source.parse().expect("an address");
        rows.push(edge(
            format!("v6-edge-{name}"),
            reason,
            v6(source, SERVER.v6).tcp(51000, port, "S"),
        ));
    };
    edge6("admins-first", "2001:db8:ad::", 22, Rule);
    edge6("admins-last", "2001:db8:ad:ffff:ffff:ffff:ffff:ffff", 22, Rule);
    edge6("admins-below", "2001:db8:ac:ffff:ffff:ffff:ffff:ffff", 22, SourceNotAllowed);
    edge6("admins-above", "2001:db8:ae::", 22, SourceNotAllowed);
    edge6("admins-first-32-bits", "2001:db8::20", 22, SourceNotAllowed);
    edge6("abuse-first", "2001:db8:bad::", 80, Blocklist);
    edge6("abuse-last", "2001:db8:bad:ffff:ffff:ffff:ffff:ffff", 80, Blocklist);
    edge6("abuse-below", "2001:db8:bac:ffff:ffff:ffff:ffff:ffff", 80, Rule);
    edge6("abuse-above", "2001:db8:bae::", 80, Rule);
    edge6("highest", "feff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", 80, Rule);
    rows
}

fn edge(name: String, reason: foobar_common::reason::Reason, packet: Packet) -> Row {
    let why = "a prefix reaches from its first to its last address and no further";
    match reason {
        Rule => passes(name, reason, packet, why),
        _ => drops(name, reason, packet, why),
    }
}

fn closed_ports() -> Vec<Row> {
    let why = "no rule names this port: default drop";
    let mut rows = Vec::new();
    for (family, packet) in to_server(WORLD) {
        for port in [0, 1, 21, 23, 79, 81, 442, 444, 3305, 3307, 8080, 9100, 20480, 65535] {
            let name = format!("{family}-closed-tcp-{port}");
            rows.push(drops(name, NoRule, packet.clone().tcp(51000, port, "S"), why));
        }
        for port in [22, 53, 80, 442, 444, 3306, 47873] {
            rows.push(drops(
                format!("{family}-closed-udp-{port}"),
                NoRule,
                packet.clone().udp(51000, port, 12),
                why,
            ));
        }
    }
    for (family, packet) in to_server(ADMIN) {
        let name = format!("{family}-udp-22-from-admin");
        rows.push(drops(
            name,
            NoRule,
            packet.clone().udp(51000, 22, 12),
            "the rule is for TCP alone",
        ));
        rows.push(drops(
            format!("{family}-closed-from-admin"),
            NoRule,
            packet.tcp(51000, 8080, "S"),
            why,
        ));
    }
    rows
}

fn blocked() -> Vec<Row> {
    let why = "the blocklist comes before every rule";
    let mut rows = Vec::new();
    for (family, packet) in to_server(BLOCKED) {
        for port in [80, 443, 22, 3306] {
            let name = format!("{family}-blocked-tcp-{port}");
            rows.push(drops(name, Blocklist, packet.clone().tcp(51000, port, "S"), why));
        }
        let closed = packet.clone().tcp(51000, 9100, "S");
        let nobody = "closed to all, so nobody asks who it is";
        rows.push(drops(format!("{family}-blocked-tcp-9100"), NoRule, closed, nobody));
        rows.push(drops(
            format!("{family}-blocked-quic"),
            Blocklist,
            packet.clone().udp(51000, 443, 1200),
            why,
        ));
        rows.push(drops(
            format!("{family}-blocked-mid-stream"),
            Blocklist,
            packet.tcp(51000, 443, "A"),
            why,
        ));
    }
    rows
}

/// What comes after the handshake: the filter has not seen the beginning and must not need to.
fn sessions() -> Vec<Row> {
    let why =
        "every packet to a served port is judged by the policy, so no session depends on memory";
    let mut rows = Vec::new();
    for (family, packet) in to_server(WORLD) {
        let data = |flags: &str, bytes: usize| {
            packet.clone().tcp_with(
                51000,
                443,
                flags,
                &[1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2],
                &super::packet::filler(bytes),
            )
        };
        rows.extend([
            passes(format!("{family}-mid-stream-data"), Rule, data("PA", 1400), why),
            passes(format!("{family}-mid-stream-ack"), Rule, data("A", 0), why),
            passes(format!("{family}-mid-stream-fin"), Rule, data("FA", 0), why),
            passes(
                format!("{family}-mid-stream-reset"),
                Rule,
                packet.clone().tcp(51000, 443, "R"),
                why,
            ),
        ]);
    }
    for (family, packet) in to_server(ADMIN) {
        rows.push(passes(
            format!("{family}-ssh-mid-stream"),
            Rule,
            packet.tcp(51000, 22, "PA"),
            why,
        ));
    }
    rows
}
