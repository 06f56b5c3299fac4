//! The compiler against a model that was written independently of it.

mod edge;
mod incremental;
mod model;
mod random;
mod shape;

use std::{net::IpAddr, sync::Arc};

use super::{Compiled, compile};
use crate::policy::{
    Labels, ListKind, Lists, Policy, Prefix, Slots,
    config::{Config, ListConfig},
    lists::Entry,
    model::{Action, EgressRule, Mode, Peers, Rule},
    protocol::{PortRange, Protocol},
};

/// A policy with its lists as the test wrote them.
fn policy(lists: &[(ListKind, &str, &[&str])], rules: Vec<Rule>) -> Policy {
    let lists = lists
        .iter()
        .map(|(kind, name, entries)| ListConfig {
            kind: *kind,
            name: (*name).to_owned(),
            entries: Arc::new(
                entries.iter().map(|entry| entry.parse::<Prefix>().unwrap()).collect(),
            ),
            file: None,
            inline: crate::policy::PrefixSet::default(),
        })
        .collect();
    let config = Config { lists, rules, mode: Mode::Enforce, ..Config::default() };
    Policy::new(&config, Lists::from_config(&config), Vec::new(), 0, 1)
}

fn rule(name: &str, protocols: &[Protocol], ports: &[(u16, u16)], from: Peers) -> Rule {
    Rule {
        name: name.to_owned(),
        protocols: protocols.to_vec(),
        ports: ranges(ports),
        from,
        limit: None,
    }
}

fn ranges(ports: &[(u16, u16)]) -> Vec<PortRange> {
    ports.iter().map(|(first, last)| PortRange { first: *first, last: *last }).collect()
}

fn lists(names: &[&str]) -> Peers {
    Peers::Lists(names.iter().map(|name| (*name).to_owned()).collect())
}

fn compiled(policy: &Policy) -> (Compiled, Labels) {
    let mut labels = Labels::new();
    let compiled = compile(policy, &mut labels, &mut Slots::default(), 250).unwrap();
    (compiled, labels)
}

/// Compiles the policy and compares every verdict with the model's, for addresses at and beside every border.
fn check(policy: &Policy, more: &[IpAddr], ports: &[(Protocol, u16)]) {
    let (compiled, labels) = compiled(policy);
    let mut addresses = model::borders(policy);
    addresses.extend_from_slice(more);
    shape::check(&compiled);
    for address in addresses {
        let class = compiled.source_class(address);
        for (protocol, port) in ports.iter().copied() {
            let cell = compiled.cell(protocol, port, class);
            let expected = model::ingress(policy, address, protocol, port);
            let got = model::Outcome::of(cell, &labels);
            assert_eq!(got, expected, "from {address} to {protocol}/{port}");
            if let Some(cell) = compiled.egress_cell(protocol, port, class) {
                let expected = model::egress(policy, address, protocol, port);
                let got = model::Outcome::of(cell, &labels);
                assert_eq!(got, expected, "to {address} {protocol}/{port}");
            }
        }
    }
}
