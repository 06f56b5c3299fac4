//! What a host needs to live on its link: ARP, neighbour discovery, listener discovery, DHCP.

use std::net::Ipv6Addr;

use foobar_common::reason::Reason::{
    Arp, Blocklist, Dhcp, IcmpType, Martian, Mld, NeighborDiscovery, NoRule, NotOnLink, Protocol,
};

use super::{
    hosts::{
        ALL_MLD_ROUTERS, ALL_NODES, BLOCKED, ROUTER_LINK, ROUTER_MAC, SERVER, SERVER_LINK,
        SERVER_MAC, SOLICITED_NODE, WORLD,
    },
    packet::{ether, ethernet, v4, v6},
    row::{Row, drops, passes},
};

const UNSPECIFIED: Ipv6Addr = Ipv6Addr::UNSPECIFIED;
/// A hop-by-hop header with the router alert option for MLD (RFC 2711).
const ROUTER_ALERT: [u8; 8] = [0, 0, 5, 2, 0, 0, 1, 0];

pub(super) fn rows() -> Vec<Row> {
    [arp(), neighbors(), routers(), listeners(), dhcp(), dhcp6()].concat()
}

fn arp() -> Vec<Row> {
    let message = |operation: u8, sender: [u8; 4], target: [u8; 4]| {
        let mut bytes = vec![0, 1, 8, 0, 6, 4, 0, operation];
        bytes.extend(ROUTER_MAC);
        bytes.extend(sender);
        bytes.extend([0; 6]);
        bytes.extend(target);
        ethernet(0x0806, &bytes)
    };
    let (router, server) = ([192, 0, 2, 254], SERVER.v4.octets());
    let everyone = [0xff; 6];
    let why = "without ARP the server is unreachable over IPv4";
    vec![
        passes("arp-request", Arp, message(1, router, server).macs(everyone, ROUTER_MAC), why),
        passes("arp-request-unicast", Arp, message(1, router, server), why),
        passes("arp-reply", Arp, message(2, router, server), why),
        passes(
            "arp-gratuitous",
            Arp,
            message(1, router, router).macs(everyone, ROUTER_MAC).padded(),
            why,
        ),
        passes(
            "arp-probe",
            Arp,
            message(1, [0; 4], server).macs(everyone, ROUTER_MAC),
            "duplicate detection (RFC 5227)",
        ),
        passes(
            "arp-from-blocked",
            Arp,
            message(1, BLOCKED.v4.octets(), server),
            "ARP names no source that a list could hold: the address in it is only claimed",
        ),
    ]
}

fn neighbors() -> Vec<Row> {
    let solicitation = |source: Ipv6Addr, destination: Ipv6Addr| {
        let mut body = SERVER.v6.octets().to_vec();
        if !source.is_unspecified() {
            body.extend([1, 1]);
            body.extend(ROUTER_MAC);
        }
        v6(source, destination).hops(255).icmp(135, 0, [0; 4], &body)
    };
    let advertisement = |source: Ipv6Addr, destination: Ipv6Addr| {
        let mut body = source.octets().to_vec();
        body.extend([2, 1]);
        body.extend(SERVER_MAC);
        v6(source, destination).hops(255).icmp(136, 0, [0x60, 0, 0, 0], &body)
    };
    let why = "without neighbour discovery the server is unreachable over IPv6";
    let mut rows = vec![
        passes(
            "nd-solicitation",
            NeighborDiscovery,
            solicitation(ROUTER_LINK, SOLICITED_NODE),
            why,
        ),
        passes(
            "nd-solicitation-unicast",
            NeighborDiscovery,
            solicitation(ROUTER_LINK, SERVER.v6),
            why,
        ),
        passes(
            "nd-solicitation-from-global",
            NeighborDiscovery,
            solicitation("2001:db8::fe".parse().expect("an address"), SOLICITED_NODE),
            why,
        ),
        passes(
            "nd-solicitation-of-duplicate-detection",
            NeighborDiscovery,
            solicitation(UNSPECIFIED, SOLICITED_NODE),
            "who has no address yet asks from :: (RFC 4862)",
        ),
        passes("nd-advertisement", NeighborDiscovery, advertisement(ROUTER_LINK, SERVER_LINK), why),
        passes(
            "nd-advertisement-to-all",
            NeighborDiscovery,
            advertisement(ROUTER_LINK, ALL_NODES),
            why,
        ),
        passes(
            "nd-tagged",
            NeighborDiscovery,
            solicitation(ROUTER_LINK, SOLICITED_NODE).tag(ether::VLAN, 0),
            why,
        ),
        drops(
            "nd-solicitation-blocked",
            Blocklist,
            solicitation(BLOCKED.v6, SOLICITED_NODE),
            "blocked is blocked",
        ),
        drops(
            "nd-advertisement-blocked",
            Blocklist,
            advertisement(BLOCKED.v6, SERVER.v6),
            "blocked is blocked",
        ),
        drops(
            "nd-solicitation-from-loopback",
            Martian,
            solicitation(Ipv6Addr::LOCALHOST, SOLICITED_NODE),
            "nobody on the link has this address",
        ),
        drops(
            "nd-solicitation-fragmented",
            NotOnLink,
            solicitation(ROUTER_LINK, SOLICITED_NODE).fragment6(3, true, 0),
            "neighbour discovery is never fragmented (RFC 6980)",
        ),
    ];
    for hops in [0, 1, 64, 254] {
        let why = "hop limit 255 proves that it came from the link; anything less was forwarded, or pretends to be";
        let name = format!("nd-solicitation-hop-limit-{hops}");
        rows.push(drops(
            name,
            NotOnLink,
            solicitation(ROUTER_LINK, SOLICITED_NODE).hops(hops),
            why,
        ));
        let name = format!("nd-advertisement-hop-limit-{hops}");
        rows.push(drops(name, NotOnLink, advertisement(WORLD.v6, SERVER.v6).hops(hops), why));
    }
    rows
}

