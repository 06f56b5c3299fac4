//! The link layer: VLAN tags, and frames that are not IP.

use foobar_common::reason::Reason::{
    Arp, Blocklist, EtherType, LinkControl, NoRule, Rule, SourceNotAllowed, Truncated, VlanDepth,
};

use super::{
    hosts::{ADMIN, BLOCKED, ROUTER_MAC, WORLD},
    packet::{ether, ethernet, filler},
    row::{Row, drops, passes},
    rules::to_server,
};

/// Tag protocol and control (3 bits priority, 1 bit drop eligible, 12 bits VLAN) of each tag, outermost first.
const TAGS: [(&str, &[(u16, u16)]); 9] = [
    ("priority", &[(ether::VLAN, 0)]),
    ("priority-7", &[(ether::VLAN, 7 << 13)]),
    ("vlan-100", &[(ether::VLAN, 100)]),
    ("vlan-4095", &[(ether::VLAN, 4095)]),
    ("service-tag", &[(ether::QINQ, 200)]),
    ("qinq", &[(ether::QINQ, 200), (ether::VLAN, 100)]),
    ("qinq-priority", &[(ether::QINQ, 0), (ether::VLAN, 0)]),
    ("two-customer-tags", &[(ether::VLAN, 100), (ether::VLAN, 0)]),
    ("two-service-tags", &[(ether::QINQ, 1), (ether::QINQ, 2)]),
];

pub(super) fn rows() -> Vec<Row> {
    [tags(), depth(), not_ip(), link_control()].concat()
}

fn tags() -> Vec<Row> {
    let mut rows = Vec::new();
    for (name, tags) in TAGS {
        for ((family, world), (_, blocked)) in to_server(WORLD).into_iter().zip(to_server(BLOCKED))
        {
            let tagged = |packet: super::packet::Packet| {
                tags.iter().fold(packet, |packet, (tpid, tci)| packet.tag(*tpid, *tci))
            };
            let why = "tags change no verdict: a frame of VLAN 0 reaches the untagged stack";
            rows.extend([
                passes(
                    format!("{family}-{name}-http"),
                    Rule,
                    tagged(world.clone().tcp(51000, 80, "S")),
                    why,
                ),
                drops(
                    format!("{family}-{name}-ssh"),
                    SourceNotAllowed,
                    tagged(world.clone().tcp(51000, 22, "S")),
                    why,
                ),
                drops(
                    format!("{family}-{name}-closed"),
                    NoRule,
                    tagged(world.udp(51000, 9100, 4)),
                    why,
                ),
                drops(
                    format!("{family}-{name}-blocked"),
                    Blocklist,
                    tagged(blocked.tcp(51000, 80, "S")),
                    why,
                ),
            ]);
        }
    }
    for (family, packet) in to_server(ADMIN) {
        let packet = packet.tag(ether::QINQ, 5).tag(ether::VLAN, 6).tcp(51000, 22, "S");
        rows.push(passes(
            format!("{family}-qinq-ssh-from-admin"),
            Rule,
            packet,
            "tags change no right",
        ));
    }
    rows
}

fn depth() -> Vec<Row> {
    let mut rows = Vec::new();
    let why = "a third tag is deeper than the parser reads, so nothing behind it may pass";
    for (family, packet) in to_server(WORLD) {
        for count in [3, 4, 8] {
            let syn = packet.clone().tcp(51000, 80, "S");
            let packet = (0..count).fold(syn, |packet, _| packet.tag(ether::VLAN, 0));
            rows.push(drops(format!("{family}-{count}-tags"), VlanDepth, packet, why));
        }
    }
    let arp = ethernet(0x0806, &[0; 28]);
    rows.push(drops(
        "arp-3-tags",
        VlanDepth,
        arp.tag(ether::VLAN, 0).tag(ether::VLAN, 0).tag(ether::VLAN, 0),
        why,
    ));
    for (name, bytes) in [("the-first-tag", 16), ("the-second-tag", 20)] {
        let [(_, packet), _] = to_server(WORLD);
        let packet = packet.tcp(51000, 80, "S").tag(ether::QINQ, 1).tag(ether::VLAN, 2).cut(bytes);
        rows.push(drops(
            format!("cut-in-{name}"),
            Truncated,
            packet,
            "the frame ends inside a tag",
        ));
    }
    rows
}

