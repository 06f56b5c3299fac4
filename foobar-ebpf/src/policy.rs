//! The generation of the policy that is in force. It is read once a packet, so no packet sees half of one policy and half of another.

use core::ptr::read_volatile;

use aya_ebpf::maps::Array;
use foobar_common::{
    reason::Reason,
    tables::{
        Cell, DEEP, Generation, IndexEntry, LIMITS_LEN, Limit, MODE_AUDIT, PORTS_LEN, PortEntry,
        Root, feature,
    },
};

use crate::{
    maps::{
        CELLS, CLASSES4, CLASSES6, DEEP6, EGRESS_PORTS, INDEX4, INDEX6, LIMITS, LOW_CLASSES6,
        LOW_STARTS6, PORTS, ROOT, STARTS4, STARTS6, row_u16, row_u32, row_u64,
    },
    settings,
};

/// The class that no cell has: a look-up that failed ends in a drop.
const NO_CLASS: u32 = u32::MAX;
/// More steps than a binary search over `u32` positions can take.
const SEARCH_STEPS: usize = 32;

/// A view of the policy in force.
pub struct Policy {
    /// The first two words of [`Root`], read at once: `active`, and above it `sampled`.
    state: u64,
    generation: *const Generation,
}

impl Policy {
    /// The policy in force now.
    #[inline(always)]
    pub fn current() -> Option<Self> {
        let root = ROOT.get_ptr(0)?;
        // SAFETY: the element of an array map lives as long as the map, at a multiple of 8 bytes; user space writes each word in
        // one store.
        let state = unsafe { read_volatile(root.cast::<u64>()) };
        let state = if cfg!(target_endian = "big") { state.rotate_left(32) } else { state };
        Some(Self::at(root, state))
    }