fn routers() -> Vec<Row> {
    let advertisement = |source: Ipv6Addr| {
        v6(source, ALL_NODES).hops(255).icmp(
            134,
            0,
            [64, 0, 7, 8],
            &[0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 2, 0, 0, 0, 0, 2],
        )
    };
    let mut redirect = [0; 32];
    redirect[..16].copy_from_slice(&ROUTER_LINK.octets());
    redirect[16..].copy_from_slice(&WORLD.v6.octets());
    vec![
        passes(
            "nd-router-advertisement",
            NeighborDiscovery,
            advertisement(ROUTER_LINK),
            "the default route comes with it",
        ),
        drops(
            "nd-router-advertisement-hop-limit-64",
            NotOnLink,
            advertisement(ROUTER_LINK).hops(64),
            "it did not come from the link",
        ),
        drops(
            "nd-router-advertisement-from-global",
            NotOnLink,
            advertisement("2001:db8::fe".parse().expect("an address")),
            "routers advertise from their link-local address (RFC 4861, section 6.1.2)",
        ),
        passes(
            "nd-router-solicitation",
            NeighborDiscovery,
            v6(ROUTER_LINK, ALL_NODES).hops(255).icmp(133, 0, [0; 4], &[]),
            "part of neighbour discovery; a host ignores it",
        ),
        drops(
            "nd-redirect",
            IcmpType,
            v6(ROUTER_LINK, SERVER.v6).hops(255).icmp(137, 0, [0; 4], &redirect),
            "a redirect bends routes; a server needs none",
        ),
    ]
}

