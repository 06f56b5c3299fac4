//! From a policy to the flat tables that the kernel programs read ([`foobar_common::tables`]).
//!
//! ```text
//! lists  ─ groups ─► sweep ─► ranges of source classes ─► index
//! rules  ─ ports ──► port classes ┬► cells
//!                  source classes ┘
//! ```

mod cells;
mod classes;
mod error;
mod groups;
mod index;
mod limits;
mod lookup;
mod packed4;
mod packed6;
mod ports;
mod sources;
mod sweep;
mod table;
mod table6;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use foobar_common::tables::{
    Capacities, Cell, Generation, Index4, Index6, IndexEntry, Limit, MODE_AUDIT, MODE_ENFORCE,
    PORT_HTTP, PORT_TLS, PortEntry, feature,
};

pub use error::CompileError;
pub use lookup::port_index;
pub use table::Table4;
pub use table6::Table6;

use self::{cells::Rows, groups::Band, packed4::Packed4, packed6::Packed6, sources::Sources};
use super::{
    labels::Labels,
    model::{Action, Mode, Policy},
    slots::Slots,
};

/// A compiled policy: one generation of the tables.
#[derive(Clone, Debug)]
pub struct Compiled {
    /// What the programs must be able to do, exactly ([`feature`]).
    pub features: u32,
    /// What is in no table.
    pub generation: Generation,
    /// Ports of incoming packets: [`foobar_common::tables::PORTS_LEN`].
    pub ports: Vec<PortEntry>,
    /// Ports of outgoing packets; `None` if those are not judged.
    pub egress_ports: Option<Vec<PortEntry>>,
    /// IPv4 addresses.
    pub v4: Arc<Table4>,
    /// IPv6 addresses.
    pub v6: Arc<Table6>,
    /// Verdicts: a row of [`Generation::stride`] for each port class, those of egress behind those of ingress.
    pub cells: Vec<Cell>,
    /// Rate limits; the first is unused.
    pub limits: Vec<Limit>,
    /// Number of counters in use.
    pub counters: u32,
    /// Slots that belonged to another port before: their connection counters are to be set to 0.
    pub reused_slots: Vec<u8>,
    needs: Capacities,
}

impl Compiled {
    /// How large the tables must be for it.
    pub fn needs(&self) -> Capacities {
        self.needs
    }

    fn measure(&self) -> Capacities {
        Capacities {
            index4: self.v4.index.len() as u32,
            classes4: Packed4::of(&self.v4, &self.shape4()).len() as u32,
            index6: self.v6.index.len() as u32,
            ranges6: Packed6::of(&self.v6, &self.shape6()).len() as u32,
            deep6: self.v6.deep.len() as u32,
            low6: self.v6.low_starts.len() as u32,
            cells: self.cells.len() as u32,
            counters: self.counters,
        }
    }
}

/// The ranges of a policy as the kernel's tables hold them.
impl Compiled {
    fn shape4(&self) -> index::Shape<u32> {
        let Index4 { base, shift, last, below } = self.generation.index4;
        index::Shape { base, shift, last, below }
    }

    /// Writes the IPv4 table, in order: calls `bucket` with each entry of the index and `slots` with the slots, some at a time.
    pub fn write_slots4(&self, bucket: impl FnMut(IndexEntry), slots: impl FnMut(&[u16])) {
        Packed4::of(&self.v4, &self.shape4()).write(bucket, slots);
    }

    fn shape6(&self) -> index::Shape<u64> {
        let Index6 { base, shift, last, below, padding: _ } = self.generation.index6;
        index::Shape { base, shift, last, below }
    }

    /// Writes the IPv6 table, in order: calls `bucket` with each entry of the index and `word` with each word.
    pub fn write_words6(&self, bucket: impl FnMut(IndexEntry), word: impl FnMut(u64)) {
        Packed6::of(&self.v6, &self.shape6()).write(bucket, word);
    }
}

/// Compiles policies one after the other. What is costly, the address tables, is kept and changed where lists changed, so
/// that one entry more among a million takes milliseconds.
pub struct Compiler {
    hz: u64,
    sources: Option<Sources>,
}

impl Compiler {
    /// A compiler for a kernel of `hz` clock ticks (jiffies) a second.
    pub fn new(hz: u64) -> Self {
        Compiler { hz, sources: None }
    }

