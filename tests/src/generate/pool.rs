//! Addresses and ports worth trying against a policy.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use fastrand::Rng;
use ipnet::IpNet;

use super::{one, percent};
use crate::{
    frames::hosts::{ADMIN, APP, BLOCKED, OTHER_REMOTE, REMOTE, ROUTER_LINK, SERVER, WORLD},
    model::Policy,
};

/// Addresses and ports at the edges of a policy.
#[derive(Debug)]
pub(super) struct Pool {
    v4: Vec<Ipv4Addr>,
    v6: Vec<Ipv6Addr>,
    ports: Vec<u16>,
    served: Vec<u16>,
}

impl Pool {
    pub(super) fn of(policy: &Policy) -> Self {
        let mut pool = Pool {
            v4: [WORLD, ADMIN, APP, BLOCKED, REMOTE, OTHER_REMOTE, SERVER]
                .map(|host| host.v4)
                .to_vec(),
            v6: [WORLD, ADMIN, APP, BLOCKED, REMOTE, OTHER_REMOTE, SERVER]
                .map(|host| host.v6)
                .to_vec(),
            ports: vec![22, 53, 67, 68, 80, 443, 546, 547, 3306, 45000, 65535],
            served: Vec::new(),
        };
        pool.v4.extend(
            ["0.0.0.0", "127.0.0.1", "224.0.0.1", "255.255.255.255"]
                .map(|text| text.parse::<Ipv4Addr>().expect("IPv4")),
        );
        pool.v6.extend(
            ["::", "::1", "ff02::1", "::ffff:5.6.7.8"]
                .map(|text| text.parse::<Ipv6Addr>().expect("IPv6")),
        );
        pool.v6.push(ROUTER_LINK);
        for net in policy.allowlists.values().chain(policy.blocklists.values()).flatten() {
            match net {
                IpNet::V4(net) => {
                    let (first, last) = (u32::from(net.network()), u32::from(net.broadcast()));
                    let edges = [
                        first,
                        last,
                        first.wrapping_sub(1),
                        last.wrapping_add(1),
                        first + (last - first) / 2,
                    ];
                    pool.v4.extend(edges.map(Ipv4Addr::from));
                }
                IpNet::V6(net) => {
                    let (first, last) = (u128::from(net.network()), u128::from(net.broadcast()));
                    let edges = [
                        first,
                        last,
                        first.wrapping_sub(1),
                        last.wrapping_add(1),
                        first + (last - first) / 2,
                    ];
                    pool.v6.extend(edges.map(Ipv6Addr::from));
                }
            }
        }
        for range in policy.rules.iter().flat_map(|rule| &rule.ports) {
            let (first, last) = (*range.start(), *range.end());
            pool.served.extend([first, last]);
            pool.ports.extend([first.wrapping_sub(1), last.wrapping_add(1)]);
        }
        pool
    }

    /// An address of either family, that family if one is given.
    pub(super) fn address(&self, random: &mut Rng, v6: bool) -> IpAddr {
        match (v6, percent(random, 4)) {
            (false, false) => IpAddr::V4(*one(random, &self.v4)),
            (false, true) => IpAddr::V4(Ipv4Addr::from(random.u32(..))),
            (true, false) => IpAddr::V6(*one(random, &self.v6)),
            (true, true) => IpAddr::V6(Ipv6Addr::from(random.u128(..))),
        }
    }

    pub(super) fn port(&self, random: &mut Rng) -> u16 {
        match random.u8(..100) {
            0..50 if !self.served.is_empty() => *one(random, &self.served),
            50..95 => *one(random, &self.ports),
            _ => random.u16(..),
        }
    }
}

/// The server's address of this family.
pub(super) fn server(v6: bool) -> IpAddr {
    if v6 { SERVER.v6.into() } else { SERVER.v4.into() }
}
