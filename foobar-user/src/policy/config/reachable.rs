//! Notes about rules that do less, or more, than they seem to.

use std::ops::Range;

use super::reader::Reader;
use crate::policy::{
    model::{Peers, Rule},
    protocol::{PortRange, Protocol},
};

/// The ports that Linux takes for connections that this host opens, unless told otherwise (net.ipv4.ip_local_port_range).
const EPHEMERAL: PortRange = PortRange { first: 32768, last: 60999 };

/// A rule that serves so many of them was hardly meant to.
const MANY: u32 = 1024;

/// Notes what is strange about the rules, each given with the place of its name.
pub(super) fn note(reader: &Reader<'_>, rules: &[(Rule, Range<usize>)]) {
    for (number, (rule, span)) in rules.iter().enumerate() {
        let earlier: Vec<&Rule> = rules[..number]
            .iter()
            .map(|(rule, _)| rule)
            .filter(|earlier| wider(&earlier.from, &rule.from))
            .collect();
        if rule.protocols.iter().all(|protocol| covered(rule, *protocol, &earlier)) {
            let names: Vec<_> = earlier
                .iter()
                .filter(|earlier| overlaps(earlier, rule))
                .map(|rule| format!("\"{}\"", rule.name))
                .collect();
            reader.note(
                span.clone(),
                format!(
                    "rule \"{}\" is never reached: {} before it matches the same packets",
                    rule.name,
                    names.join(" and ")
                ),
                Some(
                    "the first rule that matches wins; put the narrower rule first, or remove it"
                        .into(),
                ),
            );
        }
        let ephemeral: u32 = rule
            .ports
            .iter()
            .filter_map(|range| common(*range, EPHEMERAL))
            .map(PortRange::count)
            .sum();
        if ephemeral >= MANY {
            reader.note(
                span.clone(),
                format!("rule \"{}\" serves ports from which this server opens connections of its own ({EPHEMERAL})", rule.name),
                Some("answers to such connections are judged by this rule too; keep to the ports that are served".into()),
            );
        }
    }
}

/// Whether one rule's sources include all of another's, as far as the names of the lists tell.
fn wider(wide: &Peers, narrow: &Peers) -> bool {
    match (wide, narrow) {
        (Peers::Any, _) => true,
        (Peers::Lists(_), Peers::Any) => false,
        (Peers::Lists(wide), Peers::Lists(narrow)) => narrow.iter().all(|list| wide.contains(list)),
    }
}

fn common(a: PortRange, b: PortRange) -> Option<PortRange> {
    let range = PortRange { first: a.first.max(b.first), last: a.last.min(b.last) };
    (range.first <= range.last).then_some(range)
}

fn overlaps(a: &Rule, b: &Rule) -> bool {
    a.protocols.iter().any(|protocol| b.protocols.contains(protocol))
        && (a.ports.is_empty()
            || a.ports.iter().any(|x| b.ports.iter().any(|y| common(*x, *y).is_some())))
}

/// Whether the earlier rules match every port of this rule with this protocol.
fn covered(rule: &Rule, protocol: Protocol, earlier: &[&Rule]) -> bool {
    let earlier = || earlier.iter().filter(|earlier| earlier.protocols.contains(&protocol));
    if !protocol.has_ports() {
        return earlier().next().is_some();
    }
    let mut ranges: Vec<PortRange> =
        earlier().flat_map(|earlier| earlier.ports.iter().copied()).collect();
    ranges.sort_unstable();
    rule.ports.iter().all(|wanted| {
        let mut next = u32::from(wanted.first);
        for range in &ranges {
            if u32::from(range.first) <= next {
                next = next.max(u32::from(range.last) + 1);
            }
        }
        next > u32::from(wanted.last)
    })
}
