//! Port classes: ports that the same rules match, and that are counted alike.

use std::{
    collections::{BTreeSet, HashMap},
    hash::Hash,
};

use foobar_common::{
    counters::Transport,
    tables::{PORTS_LEN, PORTS_OTHER, PORTS_TCP, PORTS_UDP},
};

use crate::policy::protocol::{PortRange, Protocol};

/// What a rule matches by, its peers aside. No protocol means all of them, no port all ports.
pub(super) struct Matcher<'p> {
    pub(super) protocols: &'p [Protocol],
    pub(super) ports: &'p [PortRange],
}

impl Matcher<'_> {
    fn has(&self, protocol: Protocol) -> bool {
        self.protocols.is_empty() || self.protocols.contains(&protocol)
    }
}

/// A class of ports.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct PortClass {
    /// The protocol; one that has no class of its own stands for all that are counted alike.
    pub(super) protocol: Protocol,
    /// The port, if it is counted by itself.
    pub(super) named: Option<u16>,
    /// Numbers of the rules that match, in order.
    pub(super) rules: Vec<u32>,
}

/// The port table, still without verdicts.
pub(super) struct PortClasses {
    /// Each class once.
    pub(super) classes: Vec<PortClass>,
    /// By port number as in [`foobar_common::tables`]: the class. [`PORTS_LEN`] of them.
    pub(super) ports: Vec<u16>,
}

/// A protocol that stands for all that are counted as "other" (IANA: for experimentation and testing, RFC 3692).
const ANY_OTHER: Protocol = Protocol(253);

