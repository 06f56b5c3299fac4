//! Cells: the verdict of each class of ports for each class of addresses.

use foobar_common::{
    counters::Transport,
    reason::Reason,
    tables::{Cell, PORT_SERVED, PORT_TLS, PORT_UNIFORM, PortEntry},
};

use super::{
    CompileError,
    classes::Classes,
    groups::{Band, Groups},
    limits,
    ports::{Matcher, PortClass, PortClasses, classify},
};
use crate::policy::{
    labels::{Label, Labels},
    model::{Action, Peers, Policy},
    protocol::Protocol,
    slots::Slots,
};

/// Most cells: 16 MiB a generation.
const MAX_CELLS: usize = 1 << 22;

/// Turns port classes into rows of cells.
pub(super) struct Rows<'c> {
    policy: &'c Policy,
    classes: &'c Classes,
    groups: &'c Groups,
    labels: &'c mut Labels,
    /// Whether any address is on a blocklist.
    blocks_someone: bool,
    /// Row after row.
    pub(super) cells: Vec<Cell>,
}

/// Whom a rule is about.
enum Matches {
    All,
    Groups(Vec<u32>),
}

/// What a rule does with the packets of a port class.
struct RuleCell {
    matches: Matches,
    cell: Cell,
}

impl<'c> Rows<'c> {
    pub(super) fn new(
        policy: &'c Policy,
        classes: &'c Classes,
        groups: &'c Groups,
        labels: &'c mut Labels,
    ) -> Self {
        let blocks_someone = classes.reaches(Band::Blocked, &groups.bands);
        Rows { policy, classes, groups, labels, blocks_someone, cells: Vec::new() }
    }

    /// The port table of incoming packets.
    pub(super) fn ingress(&mut self, slots: &Slots) -> Result<Vec<PortEntry>, CompileError> {
        let rules = &self.policy.rules;
        let matchers: Vec<_> = rules
            .iter()
            .map(|rule| Matcher { protocols: &rule.protocols, ports: &rule.ports })
            .collect();
        let named = &self.policy.named_ports;
        let ports = classify(&matchers, named).ok_or(CompileError::TooManyPortClasses)?;
        let rows = ports
            .classes
            .iter()
            .map(|class| self.ingress_row(class))
            .collect::<Result<Vec<_>, _>>()?;
        let mut entries = entries(&ports, &rows);
        for port in named {
            // The same slot for both transports; the kernel counts the connections of TCP there.
            for protocol in [Protocol::TCP, Protocol::UDP] {
                entries[super::port_index(protocol, *port)].slot = slots.slot(*port);
            }
        }
        for observed in &self.policy.observed {
            entries[super::port_index(Protocol::TCP, observed.port)].flags |= observed.flags();
            // HTTP/3: TLS within QUIC.
            let quic = observed.flags() & PORT_TLS;
            entries[super::port_index(Protocol::UDP, observed.port)].flags |= quic;
        }
        Ok(entries)
    }

    /// The port table of outgoing packets.
    pub(super) fn egress(&mut self) -> Result<Vec<PortEntry>, CompileError> {
        let rules = &self.policy.egress.rules;
        let matchers: Vec<_> = rules
            .iter()
            .map(|rule| Matcher { protocols: &rule.protocols, ports: &rule.ports })
            .collect();
        let ports = classify(&matchers, &[]).ok_or(CompileError::TooManyPortClasses)?;
        let rows = ports
            .classes
            .iter()
            .map(|class| self.egress_row(class))
            .collect::<Result<Vec<_>, _>>()?;
        Ok(entries(&ports, &rows))
    }

