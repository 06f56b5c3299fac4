//! Random policies.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    ops::RangeInclusive,
};

use fastrand::Rng;
use ipnet::IpNet;

use super::{one, percent};
use crate::{
    frames::hosts::SERVER,
    model::{Choices, IcmpErrors, Policy, Rule},
};

/// Addresses around which prefixes are put, so that they nest, touch and overlap.
const CENTRES4: [u32; 6] =
    [0xc633_6400, 0xcb00_7100, 0x0506_0708, 0x0000_0000, 0xdfff_ff00, 0x0a00_0000];
const CENTRES6: [u128; 6] = [
    0x2001_0db8_00ad_0000_0000_0000_0000_0000,
    0x2001_0db8_0bad_0000_0000_0000_0000_0000,
    0x2001_0db8_0077_0000_0000_0000_0000_0009,
    0xfe80_0000_0000_0000_0000_0000_0000_0000,
    0x0000_0000_0000_0001_0000_0000_0000_0000,
    0x2001_0db8_00ad_0000_8000_0000_0000_0000,
];
/// Ports that rules name.
const PORTS: [u16; 10] = [0, 1, 22, 53, 80, 443, 3306, 8080, 40000, 65535];

/// A policy that the compiler accepts.
pub fn policy(random: &mut Rng) -> Policy {
    let allowlists = lists(random, "allow", 4);
    let blocklists = lists(random, "block", 2);
    let rules = (0..random.usize(1..7)).map(|_| rule(random, &allowlists)).collect();
    Policy {
        allowlists,
        blocklists,
        rules,
        own: vec![SERVER.v4.into(), SERVER.v6.into()],
        choices: choices(random),
    }
}

fn lists(random: &mut Rng, kind: &str, most: usize) -> BTreeMap<String, Vec<IpNet>> {
    let count = random.usize(..=most);
    (0..count)
        .map(|number| {
            (format!("{kind}-{number}"), (0..random.usize(..12)).map(|_| net(random)).collect())
        })
        .collect()
}

fn net(random: &mut Rng) -> IpNet {
    let net = if random.bool() {
        // Mostly small prefixes: one of /0 leaves nothing to tell apart.
        let length = if percent(random, 95) { random.u8(8..=32) } else { random.u8(0..8) };
        let near = random.u32(..) & random.u32(..) & random.u32(..) & 0xffff;
        let address =
            if percent(random, 90) { one(random, &CENTRES4) ^ near } else { random.u32(..) };
        IpNet::new(IpAddr::V4(Ipv4Addr::from(address)), length)
    } else {
        let length = if percent(random, 50) { random.u8(16..=64) } else { random.u8(0..=128) };
        let near =
            u128::from(random.u64(..) & random.u64(..) & random.u64(..)) << (random.u8(..3) * 16);
        let address =
            if percent(random, 95) { one(random, &CENTRES6) ^ near } else { random.u128(..) };
        let address = Ipv6Addr::from(address);
        // The configuration refuses IPv4-mapped entries.
        let address =
            if address.to_ipv4_mapped().is_some() { Ipv6Addr::LOCALHOST } else { address };
        IpNet::new(IpAddr::V6(address), length)
    };
    net.expect("a length that fits").trunc()
}

fn rule(random: &mut Rng, allowlists: &BTreeMap<String, Vec<IpNet>>) -> Rule {
    let names: Vec<&String> = allowlists.keys().collect();
    let from = (!names.is_empty() && percent(random, 60)).then(|| {
        let mut lists: Vec<String> =
            (0..random.usize(1..=2)).map(|_| one(random, &names).to_string()).collect();
        lists.sort();
        lists.dedup();
        lists
    });
    if percent(random, 15) {
        let protocols = vec![*one(random, &[1, 2, 4, 41, 47, 50, 58, 89, 132, 200])];
        return Rule { protocols, ports: Vec::new(), from };
    }
    let protocols = one(random, &[vec![6], vec![6], vec![17], vec![6, 17]]).clone();
    let ports = (0..random.usize(1..=3)).map(|_| ports(random)).collect();
    Rule { protocols, ports, from }
}

fn ports(random: &mut Rng) -> RangeInclusive<u16> {
    // Port 0 is no port that a rule may name.
    let first = (*one(random, &PORTS)).max(1);
    let last = if percent(random, 70) { first } else { first.saturating_add(random.u16(..300)) };
    first..=last
}

fn choices(random: &mut Rng) -> Choices {
    let mut seldom = || percent(random, 10);
    let mut choices = Choices {
        drop_fragments: seldom(),
        drop_ipv4_options: seldom(),
        drop_extension_headers: seldom(),
        drop_echo: seldom(),
        pass_invalid_flags: seldom(),
        pass_martians: seldom(),
        icmp_errors: IcmpErrors::Related,
        drop_router_advertisements: seldom(),
        drop_dhcp: seldom(),
        drop_link_control: seldom(),
        drop_mld: seldom(),
    };
    if percent(random, 20) {
        choices.icmp_errors = *one(random, &[IcmpErrors::All, IcmpErrors::Drop]);
    }
    choices
}
