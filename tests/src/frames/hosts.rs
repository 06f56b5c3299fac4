//! The server of the reference policy, and who talks to it.

use std::net::{Ipv4Addr, Ipv6Addr};

/// The server's MAC address.
pub const SERVER_MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];
/// The MAC address of its router, from which all frames come.
pub const ROUTER_MAC: [u8; 6] = [2, 0, 0, 0, 0, 2];

/// The server.
pub const SERVER: Host = host([192, 0, 2, 1], [0x2001, 0xdb8, 0, 0, 0, 0, 0, 1]);
/// Somebody on no list.
pub const WORLD: Host = host([5, 6, 7, 8], [0x2001, 0xdb8, 0x77, 0, 0, 0, 0, 9]);
/// On the allowlist `admins`, which may reach tcp/22.
pub const ADMIN: Host = host([198, 51, 100, 20], [0x2001, 0xdb8, 0xad, 0, 0, 0, 0, 0x20]);
/// On the allowlist `app` (its IPv4 address), which may reach tcp/3306.
pub const APP: Host = host([192, 0, 2, 10], [0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x10]);
/// On the blocklist.
pub const BLOCKED: Host = host([203, 0, 113, 77], [0x2001, 0xdb8, 0xbad, 0, 0, 0, 0, 0x66]);
/// A server that this server talks to.
pub const REMOTE: Host = host([9, 9, 9, 9], [0x2620, 0xfe, 0, 0, 0, 0, 0, 0xfe]);
/// Another server of that network.
pub const OTHER_REMOTE: Host = host([9, 9, 9, 10], [0x2620, 0xfe, 0, 0, 0, 0, 0, 0xff]);

/// The router's link-local address.
pub const ROUTER_LINK: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0xff, 0xfe00, 2);
/// The server's link-local address.
pub const SERVER_LINK: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0xff, 0xfe00, 1);
/// All nodes on the link.
pub const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
/// All MLDv2-capable routers.
pub const ALL_MLD_ROUTERS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0x16);
/// The group on which the server hears neighbour solicitations.
pub const SOLICITED_NODE: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, 0xff00, 1);

/// A host with an address of each family.
#[derive(Clone, Copy, Debug)]
pub struct Host {
    /// IPv4 address.
    pub v4: Ipv4Addr,
    /// IPv6 address.
    pub v6: Ipv6Addr,
}

const fn host(v4: [u8; 4], v6: [u16; 8]) -> Host {
    let [a, b, c, d, e, f, g, h] = v6;
    Host { v4: Ipv4Addr::from_octets(v4), v6: Ipv6Addr::new(a, b, c, d, e, f, g, h) }
}