/// Sorts ports into classes. `named` are the ports that are counted by themselves. `None` if there are too many classes.
pub(super) fn classify(matchers: &[Matcher<'_>], named: &[u16]) -> Option<PortClasses> {
    let mut classes = Interner::default();
    let mut ports = vec![0u16; PORTS_LEN as usize];
    for (protocol, base) in [(Protocol::TCP, PORTS_TCP), (Protocol::UDP, PORTS_UDP)] {
        for (first, last, class) in intervals(matchers, protocol, named) {
            let number = classes.number(class)?;
            ports[base as usize + usize::from(first)..=base as usize + usize::from(last)]
                .fill(number);
        }
    }
    for number in 0..=u8::MAX {
        let protocol = Protocol(number);
        let rules: Vec<u32> = (0..)
            .zip(matchers)
            .filter(|(_, rule)| rule.has(protocol))
            .map(|(rule, _)| rule)
            .collect();
        let protocol =
            if protocol.transport() == Transport::Icmp { Protocol::ICMP } else { ANY_OTHER };
        let class = PortClass { protocol, named: None, rules };
        ports[PORTS_OTHER as usize + usize::from(number)] = classes.number(class)?;
    }
    Some(PortClasses { classes: classes.items, ports })
}

/// Cuts the ports of a protocol into intervals that the same rules match.
fn intervals(
    matchers: &[Matcher<'_>],
    protocol: Protocol,
    named: &[u16],
) -> Vec<(u16, u16, PortClass)> {
    // At which ports a rule starts or stops to match; all are below 65536 + 1.
    let mut events: Vec<(u32, u32, bool)> = Vec::new();
    let all = [PortRange { first: 0, last: u16::MAX }];
    for (rule, matcher) in (0..).zip(matchers).filter(|(_, matcher)| matcher.has(protocol)) {
        let ranges = if matcher.ports.is_empty() { &all[..] } else { matcher.ports };
        for range in ranges {
            events.push((u32::from(range.first), rule, true));
            events.push((u32::from(range.last) + 1, rule, false));
        }
    }
    events.sort_unstable();
    let end = u32::from(u16::MAX) + 1;
    let mut cuts: Vec<u32> = events.iter().map(|(at, ..)| *at).collect();
    cuts.extend(named.iter().flat_map(|port| [u32::from(*port), u32::from(*port) + 1]));
    cuts.extend([0, end]);
    cuts.sort_unstable();
    cuts.dedup();

    let mut events = events.into_iter().peekable();
    let mut matching: BTreeSet<u32> = BTreeSet::new();
    let mut intervals = Vec::with_capacity(cuts.len());
    for pair in cuts.windows(2) {
        let (first, next) = (pair[0], pair[1]);
        // Ranges of one rule do not overlap, so what ends here has begun before, unless it begins anew here.
        while let Some((_, rule, begins)) = events.next_if(|(at, ..)| *at <= first) {
            if begins {
                matching.insert(rule);
            } else {
                matching.remove(&rule);
            }
        }
        let name = u16::try_from(first).ok().filter(|port| named.contains(port));
        let class = PortClass { protocol, named: name, rules: matching.iter().copied().collect() };
        intervals.push((first as u16, (next - 1) as u16, class));
    }
    intervals
}

struct Interner<T> {
    items: Vec<T>,
    numbers: HashMap<T, u16>,
}

impl<T> Default for Interner<T> {
    fn default() -> Self {
        Interner { items: Vec::new(), numbers: HashMap::new() }
    }
}

impl<T: Clone + Eq + Hash> Interner<T> {
    fn number(&mut self, item: T) -> Option<u16> {
        if let Some(number) = self.numbers.get(&item) {
            return Some(*number);
        }
        let number = u16::try_from(self.items.len()).ok()?;
        self.items.push(item.clone());
        self.numbers.insert(item, number);
        Some(number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TCP: &[Protocol] = &[Protocol::TCP];

    fn range(first: u16, last: u16) -> PortRange {
        PortRange { first, last }
    }

    #[test]
    fn ports_of_the_same_rules_share_a_class() {
        let (a, b) = ([range(80, 80), range(443, 443), range(8000, 8099)], [range(8050, 8200)]);
        let matchers =
            [Matcher { protocols: TCP, ports: &a }, Matcher { protocols: TCP, ports: &b }];
        let table = classify(&matchers, &[443, 25]).unwrap();
        let class = |port: usize| &table.classes[usize::from(table.ports[port])];
        assert_eq!((&class(80).rules[..], class(80).named), (&[0][..], None));
        assert_eq!(table.ports[80], table.ports[8000]);
        assert_eq!((&class(443).rules[..], class(443).named), (&[0][..], Some(443)));
        assert_eq!(class(8050).rules, [0, 1]);
        assert_eq!(class(8100).rules, [1]);
        assert_eq!((&class(25).rules[..], class(25).named), (&[][..], Some(25)));
        assert_eq!(table.ports[0], table.ports[65535]);
        let udp = PORTS_UDP as usize;
        assert!(class(udp + 80).rules.is_empty());
        assert_eq!(class(udp + 80).protocol, Protocol::UDP);
    }

    #[test]
    fn neighbouring_ranges_and_the_ends_of_the_port_space() {
        let ports = [range(1, 10), range(11, 20), range(65535, 65535)];
        let table = classify(&[Matcher { protocols: TCP, ports: &ports }], &[65535]).unwrap();
        let rules = |port: usize| table.classes[usize::from(table.ports[port])].rules.len();
        assert_eq!(
            [
                rules(0),
                rules(1),
                rules(10),
                rules(11),
                rules(20),
                rules(21),
                rules(65534),
                rules(65535)
            ],
            [0, 1, 1, 1, 1, 0, 0, 1]
        );
    }

    #[test]
    fn no_protocol_means_all_and_no_port_means_all() {
        let table = classify(
            &[
                Matcher { protocols: &[], ports: &[] },
                Matcher { protocols: &[Protocol(47)], ports: &[] },
            ],
            &[],
        )
        .unwrap();
        let rules =
            |port: u32| table.classes[usize::from(table.ports[port as usize])].rules.clone();
        assert_eq!(rules(PORTS_TCP + 65535), [0]);
        assert_eq!(rules(PORTS_UDP), [0]);
        assert_eq!(rules(PORTS_OTHER + 47), [0, 1]);
        assert_eq!(rules(PORTS_OTHER + 50), [0]);
    }
}
