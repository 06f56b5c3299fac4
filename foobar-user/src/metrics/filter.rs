//! The packet filter's rows: what passed, what was dropped and why, and which rule matched.
//!
//! A packet is in exactly one of passed, dropped and audited, so the three add up to the packets seen.

use std::collections::BTreeMap;

use foobar_common::counters::{Counter, Transport, fixed};
use foobar_common::reason::{Reason, Verdict};

use super::bounds::{MAX_RULES, Names, PortLabel, Ports};
use super::catalogue::{self as row, Row};
use super::family::Family;
use super::possible;
use super::snapshot::{Meanings, Snapshot};

/// The families of this section.
pub fn families(snapshot: &Snapshot) -> Vec<Family> {
    let counters = &snapshot.counters;
    let mut families = ingress(snapshot);
    families.extend(egress(snapshot));
    let incoming = [counters.ingress.as_slice(), &counters.ingress_audited];
    families.push(rules(&row::RULE_PACKETS, &snapshot.policy.rules, &snapshot.meanings, incoming));
    let outgoing = [counters.egress.as_slice(), &counters.egress_audited];
    families.push(rules(
        &row::EGRESS_RULE_PACKETS,
        &snapshot.policy.egress_rules,
        &snapshot.meanings,
        outgoing,
    ));
    families
}

/// Counts by labels. An entry of 0 is a series that exists and has not counted yet.
type Tally<Labels> = BTreeMap<Labels, Counter>;

fn ingress(snapshot: &Snapshot) -> Vec<Family> {
    let ports = Ports::of(snapshot);
    let mut passed = Tally::new();
    for transport in Transport::ALL {
        passed.entry((PortLabel::Other, transport)).or_default();
    }
    for port in &ports.named {
        for (_, transport) in [(port.tcp, Transport::Tcp), (port.udp, Transport::Udp)]
            .iter()
            .filter(|(named, _)| *named)
        {
            passed.entry((PortLabel::Named(port.number), *transport)).or_default();
        }
    }
    let mut dropped = possible_drops(snapshot, &ports, snapshot.policy.enforcing);
    let mut audited = possible_drops(snapshot, &ports, !snapshot.policy.enforcing);

    for (counters, drops) in [
        (&snapshot.counters.ingress, &mut dropped),
        (&snapshot.counters.ingress_audited, &mut audited),
    ] {
        for_each_count(counters, &snapshot.meanings, |port, transport, reason, count| {
            let Some(port) = ports.label(port) else { return };
            match reason.verdict() {
                Verdict::Pass => add(passed.entry((port, transport)).or_default(), count),
                Verdict::Drop => add(drops.entry((port, transport, reason)).or_default(), count),
            }
        });
    }

    let [passed_packets, passed_bytes] = packets_and_bytes(
        &row::PASSED_PACKETS,
        &row::PASSED_BYTES,
        &passed,
        |(port, transport)| (port.to_string(), transport.name(), None),
    );
    let by_reason = |(port, transport, reason): &(PortLabel, Transport, Reason)| {
        (port.to_string(), transport.name(), Some(reason.name()))
    };
    let [dropped_packets, dropped_bytes] =
        packets_and_bytes(&row::DROPPED_PACKETS, &row::DROPPED_BYTES, &dropped, by_reason);
    let [audited_packets, audited_bytes] =
        packets_and_bytes(&row::AUDITED_PACKETS, &row::AUDITED_BYTES, &audited, by_reason);
    vec![
        passed_packets,
        passed_bytes,
        dropped_packets,
        dropped_bytes,
        audited_packets,
        audited_bytes,
    ]
}

/// The series of dropped (or audited) packets that the policy in force can make count. `in_force` says whether the mode is
/// the one that counts here; if not, nothing more is added, and only the reasons that a policy is made of are shown, without
/// ports, so that the metric is there to be asked for.
fn possible_drops(
    snapshot: &Snapshot,
    ports: &Ports,
    in_force: bool,
) -> Tally<(PortLabel, Transport, Reason)> {
    let policy = &snapshot.policy;
    let is_shown = |reason| in_force || possible::is_choice_of_policy(reason);
    let mut drops = Tally::new();
    for &reason in Reason::ALL.iter().filter(|reason| is_shown(**reason)) {
        for transport in possible::transports(reason, policy) {
            drops.insert((PortLabel::Other, transport, reason), Counter::default());
        }
    }
    for (_, meaning) in snapshot.meanings.assigned() {
        let is_possible = in_force && possible::by_rule(meaning.reason, policy);
        // What an earlier policy named is shown only if it has counted.
        let is_in_force = meaning.port.is_none_or(|port| ports.is_in_force(port));
        if let Some(port) = ports.label(meaning.port).filter(|_| is_possible && is_in_force) {
            drops.insert((port, meaning.transport, meaning.reason), Counter::default());
        }
    }
    drops
}

