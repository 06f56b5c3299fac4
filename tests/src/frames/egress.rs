//! What leaves: without egress rules everything does, and the program only tells answers from what the server begins.

use foobar_common::reason::Reason::{Egress, EgressServed};

use super::{
    hosts::{ADMIN, BLOCKED, Host, REMOTE, SERVER, WORLD},
    packet::{Packet, ether, ethernet, filler, v4, v6},
    row::{Row, passes},
};

pub(super) fn rows() -> Vec<Row> {
    let mut rows = Vec::new();
    let answer = "an answer of a served port needs no memory";
    let own = "what the server begins may leave";
    let to =
        |host: Host| [("v4", v4(SERVER.v4, host.v4).sent()), ("v6", v6(SERVER.v6, host.v6).sent())];
    for (family, packet) in to(WORLD) {
        let tcp = |port: u16, flags: &str| packet.clone().tcp(port, 51000, flags);
        let row = |name: &str, reason, packet: Packet, why| {
            passes(format!("{family}-egress-{name}"), reason, packet, why).outgoing()
        };
        rows.extend([
            row("http-syn-ack", EgressServed, tcp(80, "SA"), answer),
            row(
                "https-data",
                EgressServed,
                packet.clone().tcp_with(443, 51000, "PA", &[], &filler(1400)),
                answer,
            ),
            row("https-fin", EgressServed, tcp(443, "FA"), answer),
            row("https-reset", EgressServed, tcp(443, "R"), answer),
            row("quic", EgressServed, packet.clone().udp(443, 51000, 1200), answer),
            row("syn-from-served-port", Egress, tcp(80, "S"), own),
            row("syn", Egress, packet.clone().tcp(45000, 443, "S"), own),
            row("question", Egress, packet.clone().udp(40000, 53, 30), own),
            row(
                "udp-from-tcp-port",
                Egress,
                packet.clone().udp(80, 53, 30),
                "tcp/80 is served, udp/80 is not",
            ),
            row(
                "reset-from-closed-port",
                Egress,
                packet.clone().tcp(9100, 51000, "RA"),
                "the stack refuses a connection",
            ),
            row("gre", Egress, packet.clone().raw(47, &filler(30)), "no egress rules, no limits"),
            row("tagged", EgressServed, tcp(80, "A").tag(ether::VLAN, 100), "tags change nothing"),
        ]);
    }
    for (family, packet) in to(ADMIN) {
        let packet = packet.tcp(22, 51000, "PA");
        rows.push(passes(format!("{family}-egress-ssh"), EgressServed, packet, answer).outgoing());
    }
    for (family, packet) in to(BLOCKED) {
        let why = "a blocklist is about what comes in";
        rows.push(
            passes(format!("{family}-egress-to-blocked"), Egress, packet.tcp(45000, 443, "S"), why)
                .outgoing(),
        );
    }
    let ping = v4(SERVER.v4, REMOTE.v4).icmp(8, 0, [0, 7, 0, 1], &[]).sent();
    let solicitation = v6(SERVER.v6, REMOTE.v6).hops(255).icmp(135, 0, [0; 4], &[0; 16]).sent();
    let unreadable = v4(SERVER.v4, REMOTE.v4).tcp(45000, 443, "S").header_words(3).sent();
    rows.extend([
        passes("v4-egress-ping", Egress, ping, own).outgoing(),
        passes("v6-egress-solicitation", Egress, solicitation, "the link needs it").outgoing(),
        passes("egress-arp", Egress, ethernet(0x0806, &[0; 28]).sent(), "the link needs it")
            .outgoing(),
        passes(
            "egress-unknown-ethertype",
            Egress,
            ethernet(0x88b5, &filler(46)).sent(),
            "no limits",
        )
        .outgoing(),
        passes(
            "v4-egress-unreadable",
            Egress,
            unreadable,
            "what the server itself sends is never dropped unread",
        )
        .outgoing(),
    ]);
    rows
}