    /// The policy that a packet was given at first.
    #[inline(always)]
    pub fn of(active: u32) -> Option<Self> {
        Some(Self::at(ROOT.get_ptr(0)?, active as u64 & 1))
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
        let Some(root) = ROOT.get_ptr(0) else {
            return false;
        };
        // SAFETY: the element of an array map lives as long as the map.
        unsafe { read_volatile(&raw const (*root).observing) != 0 }
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

    #[inline(always)]
    fn entry(&self, map: &Array<PortEntry>, index: u32) -> PortEntry {
        match map.get_ptr(self.active() * PORTS_LEN + index) {
            // SAFETY: the element of an array map lives as long as the map.
            Some(entry) => unsafe { *entry },
            None => PortEntry::default(),
        }
    }

    /// The verdict for a class of ports and a class of sources.
    #[inline(always)]
    pub fn cell(&self, port_class: u16, source_class: u32) -> Option<Cell> {
        let index = port_class as u32 * self.generation().stride + source_class;
        if index >= settings::cells() {
            return None;
        }
        row_u32(&CELLS, self.active() * settings::cells() + index).map(Cell)
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
        let limit = LIMITS.get_ptr(self.active() * LIMITS_LEN + (number & (LIMITS_LEN - 1)))?;
        // SAFETY: the element of an array map lives as long as the map.
        Some(unsafe { *limit })
    }

    /// The class of an IPv4 source, given in host byte order.
    #[inline(always)]
    pub fn class4(&self, address: u32) -> u32 {
        if !settings::has(feature::SOURCES4) {
            return 0;
        }
        let index = &self.generation().index4;
        if address < index.base {
            return index.below;
        }
        let bucket = clamp((address - index.base) >> (index.shift & 31), index.last);
        let Some(entry) = bucket_of(&INDEX4, self.active() * settings::index4() + bucket) else {
            return NO_CLASS;
        };
        if entry.inside == 0 {
            return entry.value;
        }
        if entry.inside > 3 {
            return class_in_bucket4(self.active(), entry.value, entry.inside, address);
        }
        let mut position = self.active() * settings::ranges4() + entry.value;
        let half = (entry.inside + 1) >> 1;
        if starts_by(position + half, address) {
            position += half;
        }
        if entry.inside > 1 && starts_by(position + 1, address) {
            position += 1;
        }
        match row_u16(&CLASSES4, position) {
            Some(class) => class as u32,
            None => NO_CLASS,
        }
    }

    /// The class of an IPv6 source, given as two words in host byte order.
    #[inline(always)]
    pub fn class6(&self, high: u64, low: u64) -> u32 {
        if !settings::has(feature::SOURCES6) {
            return 0;
        }
        let class = self.class_of_upper(high);
        if settings::has(feature::DEEP6) && class & DEEP != 0 && class != NO_CLASS {
            return self.class_of_lower(class & !DEEP, low);
        }
        class
    }

    #[inline(always)]
    fn class_of_upper(&self, high: u64) -> u32 {
        let index = &self.generation().index6;
        if high < index.base {
            return index.below;
        }
        let bucket = (high - index.base) >> (index.shift & 63);
        let bucket = if bucket > index.last as u64 { index.last } else { bucket as u32 };
        let Some(entry) = bucket_of(&INDEX6, self.active() * settings::index6() + bucket) else {
            return NO_CLASS;
        };
        if entry.inside == 0 {
            return entry.value;
        }
        let base = self.active() * settings::ranges6();
        let position = search(entry, |position| Some(row_u64(&STARTS6, base + position)? <= high));
        row_u32(&CLASSES6, base + position).unwrap_or(NO_CLASS)
    }

    /// The class of an address in a /64 that holds longer prefixes.
    #[inline(always)]
    fn class_of_lower(&self, deep: u32, low: u64) -> u32 {
        let Some(entry) = bucket_of(&DEEP6, self.active() * settings::deep6() + deep) else {
            return NO_CLASS;
        };
        if entry.inside == 0 {
            return entry.value;
        }
        let base = self.active() * settings::low6();
        let position =
            search(entry, |position| Some(row_u64(&LOW_STARTS6, base + position)? <= low));
        match row_u16(&LOW_CLASSES6, base + position) {
            Some(class) => class as u32,
            None => NO_CLASS,
        }
    }
}

/// Whether the range at this position of the table starts at or before the address.
#[inline(always)]
fn starts_by(position: u32, address: u32) -> bool {
    match row_u32(&STARTS4, position) {
        Some(start) => start <= address,
        None => false,
    }
}

/// The class of an address in a bucket of the IPv4 index that holds the start of a range. A global function: the kernel verifies it
/// once, for any arguments.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn class_in_bucket4(active: u32, value: u32, inside: u32, address: u32) -> u32 {
    let base = (active & 1) * settings::ranges4();
    let position = search(IndexEntry { value, inside }, |position| {
        Some(row_u32(&STARTS4, base + position)? <= address)
    });
    match row_u16(&CLASSES4, base + position) {
        Some(class) => class as u32,
        None => NO_CLASS,
    }
}

#[inline(always)]
fn clamp(value: u32, most: u32) -> u32 {
    if value > most { most } else { value }
}

#[inline(always)]
fn bucket_of(map: &Array<IndexEntry>, index: u32) -> Option<IndexEntry> {
    let entry = map.get_ptr(index)?;
    // SAFETY: the element of an array map lives as long as the map.
    Some(unsafe { *entry })
}

/// Position of the last range in the bucket that does not start behind the address.
#[inline(always)]
fn search(entry: IndexEntry, starts_before: impl Fn(u32) -> Option<bool>) -> u32 {
    let mut position = entry.value;
    let mut left = entry.inside;
    for _ in 0..SEARCH_STEPS {
        if left == 0 {
            break;
        }
        let half = (left + 1) >> 1;
        match starts_before(position + half) {
            Some(true) => position += half,
            Some(false) => {}
            None => break,
        }
        // One more than is left where the range does start behind the address. Both ways go on with the same numbers, so the
        // verifier need not follow both.
        left >>= 1;
    }
    position
}
