//! A packet is live, or it is run through the programs on behalf of `explain` or `replay` (a traced run). Both take the same code.

use core::cell::Cell;

use aya_ebpf::helpers::bpf_jiffies64;
use foobar_common::{
    event::{TRACE_NO_CLASS, TRACE_READ_ONLY},
    flow::TICK_SHIFT,
    tables,
};

/// What a run may do, and what it found besides the verdict.
pub struct Run {
    flags: u32,
    jiffies: u64,
    class: Cell<u32>,
    /// The datagram is longer than the linear part of its frame.
    is_long: Cell<bool>,
}

impl Run {
    /// A live packet.
    #[inline(always)]
    pub fn live() -> Self {
        Run::traced(0, 0)
    }

    /// A traced run; `flags` and `jiffies` as in [`foobar_common::event::Trace`].
    #[inline(always)]
    pub fn traced(flags: u32, jiffies: u64) -> Self {
        Run { flags, jiffies, class: Cell::new(TRACE_NO_CLASS as u32), is_long: Cell::new(false) }
    }

    /// The kernel's clock in jiffies, or the time that the trace assumes.
    #[inline(always)]
    pub fn jiffies(&self) -> u64 {
        if self.jiffies != 0 {
            return self.jiffies;
        }
        // SAFETY: a helper without arguments.
        unsafe { bpf_jiffies64() }
    }

    /// The clock of flows: 2^[`TICK_SHIFT`] jiffies. Never 0, which stands for "never".
    #[inline(always)]
    pub fn ticks(&self) -> u32 {
        (self.jiffies() >> TICK_SHIFT) as u32 | 1
    }

    /// Whether flows, tokens and counters may be changed.
    #[inline(always)]
    pub fn may_write(&self) -> bool {
        self.flags & TRACE_READ_ONLY == 0
    }

    /// Tells that a source was found to be of this class.
    #[inline(always)]
    pub fn found_class(&self, class: u32) {
        self.class.set(class);
    }

    /// The class of the source, if it was looked up.
    #[inline(always)]
    pub fn class(&self) -> u16 {
        self.class.get() as u16
    }

    /// The flags of a traced run; 0 for a live packet.
    #[inline(always)]
    pub fn flags(&self) -> u32 {
        self.flags
    }

    /// The run as two numbers, for functions that are verified on their own.
    #[inline(always)]
    pub fn parts(&self) -> (u32, u64) {
        (self.flags, self.jiffies)
    }

    /// Tells that the frame has bytes outside its linear part.
    #[inline(always)]
    pub fn found_long(&self) {
        self.is_long.set(true);
    }

    /// Whether the frame has bytes outside its linear part.
    #[inline(always)]
    pub fn is_long(&self) -> bool {
        self.is_long.get()
    }

    /// What such a function found, as one number: the cell, above it the class of the source, and whether the frame is long.
    #[inline(always)]
    pub fn pack(&self, cell: tables::Cell) -> u64 {
        cell.0 as u64 | (self.class() as u64) << 32 | (self.is_long.get() as u64) << 48
    }

    /// Takes over what such a function found.
    #[inline(always)]
    pub fn unpack(&self, packed: u64) -> tables::Cell {
        self.class.set((packed >> 32) as u16 as u32);
        self.is_long.set(packed >> 48 & 1 != 0);
        tables::Cell(packed as u32)
    }
}