fn listeners() -> Vec<Row> {
    let group = ALL_NODES.octets();
    let query = |source: Ipv6Addr| {
        v6(source, ALL_NODES).hops(1).extension(0, &ROUTER_ALERT).icmp(
            130,
            0,
            [0x27, 0x10, 0, 0],
            &group,
        )
    };
    let report = |source: Ipv6Addr, kind: u8| {
        let destination = if kind == 143 { ALL_MLD_ROUTERS } else { ALL_NODES };
        v6(source, destination).hops(1).extension(0, &ROUTER_ALERT).icmp(kind, 0, [0; 4], &group)
    };
    let why = "switches that snoop forward neighbour discovery only to those who answer queries";
    vec![
        passes("mld-query", Mld, query(ROUTER_LINK), why),
        passes("mld-query-tagged", Mld, query(ROUTER_LINK).tag(ether::VLAN, 100), why),
        passes("mld-report-1", Mld, report(ROUTER_LINK, 131), why),
        passes("mld-done", Mld, report(ROUTER_LINK, 132), why),
        passes("mld-report-2", Mld, report(ROUTER_LINK, 143), why),
        passes(
            "mld-report-1-without-address",
            Mld,
            report(UNSPECIFIED, 131),
            "before it has an address (RFC 3590)",
        ),
        passes(
            "mld-report-2-without-address",
            Mld,
            report(UNSPECIFIED, 143),
            "before it has an address (RFC 3810)",
        ),
        drops(
            "mld-query-without-address",
            NotOnLink,
            query(UNSPECIFIED),
            "a query has a link-local source (RFC 3810)",
        ),
        drops(
            "mld-query-hop-limit-2",
            NotOnLink,
            query(ROUTER_LINK).hops(2),
            "listener discovery has hop limit 1",
        ),
        drops(
            "mld-query-hop-limit-255",
            NotOnLink,
            query(ROUTER_LINK).hops(255),
            "listener discovery has hop limit 1",
        ),
        drops("mld-query-from-global", NotOnLink, query(WORLD.v6), "not an address of the link"),
        drops(
            "mld-report-from-global",
            NotOnLink,
            report(WORLD.v6, 143),
            "not an address of the link",
        ),
        drops(
            "igmp-query",
            Protocol,
            v4([192, 0, 2, 254].into(), [224, 0, 0, 1].into())
                .hops(1)
                .options(&[148, 4, 0, 0])
                .raw(2, &[0x11, 100, 0, 0, 0, 0, 0, 0]),
            "a server that joins no IPv4 group needs no IGMP; a rule may allow it",
        ),
    ]
}

fn dhcp() -> Vec<Row> {
    let server = [192, 0, 2, 254];
    let reply = |source: [u8; 4], destination: [u8; 4]| {
        v4(source.into(), destination.into()).udp(67, 68, 300)
    };
    let why = "it may hold the lease without which the server has no address";
    let discover = v4([0, 0, 0, 0].into(), [255; 4].into()).udp(68, 67, 300);
    vec![
        passes(
            "dhcp-ack-broadcast",
            Dhcp,
            reply(server, [255; 4]).macs([0xff; 6], ROUTER_MAC),
            why,
        ),
        passes("dhcp-ack-unicast", Dhcp, reply(server, SERVER.v4.octets()), why),
        passes("dhcp-offer-before-it-has-an-address", Dhcp, reply(server, [192, 0, 2, 77]), why),
        drops(
            "dhcp-from-blocked",
            Blocklist,
            reply(BLOCKED.v4.octets(), SERVER.v4.octets()),
            "blocked is blocked",
        ),
        drops("dhcp-from-loopback", Martian, reply([127, 0, 0, 1], SERVER.v4.octets()), "forged"),
        drops(
            "dhcp-discover-of-others",
            NoRule,
            discover.macs([0xff; 6], ROUTER_MAC),
            "this is no DHCP server",
        ),
        drops(
            "dhcp-wrong-source-port",
            NoRule,
            v4(server.into(), SERVER.v4).udp(68, 68, 300),
            "a reply comes from the server's port",
        ),
        drops(
            "dhcp-port-over-tcp",
            NoRule,
            v4(server.into(), SERVER.v4).tcp(67, 68, "A"),
            "DHCP is UDP",
        ),
    ]
}

fn dhcp6() -> Vec<Row> {
    let reply =
        |source: Ipv6Addr, destination: Ipv6Addr| v6(source, destination).udp(547, 546, 120);
    let why = "it may hold the lease without which the server has no address";
    vec![
        passes("dhcpv6-reply", Dhcp, reply(ROUTER_LINK, SERVER_LINK), why),
        passes(
            "dhcpv6-reply-of-far-server",
            Dhcp,
            reply(WORLD.v6, SERVER_LINK),
            "a server may answer from a global address",
        ),
        drops(
            "dhcpv6-to-global",
            NoRule,
            reply(ROUTER_LINK, SERVER.v6),
            "a client listens on its link-local address",
        ),
        drops(
            "dhcpv6-from-blocked",
            Blocklist,
            reply(BLOCKED.v6, SERVER_LINK),
            "blocked is blocked",
        ),
        drops(
            "dhcpv6-wrong-source-port",
            NoRule,
            v6(ROUTER_LINK, SERVER_LINK).udp(546, 546, 120),
            "a reply comes from the server's port",
        ),
        drops(
            "dhcpv6-solicit-of-others",
            NoRule,
            v6(ROUTER_LINK, "ff02::1:2".parse::<Ipv6Addr>().expect("an address"))
                .udp(546, 547, 120),
            "this is no DHCPv6 server",
        ),
    ]
}