    fn ingress_row(&mut self, port: &PortClass) -> Result<PortEntry, CompileError> {
        let policy = self.policy;
        if port.rules.is_empty() {
            // Dropped for whom ever, so nobody is looked up, and a flood of closed ports stays cheap.
            let cell = Cell::drop(self.counter(port, None, no_rule(port.protocol))?);
            return self.row(PortEntry::default(), |_| cell);
        }
        let mut rules = Vec::with_capacity(port.rules.len());
        for number in &port.rules {
            let rule = &policy.rules[*number as usize];
            let counter = self.counter(port, Some(&rule.name), Reason::Rule)?;
            let cell = Cell::pass(counter, limits::of_rule(policy, *number));
            rules.push(RuleCell { matches: self.matches(&rule.from), cell });
        }
        let blocked = Cell::drop(self.counter(port, None, Reason::Blocklist)?);
        let martian = Cell::drop(self.counter(port, None, Reason::Martian)?);
        let otherwise = Cell::drop(self.counter(port, None, Reason::SourceNotAllowed)?);
        let (classes, bands) = (self.classes, &self.groups.bands);
        let served = PortEntry { flags: PORT_SERVED, ..PortEntry::default() };
        // This server's own addresses are no source, but only where sources are looked up anyway: a port that is open to all
        // while nobody is blocked needs no look-up.
        let tells_sources_apart =
            self.blocks_someone || rules.iter().any(|rule| !matches!(rule.matches, Matches::All));
        self.row(served, |class| match classes.band(class, bands) {
            Band::Martian if tells_sources_apart => martian,
            Band::Blocked => blocked,
            Band::Open | Band::Martian => first_match(classes, class, &rules).unwrap_or(otherwise),
        })
    }

    fn egress_row(&mut self, port: &PortClass) -> Result<PortEntry, CompileError> {
        let policy = self.policy;
        let mut rules = Vec::with_capacity(port.rules.len());
        for number in &port.rules {
            let rule = &policy.egress.rules[*number as usize];
            let cell = self.egress_cell(port, Some(&rule.name), rule.action)?;
            rules.push(RuleCell { matches: self.matches(&rule.to), cell });
        }
        let otherwise = self.egress_cell(port, None, policy.egress.default)?;
        let classes = self.classes;
        self.row(PortEntry::default(), |class| {
            first_match(classes, class, &rules).unwrap_or(otherwise)
        })
    }

    fn egress_cell(
        &mut self,
        port: &PortClass,
        rule: Option<&str>,
        action: Action,
    ) -> Result<Cell, CompileError> {
        Ok(match action {
            Action::Allow => Cell::pass(self.counter(port, rule, Reason::Egress)?, 0),
            Action::Deny => Cell::drop(self.counter(port, rule, Reason::EgressDenied)?),
        })
    }

    /// Adds the row of a port class; gives the entry that all its ports get.
    fn row(
        &mut self,
        entry: PortEntry,
        cell: impl Fn(u32) -> Cell,
    ) -> Result<PortEntry, CompileError> {
        let stride = self.classes.len();
        let start = self.cells.len();
        if start + stride > MAX_CELLS {
            return Err(CompileError::TooManyCells { limit: MAX_CELLS });
        }
        self.cells.extend((0..stride as u32).map(cell));
        let row = &self.cells[start..];
        let is_uniform = row.iter().all(|cell| *cell == row[0]);
        let class = u16::try_from(start / stride).map_err(|_| CompileError::TooManyPortClasses)?;
        Ok(PortEntry {
            class,
            cell: row[0],
            flags: entry.flags | if is_uniform { PORT_UNIFORM } else { 0 },
            ..entry
        })
    }

    fn matches(&self, peers: &Peers) -> Matches {
        match peers {
            Peers::Any => Matches::All,
            Peers::Lists(lists) => {
                Matches::Groups(lists.iter().filter_map(|list| self.groups.of_list(list)).collect())
            }
        }
    }

    fn counter(
        &mut self,
        port: &PortClass,
        rule: Option<&str>,
        reason: Reason,
    ) -> Result<u16, CompileError> {
        let label = Label {
            rule: rule.map(str::to_owned),
            reason,
            port: port.named,
            transport: port.protocol.transport(),
        };
        self.labels.number(label).ok_or(CompileError::TooManyCounters)
    }
}

/// The reason to drop what no rule names.
fn no_rule(protocol: Protocol) -> Reason {
    match protocol.transport() {
        Transport::Tcp | Transport::Udp => Reason::NoRule,
        Transport::Icmp => Reason::IcmpType,
        Transport::Other => Reason::Protocol,
    }
}

fn first_match(classes: &Classes, class: u32, rules: &[RuleCell]) -> Option<Cell> {
    let matches = |rule: &&RuleCell| match &rule.matches {
        Matches::All => true,
        Matches::Groups(groups) => groups.iter().any(|group| classes.contains(class, *group)),
    };
    rules.iter().find(matches).map(|rule| rule.cell)
}

fn entries(ports: &PortClasses, rows: &[PortEntry]) -> Vec<PortEntry> {
    ports.ports.iter().map(|class| rows[usize::from(*class)]).collect()
}