    /// Compiles a policy. Labels and slots are only added to.
    ///
    /// The result shares its address tables with the compiler: while it is kept, the next change has to copy them.
    ///
    /// # Errors
    /// The policy does not fit the tables; see [`CompileError`]. Labels may have been added then, which does no harm.
    pub fn compile(
        &mut self,
        policy: &Policy,
        labels: &mut Labels,
        slots: &mut Slots,
    ) -> Result<Compiled, CompileError> {
        let sources = Sources::update(self.sources.take(), policy)?;
        let compiled = assemble(policy, &sources, labels, slots, self.hz);
        self.sources = Some(sources);
        compiled
    }
}

/// Compiles one policy.
///
/// # Errors
/// As [`Compiler::compile`].
pub fn compile(
    policy: &Policy,
    labels: &mut Labels,
    slots: &mut Slots,
    hz: u64,
) -> Result<Compiled, CompileError> {
    Compiler::new(hz).compile(policy, labels, slots)
}

fn assemble(
    policy: &Policy,
    sources: &Sources,
    labels: &mut Labels,
    slots: &mut Slots,
    hz: u64,
) -> Result<Compiled, CompileError> {
    let reused_slots = slots.assign(&policy.named_ports);
    let mut rows = Rows::new(policy, &sources.classes, sources.groups(), labels);
    let ports = rows.ingress(slots)?;
    let egress_ports = if policy.egress.is_active() { Some(rows.egress()?) } else { None };
    let cells = rows.cells;
    let generation = generation(policy, sources);
    let mut compiled = Compiled {
        features: features(policy, sources),
        generation,
        ports,
        egress_ports,
        v4: sources.v4.clone(),
        v6: sources.v6.clone(),
        cells,
        limits: limits::table(policy, hz),
        counters: labels.len(),
        reused_slots,
        needs: Capacities::default(),
    };
    compiled.needs = compiled.measure();
    Ok(compiled)
}

fn generation(policy: &Policy, sources: &Sources) -> Generation {
    let stride = sources.classes.len() as u32;
    let bands = &sources.groups().bands;
    let first = |band: Band| {
        (0..stride).find(|class| sources.classes.band(*class, bands) >= band).unwrap_or(stride)
    };
    let (shape4, shape6) = (sources.shape4, sources.shape6);
    Generation {
        number: policy.number,
        index6: Index6 {
            base: shape6.base,
            shift: shape6.shift,
            last: shape6.last,
            below: shape6.below,
            padding: 0,
        },
        index4: Index4 {
            base: shape4.base,
            shift: shape4.shift,
            last: shape4.last,
            below: shape4.below,
        },
        stride,
        first_blocked: first(Band::Blocked),
        first_martian: first(Band::Martian),
        mode: match policy.mode {
            Mode::Audit => MODE_AUDIT,
            Mode::Enforce => MODE_ENFORCE,
        },
        flow_epoch: policy.flow_epoch,
        choices: policy.choices.bits(),
        echo_limit: u32::from(limits::of_echo(policy)),
        packet_limit: u32::from(limits::of_packets(policy)),
        egress_default: u32::from(policy.egress.default == Action::Allow),
        padding: 0,
    }
}

fn features(policy: &Policy, sources: &Sources) -> u32 {
    let has_limit = policy.limits.packets_per_source.is_some()
        || policy.rules.iter().any(|rule| rule.limit.is_some());
    let observes = |flag| policy.observed.iter().any(|observed| observed.flags() & flag != 0);
    [
        (sources.v4.classes.iter().any(|class| *class != 0), feature::SOURCES4),
        (sources.v6.classes.iter().any(|class| *class != 0), feature::SOURCES6),
        (!sources.v6.deep.is_empty(), feature::DEEP6),
        (sources.classes.reaches(Band::Blocked, &sources.groups().bands), feature::BLOCKED),
        (has_limit, feature::LIMITS),
        (policy.egress.is_active(), feature::EGRESS),
        (observes(PORT_HTTP), feature::HTTP),
        (observes(PORT_TLS), feature::TLS),
    ]
    .into_iter()
    .filter_map(|(set, bit)| set.then_some(bit))
    .sum()
}
