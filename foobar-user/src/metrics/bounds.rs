//! Which ports, rules and lists have series of their own, so that no configuration makes the page grow without end.

use std::collections::BTreeSet;
use std::fmt;

use super::snapshot::{Connections, Port, Snapshot};

/// Ports with series of their own.
pub const MAX_PORTS: usize = 16;
/// Rules with a series of their own, incoming and outgoing each.
pub const MAX_RULES: usize = 64;
/// Lists with series of their own.
pub const MAX_LISTS: usize = 64;
/// The value of a label that stands for all others.
pub const OTHER: &str = "other";

/// A value of the label `port`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PortLabel {
    /// A port with series of its own.
    Named(u16),
    /// All other ports, and packets without ports.
    Other,
}

impl fmt::Display for PortLabel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PortLabel::Named(port) => write!(f, "{port}"),
            PortLabel::Other => f.write_str(OTHER),
        }
    }
}

/// The ports of a page.
pub struct Ports {
    /// Those that rules of the policy in force name, once each.
    pub named: Vec<Port>,
    /// Connections of the ports without series of their own.
    pub other: Connections,
    /// Named by an earlier policy and counted since: their series go on, as a sum over all ports would go back otherwise.
    retired: Vec<u16>,
    /// Named by the policy in force, without series of their own.
    crowded_out: Vec<u16>,
}

impl Ports {
    /// Hands out [`MAX_PORTS`] names: first to the ports of the policy in force, then to earlier ones that have counted
    /// something. An earlier port for which there is no room loses its series: as part of `other` it would look like a burst.
    pub fn of(snapshot: &Snapshot) -> Self {
        let mut ports = Ports {
            named: Vec::new(),
            other: snapshot.other,
            retired: Vec::new(),
            crowded_out: Vec::new(),
        };
        for port in &snapshot.ports {
            if let Some(known) = ports.named.iter_mut().find(|known| known.number == port.number) {
                known.tcp |= port.tcp;
                known.udp |= port.udp;
            } else if ports.named.len() < MAX_PORTS {
                ports.named.push(*port);
            } else if !ports.crowded_out.contains(&port.number) {
                ports.crowded_out.push(port.number);
                ports.other += port.connections;
            }
        }
        for (number, meaning) in snapshot.meanings.assigned() {
            let Some(port) = meaning.port else { continue };
            let counted = [&snapshot.counters.ingress, &snapshot.counters.ingress_audited]
                .iter()
                .any(|counters| counters.get(number).is_some_and(|counter| counter.packets > 0));
            if counted && !ports.knows(port) && ports.named.len() + ports.retired.len() < MAX_PORTS
            {
                ports.retired.push(port);
            }
        }
        ports
    }

    fn knows(&self, port: u16) -> bool {
        self.is_in_force(port) || self.retired.contains(&port) || self.crowded_out.contains(&port)
    }

    /// Whether the policy in force names the port and it has series of its own.
    pub fn is_in_force(&self, port: u16) -> bool {
        self.named.iter().any(|named| named.number == port)
    }

    /// Under which label a counter of this port (`None`: of no named port) is shown, if at all.
    pub fn label(&self, port: Option<u16>) -> Option<PortLabel> {
        match port {
            None => Some(PortLabel::Other),
            Some(port) if self.crowded_out.contains(&port) => Some(PortLabel::Other),
            Some(port) if self.knows(port) => Some(PortLabel::Named(port)),
            Some(_) => None,
        }
    }
}

/// The names that have series of their own, each once and in their order, and `other` behind them if some have not.
pub struct Names<'a> {
    own: Vec<&'a str>,
    rest: BTreeSet<&'a str>,
}

impl<'a> Names<'a> {
    /// Gives the first `most` names series of their own.
    pub fn new(names: impl IntoIterator<Item = &'a str>, most: usize) -> Self {
        let mut bounded = Names { own: Vec::new(), rest: BTreeSet::new() };
        for name in names {
            if bounded.own.contains(&name) {
                continue;
            }
            // A name that is itself "other" shares the series of those behind the bound.
            if bounded.own.len() < most && name != OTHER {
                bounded.own.push(name);
            } else {
                bounded.rest.insert(name);
            }
        }
        bounded
    }

    /// All values of the label.
    pub fn labels(&self) -> impl Iterator<Item = &'a str> {
        let other = (!self.rest.is_empty()).then_some(OTHER);
        self.own.iter().copied().chain(other)
    }

    /// The position in [`Names::labels`] of the label that a name is shown under.
    pub fn position(&self, name: &str) -> Option<usize> {
        let own = self.own.iter().position(|own| *own == name);
        own.or_else(|| self.rest.contains(name).then_some(self.own.len()))
    }
}