fn egress(snapshot: &Snapshot) -> Vec<Family> {
    let mut passed: Tally<Transport> =
        Transport::ALL.into_iter().map(|transport| (transport, Counter::default())).collect();
    let mut dropped = Tally::new();
    let mut audited = Tally::new();
    if snapshot.policy.filters_egress {
        let in_force = if snapshot.policy.enforcing { &mut dropped } else { &mut audited };
        for transport in Transport::ALL {
            in_force.insert((transport, Reason::EgressDenied), Counter::default());
        }
    }
    for (counters, drops) in [
        (&snapshot.counters.egress, &mut dropped),
        (&snapshot.counters.egress_audited, &mut audited),
    ] {
        for_each_count(counters, &snapshot.meanings, |_, transport, reason, count| {
            match reason.verdict() {
                Verdict::Pass => add(passed.entry(transport).or_default(), count),
                Verdict::Drop => add(drops.entry((transport, reason)).or_default(), count),
            }
        });
    }

    let mut packets = Family::new(&row::EGRESS_PASSED_PACKETS);
    let mut bytes = Family::new(&row::EGRESS_PASSED_BYTES);
    for (transport, count) in &passed {
        packets.add(&[transport.name()], count.packets as f64);
        bytes.add(&[transport.name()], count.bytes as f64);
    }
    let mut families = vec![packets, bytes];
    for (row, drops) in
        [(&row::EGRESS_DROPPED_PACKETS, &dropped), (&row::EGRESS_AUDITED_PACKETS, &audited)]
    {
        let mut family = Family::new(row);
        for ((transport, reason), count) in drops {
            family.add(&[transport.name(), reason.name()], count.packets as f64);
        }
        families.push(family);
    }
    families
}

/// Packets by the rule that matched; the same number in both halves of `counters` belongs to the same rule.
fn rules(
    row: &'static Row,
    names: &[String],
    meanings: &Meanings,
    counters: [&[Counter]; 2],
) -> Family {
    let names = Names::new(names.iter().map(String::as_str), MAX_RULES);
    let mut packets = vec![0; names.labels().count()];
    for (number, meaning) in meanings.assigned() {
        let position = meaning.rule.as_deref().and_then(|rule| names.position(rule));
        if let Some(position) = position {
            packets[position] += counters
                .iter()
                .filter_map(|half| half.get(number))
                .map(|count| count.packets)
                .sum::<u64>();
        }
    }
    let mut family = Family::new(row);
    for (label, packets) in names.labels().zip(packets) {
        family.add(&[label], packets as f64);
    }
    family
}

/// Calls `visit(port, transport, reason, count)` for each counter that has counted.
fn for_each_count(
    counters: &[Counter],
    meanings: &Meanings,
    mut visit: impl FnMut(Option<u16>, Transport, Reason, Counter),
) {
    let mut visit_counted = |number: usize, port, transport, reason| {
        if let Some(count) = counters.get(number).filter(|count| count.packets > 0) {
            visit(port, transport, reason, *count);
        }
    };
    for &reason in Reason::ALL {
        for transport in Transport::ALL {
            visit_counted(usize::from(fixed(reason, transport)), None, transport, reason);
        }
    }
    for (number, meaning) in meanings.assigned() {
        visit_counted(number, meaning.port, meaning.transport, meaning.reason);
    }
}

fn add(sum: &mut Counter, count: Counter) {
    sum.packets += count.packets;
    sum.bytes += count.bytes;
}

fn packets_and_bytes<Labels>(
    packets: &'static Row,
    bytes: &'static Row,
    tally: &Tally<Labels>,
    labels: impl Fn(&Labels) -> (String, &'static str, Option<&'static str>),
) -> [Family; 2] {
    let mut families = [Family::new(packets), Family::new(bytes)];
    for (key, count) in tally {
        let (port, transport, reason) = labels(key);
        let values: Vec<&str> = [port.as_str(), transport].into_iter().chain(reason).collect();
        families[0].add(&values, count.packets as f64);
        families[1].add(&values, count.bytes as f64);
    }
    families
}
