//! Which class of sources an address is in: the index gives the bucket, a binary search the range in it.
//!
//! A large table is in no cache, and what a look-up costs is the number of lines and pages that it meets. So ranges are small
//! there: 16 bits for IPv4 ([`foobar_common::tables::SLOT_SHIFT`]), and one word for start and class for IPv6
//! ([`foobar_common::tables::word6`]).

use aya_ebpf::maps::Array;
use foobar_common::tables::{
    DEEP, IndexEntry, MANY_CLASSES, MARK_DEEP, SLOT_SHIFT, WORD_SHIFT6, feature, key6,
};

use crate::{
    maps::{
        CLASSES4, CLASSES6, DEEP6, INDEX4, INDEX6, LOW_CLASSES6, LOW_STARTS6, STARTS4, STARTS6,
        row_u16, row_u32, row_u64,
    },
    policy::Policy,
    settings,
};

/// The class that no cell has: a look-up that failed ends in a drop.
const NO_CLASS: u32 = u32::MAX;
/// More steps than a binary search over `u32` positions can take.
const SEARCH_STEPS: usize = 32;

impl Policy {
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
        // Read again, where the compiler would keep it all over the look-up: frames in a chain of calls have 512 bytes together, which
        // Linux before 6.9 counts in units of 32, and this one is the first.
        // SAFETY: it is not written while it is active.
        let index = unsafe { core::ptr::read_volatile(index) };
        let (offset, shift) = (address.wrapping_sub(index.base), index.shift & 31);
        let bucket = clamp(offset >> shift, index.last);
        if shift <= SLOT_SHIFT {
            // Behind the last bucket it is larger than any start.
            let offset = offset - (bucket << shift);
            let first = self.active() * settings::classes4() + entry.value;
            return if entry.inside & MANY_CLASSES == 0 {
                class_in_slots4(first, entry.inside, offset)
            } else {
                class_in_many_slots4(first, entry.inside, offset)
            };
        }
        let first = self.active() * settings::ranges4() + entry.value;
        class_in_bucket4(first, entry.inside, address)
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
        let (offset, shift) = (high - index.base, index.shift & 63);
        let bucket = offset >> shift;
        let bucket = if bucket > index.last as u64 { index.last } else { bucket as u32 };
        let Some(entry) = bucket_of(&INDEX6, self.active() * settings::index6() + bucket) else {
            return NO_CLASS;
        };
        if entry.inside == 0 {
            return entry.value;
        }
        // One search serves both kinds of table: what is compared differs.
        // One search serves both kinds of table: what is compared differs.
        let key =
            if shift <= WORD_SHIFT6 { key6(offset - ((bucket as u64) << shift)) } else { high };
        let base = self.active() * settings::ranges6();
        let position = search(entry, |position| Some(row_u64(&STARTS6, base + position)? <= key));
        // Read again, for it is not kept meanwhile: a frame here is the last of a chain that leaves it 32 bytes.
        if self.generation().index6.shift > WORD_SHIFT6 {
            let base = self.active() * settings::classes6();
            return row_u32(&CLASSES6, base + position).unwrap_or(NO_CLASS);
        }
        let position = self.active() * settings::ranges6() + position;
        let class = class_of_word(position);
        if !settings::has(feature::DEEP6) || class != MARK_DEEP {
            return class;
        }
        DEEP | class_of_word(position - 1) << 16 | class_of_word(position - 2)
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

// Global functions: the kernel verifies each once, for any arguments. `first` is the position, in the table of both generations, of the
// range that holds the first address of the bucket. Few arguments keep their frames small: all frames together have 512 bytes.

/// The class of an address in a bucket of the IPv4 index that holds the start of a range.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn class_in_bucket4(first: u32, inside: u32, address: u32) -> u32 {
    let position = search(IndexEntry { value: first, inside }, |position| {
        Some(row_u32(&STARTS4, position)? <= address)
    });
    let class = position_of_class(position, settings::ranges4(), settings::classes4());
    match row_u16(&CLASSES4, class) {
        Some(class) => class as u32,
        None => NO_CLASS,
    }
}

/// The class of an address in a bucket of slots in which two classes take turns, given where in the bucket it is.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn class_in_slots4(first: u32, inside: u32, offset: u32) -> u32 {
    // Slot `first + 1 + n` is the start of range n; the classes stand in front, of which ranges take turns.
    let position = search(IndexEntry { value: first + 1, inside }, |position| {
        Some(row_u16(&CLASSES4, position)? as u32 <= offset)
    });
    match row_u16(&CLASSES4, first + ((position - first - 1) & 1)) {
        Some(class) => class as u32,
        None => NO_CLASS,
    }
}

/// The same where there are more classes: `class, start, class, start, class, ...`. A function of its own, for both in one would need
/// a larger frame.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn class_in_many_slots4(first: u32, inside: u32, offset: u32) -> u32 {
    let mut class = first;
    let mut left = inside & !MANY_CLASSES;
    // As `search`, two slots at a time: a start stands in front of its class.
    for _ in 0..SEARCH_STEPS {
        if left == 0 {
            break;
        }
        let next = class + 2 * ((left + 1) >> 1);
        match row_u16(&CLASSES4, next - 1) {
            Some(start) if start as u32 <= offset => class = next,
            Some(_) => {}
            None => break,
        }
        left >>= 1;
    }
    match row_u16(&CLASSES4, class) {
        Some(class) => class as u32,
        None => NO_CLASS,
    }
}

#[inline(always)]
fn class_of_word(position: u32) -> u32 {
    match row_u64(&STARTS6, position) {
        Some(word) => word as u32 & 0xffff,
        None => 0,
    }
}

/// Starts and classes of a generation are equally many, but their tables may be of different sizes.
#[inline(always)]
fn position_of_class(position: u32, ranges: u32, classes: u32) -> u32 {
    if position >= ranges { position - ranges + classes } else { position }
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