fn not_ip() -> Vec<Row> {
    let mut rows = Vec::new();
    let [(_, packet), _] = to_server(WORLD);
    let ip = packet.clone().tcp(51000, 80, "S").network_bytes();
    for (name, ether_type) in [
        ("length-0", 0x0000),
        ("length-40", 0x0028),
        ("experimental", 0x88b5),
        ("x25", 0x0805),
        ("trail", 0x1000),
        ("bridged-ethernet", 0x6558),
        ("reverse-arp", 0x8035),
        ("ipx", 0x8137),
        ("mpls", 0x8847),
        ("mpls-multicast", 0x8848),
        ("pppoe-discovery", 0x8863),
        ("pppoe-session", 0x8864),
        ("lldp-to-the-server", 0x88cc),
        ("macsec", 0x88e5),
        ("provider-backbone", 0x88e7),
        ("ptp", 0x88f7),
        ("fcoe", 0x8906),
        ("old-qinq", 0x9100),
        ("older-qinq", 0x9200),
        ("byte-swapped-ipv4", 0x0008),
        ("all-ones", 0xffff),
    ] {
        let why = "neither IP nor needed by the link; a decoy of an allowed packet inside changes nothing";
        rows.push(drops(format!("ethertype-{name}"), EtherType, ethernet(ether_type, &ip), why));
    }
    // IEEE 802.2 LLC with SNAP: the old way to carry IPv4 on 802.3.
    let snap = [&[0xaa, 0xaa, 3, 0, 0, 0, 8, 0][..], &ip].concat();
    rows.extend([
        drops(
            "snap-ipv4",
            EtherType,
            ethernet(snap.len() as u16, &snap),
            "Linux would take IPv4 out of LLC/SNAP only for the protocols that ask for it; nobody needs it",
        ),
        drops(
            "tagged-ethertype-unknown",
            EtherType,
            ethernet(0x88b5, &ip).tag(ether::VLAN, 0),
            "a tag in front of it changes nothing",
        ),
        passes("tagged-arp", Arp, ethernet(0x0806, &[0; 46]).tag(ether::VLAN, 0), "a tag in front of it changes nothing"),
    ]);
    rows
}

fn link_control() -> Vec<Row> {
    let mac = |last: u8| [0x01, 0x80, 0xc2, 0, 0, last];
    let [(_, packet), _] = to_server(WORLD);
    let mut rows = Vec::new();
    for (name, last, ether_type) in [
        ("spanning-tree", 0x00, 38),
        ("pause", 0x01, 0x8808),
        ("lacp", 0x02, 0x8809),
        ("eapol", 0x03, 0x888e),
        ("lldp", 0x0e, 0x88cc),
        ("gvrp", 0x0d, 39),
    ] {
        let why = "link control goes from one end of the cable to the other, no router forwards it";
        let frame = ethernet(ether_type, &filler(46)).macs(mac(last), ROUTER_MAC);
        rows.push(passes(format!("link-control-{name}"), LinkControl, frame, why));
    }
    let why = "an address of link control gives no right to IP";
    for (address, last) in [("first", 0x00), ("last", 0x0f)] {
        let to = |packet: super::packet::Packet| packet.macs(mac(last), ROUTER_MAC);
        rows.push(drops(
            format!("link-control-address-{address}-ssh"),
            SourceNotAllowed,
            to(packet.clone().tcp(51000, 22, "S")),
            why,
        ));
        rows.push(drops(
            format!("link-control-address-{address}-tagged-ssh"),
            SourceNotAllowed,
            to(packet.clone().tcp(51000, 22, "S").tag(ether::VLAN, 0)),
            why,
        ));
    }
    rows.push(drops(
        "link-control-neighbour-address",
        EtherType,
        ethernet(0x88cc, &filler(46)).macs(mac(0x10), ROUTER_MAC),
        "only the sixteen addresses that bridges do not forward",
    ));
    rows
}
