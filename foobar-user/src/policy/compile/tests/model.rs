//! What a policy means, told as simply as possible: every prefix of every list is tried, then every rule in order.
//! Prefixes are compared by the crate `ipnet`, from their text.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use foobar_common::{
    counters::Transport,
    reason::{Reason, Verdict},
    tables::Cell,
};
use ipnet::IpNet;

use crate::policy::{
    Labels, ListKind, Policy,
    config::Choice,
    labels::CounterKind,
    lists::List,
    model::{Action, Peers},
    protocol::{PortRange, Protocol},
};

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Outcome {
    verdict: Verdict,
    reason: Reason,
    rule: Option<String>,
    port: Option<u16>,
    transport: Transport,
    limited: bool,
}

impl Outcome {
    pub(super) fn of(cell: Cell, labels: &Labels) -> Self {
        let meaning =
            labels.describe(cell.counter()).expect("every cell has a counter that means something");
        let verdict = if cell.passes() { Verdict::Pass } else { Verdict::Drop };
        assert_eq!(meaning.verdict, verdict);
        if cell.passes() {
            assert_eq!(
                meaning.kind,
                CounterKind::Passed,
                "cells point to the first counter of three"
            );
        }
        Outcome {
            verdict,
            reason: meaning.reason,
            rule: meaning.rule.map(str::to_owned),
            port: meaning.port,
            transport: meaning.transport,
            limited: cell.limit() != 0,
        }
    }
}

fn nets(list: &List) -> Vec<IpNet> {
    list.prefixes().map(|prefix| prefix.to_string().parse().unwrap()).collect()
}

fn is_on(policy: &Policy, name: &str, address: IpAddr) -> bool {
    nets(policy.lists.by_name(name).unwrap()).iter().any(|net| net.contains(&address))
}

fn is_peer(policy: &Policy, peers: &Peers, address: IpAddr) -> bool {
    match peers {
        Peers::Any => true,
        Peers::Lists(names) => names.iter().any(|name| is_on(policy, name, address)),
    }
}

fn has_port(ports: &[PortRange], protocol: Protocol, port: u16) -> bool {
    let has_ports = matches!(protocol.0, 6 | 17);
    ports.is_empty()
        || has_ports && ports.iter().any(|range| range.first <= port && port <= range.last)
}

fn transport(protocol: Protocol) -> Transport {
    match protocol.0 {
        6 => Transport::Tcp,
        17 => Transport::Udp,
        1 | 58 => Transport::Icmp,
        _ => Transport::Other,
    }
}

pub(super) fn ingress(policy: &Policy, source: IpAddr, protocol: Protocol, port: u16) -> Outcome {
    let transport = transport(protocol);
    let named =
        matches!(transport, Transport::Tcp | Transport::Udp) && policy.named_ports.contains(&port);
    let port_label = named.then_some(port);
    let drop = |reason| Outcome {
        verdict: Verdict::Drop,
        reason,
        rule: None,
        port: port_label,
        transport,
        limited: false,
    };
    let rules: Vec<_> = policy
        .rules
        .iter()
        .filter(|rule| rule.protocols.contains(&protocol) && has_port(&rule.ports, protocol, port))
        .collect();
    if rules.is_empty() {
        return drop(match transport {
            Transport::Tcp | Transport::Udp => Reason::NoRule,
            Transport::Icmp => Reason::IcmpType,
            Transport::Other => Reason::Protocol,
        });
    }
    let blocklists = || policy.lists.iter().filter(|list| list.kind == ListKind::Block);
    // Own addresses are refused where sources matter: not at a port that is open to all while nobody is blocked.
    let sources_matter = rules.iter().any(|rule| rule.from != Peers::Any)
        || blocklists().any(|list| !nets(list).is_empty());
    let is_own = policy.choices.martians == Choice::Drop && policy.own_addresses.contains(&source);
    if is_own && sources_matter {
        return drop(Reason::Martian);
    }
    if blocklists().any(|list| is_on(policy, &list.name, source)) {
        return drop(Reason::Blocklist);
    }
    match rules.into_iter().find(|rule| is_peer(policy, &rule.from, source)) {
        Some(rule) => Outcome {
            verdict: Verdict::Pass,
            reason: Reason::Rule,
            rule: Some(rule.name.clone()),
            port: port_label,
            transport,
            limited: rule.limit.is_some(),
        },
        None => drop(Reason::SourceNotAllowed),
    }
}

pub(super) fn egress(
    policy: &Policy,
    destination: IpAddr,
    protocol: Protocol,
    port: u16,
) -> Outcome {
    let rule = policy.egress.rules.iter().find(|rule| {
        (rule.protocols.is_empty() || rule.protocols.contains(&protocol))
            && has_port(&rule.ports, protocol, port)
            && is_peer(policy, &rule.to, destination)
    });
    let (verdict, reason) = match rule.map_or(policy.egress.default, |rule| rule.action) {
        Action::Allow => (Verdict::Pass, Reason::Egress),
        Action::Deny => (Verdict::Drop, Reason::EgressDenied),
    };
    let rule = rule.map(|rule| rule.name.clone());
    Outcome { verdict, reason, rule, port: None, transport: transport(protocol), limited: false }
}

/// The first and last address of every prefix and those beside them, and the ends of both address spaces.
pub(super) fn borders(policy: &Policy) -> Vec<IpAddr> {
    let mut addresses: Vec<IpAddr> = vec![
        Ipv4Addr::UNSPECIFIED.into(),
        Ipv4Addr::BROADCAST.into(),
        Ipv6Addr::UNSPECIFIED.into(),
        Ipv6Addr::from_bits(u128::MAX).into(),
    ];
    addresses.extend(&policy.own_addresses);
    for net in policy.lists.iter().flat_map(nets) {
        match net {
            IpNet::V4(net) => {
                let (first, last) = (net.network().to_bits(), net.broadcast().to_bits());
                let all = [
                    first,
                    first.wrapping_sub(1),
                    first.wrapping_add(1),
                    last,
                    last.wrapping_sub(1),
                    last.wrapping_add(1),
                ];
                addresses.extend(all.map(|address| IpAddr::V4(Ipv4Addr::from_bits(address))));
            }
            IpNet::V6(net) => {
                let (first, last) = (net.network().to_bits(), net.broadcast().to_bits());
                let all = [
                    first,
                    first.wrapping_sub(1),
                    first.wrapping_add(1),
                    last,
                    last.wrapping_sub(1),
                    last.wrapping_add(1),
                ];
                addresses.extend(all.map(|address| IpAddr::V6(Ipv6Addr::from_bits(address))));
            }
        }
    }
    addresses.sort_unstable();
    addresses.dedup();
    addresses
}
