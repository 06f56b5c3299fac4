//! Random policies against the model.

use std::net::{Ipv4Addr, Ipv6Addr};

use proptest::{collection::vec, prelude::*, sample::select};

use super::*;
use crate::policy::{model::Egress, net::Net};

/// IPv4 addresses that are likely to be near each other.
fn address4() -> impl Strategy<Value = u32> {
    let near =
        select(vec![0, 0x0a00_0000, 0x0a00_0080, 0x0a00_ff00, 0xc0a8_0107, 0xffff_ff00, u32::MAX]);
    prop_oneof![4 => (near, 0u32..4).prop_map(|(base, add)| base.wrapping_add(add)), 1 => any::<u32>()]
}

/// IPv6 addresses that are likely to share a /64, or to be at the border of one.
fn address6() -> impl Strategy<Value = u128> {
    let upper = select(vec![
        0u64,
        0x2001_0db8_0000_0000,
        0x2001_0db8_0000_0001,
        0x2001_0db8_0000_ffff,
        u64::MAX - 1,
        u64::MAX,
    ]);
    let lower = select(vec![
        0u64,
        1,
        2,
        0x8000_0000_0000_0000,
        0xffff_0000_0000_0000,
        u64::MAX - 1,
        u64::MAX,
    ]);
    prop_oneof![
        4 => (upper, lower).prop_map(|(upper, lower)| u128::from(upper) << 64 | u128::from(lower)),
        1 => any::<u128>(),
    ]
}

pub(super) fn prefix() -> impl Strategy<Value = Prefix> {
    let length4 = prop_oneof![0u8..=32, 20u8..=32];
    let length6 = prop_oneof![0u8..=128, 60u8..=68, 120u8..=128];
    prop_oneof![
        (address4(), length4)
            .prop_map(|(address, length)| Prefix::V4(Net::holding(address, length))),
        (address6(), length6)
            .prop_map(|(address, length)| Prefix::V6(Net::holding(address, length))),
    ]
}

fn address() -> impl Strategy<Value = IpAddr> {
    prop_oneof![
        address4().prop_map(|address| IpAddr::V4(Ipv4Addr::from_bits(address))),
        address6().prop_map(|address| IpAddr::V6(Ipv6Addr::from_bits(address))),
    ]
}

const NAMES: [&str; 5] = ["a", "b", "c", "x", "y"];
const PORTS: [u16; 8] = [1, 2, 3, 22, 80, 81, 65534, 65535];

fn peers(names: &'static [&'static str]) -> impl Strategy<Value = Peers> {
    prop_oneof![
        1 => Just(Peers::Any),
        3 => proptest::sample::subsequence(names, 1..=2)
            .prop_map(|names| Peers::Lists(names.into_iter().map(str::to_owned).collect())),
    ]
}

/// Protocols with ports, or without.
fn matched() -> impl Strategy<Value = (Vec<Protocol>, Vec<PortRange>)> {
    let with = proptest::sample::subsequence(vec![Protocol::TCP, Protocol::UDP], 1..=2);
    let ports = vec((select(&PORTS[..]), select(&PORTS[..])), 1..3).prop_map(|pairs| {
        let mut ranges: Vec<_> =
            pairs.iter().map(|(a, b)| PortRange { first: *a.min(b), last: *a.max(b) }).collect();
        ranges.sort_unstable();
        // As the configuration does: ranges of one rule do not overlap.
        ranges.dedup_by(|next, kept| {
            next.first <= kept.last && {
                kept.last = kept.last.max(next.last);
                true
            }
        });
        ranges
    });
    let without = select(vec![Protocol::ICMP, Protocol::ICMPV6, Protocol(47), Protocol(50)]);
    prop_oneof![4 => (with, ports), 1 => without.prop_map(|protocol| (vec![protocol], Vec::new()))]
}

pub(super) fn any_policy() -> impl Strategy<Value = Policy> {
    let rules = vec((matched(), peers(&["a", "b", "c"]), any::<bool>()), 0..6);
    let egress_matched = prop_oneof![3 => matched(), 1 => Just((Vec::new(), Vec::new()))];
    let egress = vec((egress_matched, peers(&["a", "b", "x", "y"]), any::<bool>()), 0..4);
    let lists = vec(vec(prefix(), 0..12), NAMES.len());
    let own = vec(address(), 0..3);
    let named = proptest::sample::subsequence(&PORTS[..], 0..4);
    (lists, rules, egress, own, named, any::<bool>(), any::<bool>()).prop_map(
        |(lists, rules, egress, own, named, deny, pass)| {
            let lists = lists
                .into_iter()
                .zip(NAMES)
                .map(|(entries, name)| ListConfig {
                    kind: if name < "x" { ListKind::Allow } else { ListKind::Block },
                    name: name.to_owned(),
                    entries: Arc::new(entries.into_iter().collect()),
                    file: None,
                    inline: crate::policy::PrefixSet::default(),
                })
                .collect();
            let limit = crate::policy::config::RateLimit {
                rate: crate::policy::config::Rate {
                    count: 20,
                    period: crate::policy::config::Period::Second,
                },
                burst: 40,
            };
            let rules =
                (0..).zip(rules).map(|(number, ((protocols, ports), from, limited))| Rule {
                    name: format!("in{number}"),
                    protocols,
                    ports,
                    from,
                    limit: limited.then_some(limit),
                });
            let egress =
                (0..).zip(egress).map(|(number, ((protocols, ports), to, allow))| EgressRule {
                    name: format!("out{number}"),
                    to,
                    protocols,
                    ports,
                    action: if allow { Action::Allow } else { Action::Deny },
                });
            let egress = Egress {
                default: if deny { Action::Deny } else { Action::Allow },
                rules: egress.collect(),
            };
            let mut config = Config { lists, rules: rules.collect(), egress, ..Config::default() };
            config.metrics.ports = Some(named);
            if pass {
                config.choices.martians = crate::policy::config::Choice::Pass;
            }
            Policy::new(&config, Lists::from_config(&config), own, 3, 1)
        },
    )
}

fn probes() -> Vec<(Protocol, u16)> {
    let ports = PORTS.into_iter().chain([0, 4, 100, 40000]);
    let with_ports = ports.flat_map(|port| [(Protocol::TCP, port), (Protocol::UDP, port)]);
    with_ports.chain([1, 58, 47, 50, 0, 255].map(|number| (Protocol(number), 0))).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn verdicts_are_those_of_the_model(policy in any_policy(), more in vec(address(), 8)) {
        check(&policy, &more, &probes());
    }
}
