//! The generation of the policy that is in force. It is read once a packet, so no packet sees half of one policy and half of another.

use core::ptr::read_volatile;

use foobar_common::{
    reason::Reason,
    tables::{Cell, Generation, LIMITS_LEN, Limit, MODE_AUDIT, PORTS_LEN, PortEntry, Root},
};

use crate::{
    settings,
    tables::{CELLS, EGRESS_PORTS, LIMITS, PORTS, ROOT, Table, first},
};

/// A view of the policy in force.
pub struct Policy {
    /// The first two words of [`Root`], read at once: `active`, and above it `sampled`.
    state: u64,
    generation: *const Generation,
}

impl Policy {
    /// The policy in force now.
    #[inline(always)]
    pub fn current() -> Self {
        let root = ROOT.start();
        // SAFETY: the table lives as long as the program, at a multiple of 8 bytes; user space writes each word in one store.
        let state = unsafe { read_volatile(root.cast::<u64>()) };
        let state = if cfg!(target_endian = "big") { state.rotate_left(32) } else { state };
        Self::at(root, state)
    }

    /// The policy that a packet was given at first.
    #[inline(always)]
    pub fn of(active: u32) -> Self {
        Self::at(ROOT.start(), active as u64 & 1)
    }

    #[inline(always)]
    fn at(root: *const Root, state: u64) -> Self {
        // SAFETY: `active` is 0 or 1, and there are two generations.
        let generation = unsafe {
            (&raw const (*root).generations).cast::<Generation>().add((state & 1) as usize)
        };
        Policy { state, generation }
    }

    /// 0 or 1: which of the two generations this is.
    #[inline(always)]
    pub fn active(&self) -> u32 {
        self.state as u32 & 1
    }

    /// What of the policy is not in a table.
    #[inline(always)]
    pub fn generation(&self) -> &Generation {
        // SAFETY: it is not written while it is active.
        unsafe { &*self.generation }
    }

    /// Which packets are sampled: [`foobar_common::tables::SAMPLE_DROPS`] and so on.
    #[inline(always)]
    pub fn sampled(&self) -> u32 {
        (self.state >> 32) as u32
    }

    /// Whether the tracing programs of this instance count.
    #[inline(always)]
    pub fn observing() -> bool {
        // SAFETY: the table lives as long as the program.
        unsafe { read_volatile(&raw const (*ROOT.start()).observing) != 0 }
    }

    /// Flows of another epoch do not count.
    #[inline(always)]
    pub fn epoch(&self) -> u16 {
        self.generation().flow_epoch as u16
    }

    /// Whether packets that are to be dropped pass all the same.
    #[inline(always)]
    pub fn audits(&self) -> bool {
        self.generation().mode == MODE_AUDIT
    }

    /// Whether this choice was made: a bit of [`foobar_common::tables::choice`].
    #[inline(always)]
    pub fn chooses(&self, choice: u32) -> bool {
        self.generation().choices & choice != 0
    }

    /// What a destination port means to packets that arrive; `index` as in [`foobar_common::tables::PORTS_LEN`].
    #[inline(always)]
    pub fn port(&self, index: u32) -> PortEntry {
        self.entry(&PORTS, index)
    }

    /// What a destination port means to packets that leave.
    #[inline(always)]
    pub fn egress_port(&self, index: u32) -> PortEntry {
        self.entry(&EGRESS_PORTS, index)
    }

    /// The same for a port of TCP or UDP: a position whose bounds the verifier knows, since it saw how it was read, so that nothing is compared.
    #[inline(always)]
    pub fn port_of(&self, position: u64) -> &PortEntry {
        let first = first(self.active(), PORTS_LEN);
        // SAFETY: within the table, as the verifier makes sure; the entry is not written while its generation is active.
        unsafe { &*PORTS.start().add((first + position) as usize) }
    }

    #[inline(always)]
    fn entry<const MOST: usize>(&self, table: &Table<PortEntry, MOST>, index: u32) -> PortEntry {
        table.of(self.active(), index as u64, settings::ports()).unwrap_or_default()
    }

    /// The verdict for a class of ports and a class of sources.
    #[inline(always)]
    pub fn cell(&self, port_class: u16, source_class: u64) -> Option<Cell> {
        let index = port_class as u64 * self.generation().stride as u64 + source_class;
        CELLS.of(self.active(), index, settings::cells()).map(Cell)
    }

    /// Whether sources of this class are on a blocklist, or martian.
    #[inline(always)]
    pub fn blocks(&self, source_class: u32) -> bool {
        source_class >= self.generation().first_blocked
    }

    /// Why sources of a blocked class are.
    #[inline(always)]
    pub fn why_blocked(&self, source_class: u32) -> Reason {
        if source_class >= self.generation().first_martian {
            Reason::Martian
        } else {
            Reason::Blocklist
        }
    }

    /// The parameters of a rate limit.
    #[inline(always)]
    pub fn limit(&self, number: u32) -> Option<Limit> {
        LIMITS.of(self.active(), number as u64, LIMITS_LEN)
    }
}
