//! Which ports get counters of their own.

use super::Config;

/// Most ports that are told apart in metrics; the others are counted together as "other".
pub const MAX_NAMED_PORTS: usize = 16;

impl Config {
    /// The ports that metrics tell apart: those of `[metrics] ports` if it is there, else those that are observed or named by
    /// a rule, single ports before ranges, as many as fit. Behind them, the observed ports that are not among them: what is
    /// observed is counted by port.
    pub fn named_ports(&self) -> Vec<u16> {
        let mut named = match &self.metrics.ports {
            Some(ports) => ports.clone(),
            None => self.candidate_ports().0,
        };
        for observed in self.observe.iter().filter(|observed| observed.flags() != 0) {
            if !named.contains(&observed.port) {
                named.push(observed.port);
            }
        }
        named
    }

    /// The ports that are named by themselves without `[metrics] ports`, and whether some did not fit.
    pub(super) fn candidate_ports(&self) -> (Vec<u16>, bool) {
        let mut named: Vec<u16> = Vec::new();
        let mut all_fit = true;
        let served = |port: u16| {
            self.rules.iter().any(|rule| rule.ports.iter().any(|range| range.contains(port)))
        };
        let observed =
            self.observe.iter().map(|observed| observed.port).filter(|port| served(*port));
        let ranges = || self.rules.iter().flat_map(|rule| &rule.ports);
        let single = ranges().filter(|range| range.count() == 1).map(|range| range.first);
        for port in observed.chain(single) {
            if !named.contains(&port) {
                if named.len() < MAX_NAMED_PORTS {
                    named.push(port);
                } else {
                    all_fit = false;
                }
            }
        }
        for range in ranges().filter(|range| range.count() > 1) {
            let new = || (range.first..=range.last).filter(|port| !named.contains(port));
            if new().take(MAX_NAMED_PORTS + 1).count() + named.len() <= MAX_NAMED_PORTS {
                let new: Vec<_> = new().collect();
                named.extend(new);
            } else {
                all_fit = false;
            }
        }
        (named, all_fit)
    }
}
