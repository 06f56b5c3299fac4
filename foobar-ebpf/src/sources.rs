//! Which class of sources an address is in: the index gives the bucket, a binary search the range in it.
//!
//! A large table is in no cache, and what a look-up costs is the number of lines and pages that it meets. So ranges are small
//! there: 16 bits for IPv4 ([`foobar_common::tables::SLOT_SHIFT`]), and one word for start and class for IPv6
//! ([`foobar_common::tables::word6`]).

use foobar_common::tables::{DEEP, Interval, MANY_CLASSES, MARK_DEEP, feature, key6, most};

use crate::{
    policy::Policy,
    settings,
    tables::{CLASSES4, DEEP6, INDEX4, INDEX6, LOW_CLASSES6, LOW_STARTS6, STARTS6, first},
};

/// The class that no cell has: a look-up that failed ends in a drop.
const NO_CLASS: u32 = u32::MAX;
/// As many steps as a binary search over the longest table can take.
const SEARCH_STEPS: u32 = most::STARTS6.ilog2() + 1;

/// What the upper half of an IPv6 address says.
enum Upper {
    /// The class.
    Class(u32),
    /// That longer prefixes decide, by the entry of this number.
    Deep(u32),
    /// The same, and the number stands in front of this position of `STARTS6`.
    DeepAt(u64),
}

impl Upper {
    /// As an index has it: a class, or a number with the bit [`DEEP`].
    #[inline(always)]
    fn of(class: u32) -> Self {
        if settings::has(feature::DEEP6) && class & DEEP != 0 {
            Upper::Deep(class & !DEEP)
        } else {
            Upper::Class(class)
        }
    }
}

impl Policy {
    /// The class of an IPv4 source, given in host byte order.
    ///
    /// All numbers have 64 bits: those of 32 cost two instructions more wherever they are made.
    #[inline(always)]
    pub fn class4(&self, address: u32) -> u64 {
        if !settings::has(feature::SOURCES4) {
            return 0;
        }
        let index = &self.generation().index4;
        let (address, base) = (address as u64, index.base as u64);
        if address < base {
            return index.below as u64;
        }
        let (offset, shift) = (address - base, index.shift & 31);
        let bucket = clamp(offset >> shift, index.last);
        let position = first(self.active(), settings::index4()) + bucket;
        let Some(entry) = INDEX4.find(position, settings::index4()) else {
            return NO_CLASS as u64;
        };
        // SAFETY: an element of the table, which is not written while it is active; an interval is another view of it.
        let (entry, interval) = unsafe { (&*entry, &*entry.cast::<Interval>()) };
        // Behind the last bucket it is larger than any start.
        let offset = offset - (bucket << shift);
        if let Some(class) = interval.class(offset) {
            return class as u64;
        }
        let first = first(self.active(), settings::classes4()) as u32 + entry.value;
        if entry.inside & MANY_CLASSES == 0 {
            class_in_slots4(first, entry.inside, offset as u32) as u64
        } else {
            class_in_many_slots4(first, entry.inside, offset as u32) as u64
        }
    }

    /// The class of an IPv6 source, given as two words in host byte order.
    #[inline(always)]
    pub fn class6(&self, high: u64, low: u64) -> u32 {
        if !settings::has(feature::SOURCES6) {
            return 0;
        }
        match self.upper6(high) {
            Upper::Class(class) => class,
            Upper::Deep(number) => self.class_of_lower(number, low),
            Upper::DeepAt(position) => {
                let number = class_of_word(position - 1) << 16 | class_of_word(position - 2);
                self.class_of_lower(number, low)
            }
        }
    }

    /// The class of an IPv6 source by its upper half, in host byte order; `None` if that does not decide.
    #[inline(always)]
    pub fn class6_of_upper(&self, high: u64) -> Option<u32> {
        if !settings::has(feature::SOURCES6) {
            return Some(0);
        }
        match self.upper6(high) {
            Upper::Class(class) => Some(class),
            Upper::Deep(_) | Upper::DeepAt(_) => None,
        }
    }

    #[inline(always)]
    fn upper6(&self, high: u64) -> Upper {
        let index = &self.generation().index6;
        if high < index.base {
            return Upper::of(index.below);
        }
        let (offset, shift) = (high - index.base, index.shift & 63);
        let bucket = clamp(offset >> shift, index.last);
        let position = first(self.active(), settings::index6()) + bucket;
        let Some(entry) = INDEX6.get(position, settings::index6()) else {
            return Upper::Class(NO_CLASS);
        };
        if entry.inside == 0 {
            return Upper::of(entry.value);
        }
        let key = key6(offset - (bucket << shift));
        let first = first(self.active(), settings::ranges6()) + entry.value as u64;
        let position = position_in_words6(first, entry.inside, key);
        let class = class_of_word(position);
        if settings::has(feature::DEEP6) && class == MARK_DEEP {
            return Upper::DeepAt(position);
        }
        Upper::Class(class)
    }

    /// The class of an address in a /64 that holds longer prefixes.
    #[inline(always)]
    fn class_of_lower(&self, deep: u32, low: u64) -> u32 {
        let Some(entry) = DEEP6.of(self.active(), deep as u64, settings::deep6()) else {
            return NO_CLASS;
        };
        if entry.inside == 0 {
            return entry.value;
        }
        let length = settings::low6();
        let first = first(self.active(), settings::low6()) + entry.value as u64;
        let passed = search(entry.inside, |number| {
            Some(behind(LOW_STARTS6.get(first + number, length)?, low))
        });
        match LOW_CLASSES6.get(first + passed, length) {
            Some(class) => class as u32,
            None => NO_CLASS,
        }
    }
}

// Global functions: the kernel verifies each once, for any arguments. `first` is the position, in the table of both generations, of the
// range that holds the first address of the bucket. Few arguments keep their frames small: all frames together have 512 bytes.

/// The class of an address in a bucket of slots in which two classes take turns, given where in the bucket it is.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn class_in_slots4(first: u32, inside: u32, offset: u32) -> u32 {
    let (first, offset) = (first as u64, offset as u64);
    let length = settings::classes4();
    // The classes stand in front; ranges take turns in them.
    let passed = search(inside, |number| {
        Some(behind_small(CLASSES4.get(first + 1 + number, length)? as u64, offset))
    });
    match CLASSES4.get(first + (passed & 1), length) {
        Some(class) => class as u32,
        None => NO_CLASS,
    }
}

/// The same where there are more classes: `class, start, class, start, class, ...`. A function of its own, for both in one would need
/// a larger frame.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn class_in_many_slots4(first: u32, inside: u32, offset: u32) -> u32 {
    let (first, offset) = (first as u64, offset as u64);
    let length = settings::classes4();
    let passed = search(inside & !MANY_CLASSES, |number| {
        Some(behind_small(CLASSES4.get(first + 2 * number - 1, length)? as u64, offset))
    });
    match CLASSES4.get(first + 2 * passed, length) {
        Some(class) => class as u32,
        None => NO_CLASS,
    }
}

/// The position of the range that holds an address, in a bucket of IPv6 ranges, given as the highest word of a range that starts up to it.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn position_in_words6(first: u64, inside: u32, key: u64) -> u64 {
    let length = settings::ranges6();
    let passed =
        search(inside, |number| Some(behind_small(STARTS6.get(first + number, length)?, key)));
    first + passed
}

#[inline(always)]
fn class_of_word(position: u64) -> u32 {
    match STARTS6.get(position, settings::ranges6()) {
        Some(word) => word as u32 & 0xffff,
        None => 0,
    }
}

#[inline(always)]
fn clamp(value: u64, most: u32) -> u64 {
    if value > most as u64 { most as u64 } else { value }
}

/// How many of the ranges that start inside of a bucket, counted from 1, start up to the key. `starts_behind` says of one whether it
/// starts behind the key, in the sign bit of a number.
///
/// Which way a step goes is a number and no branch: the processor could not guess it, and the verifier would follow both. To the
/// compiler the place of the sign bit is unknown, or it would make a branch of it. For the same reason every second step alone is followed by
/// the question whether it was the last: with nothing left, a step adds nothing.
#[inline(always)]
fn search(inside: u32, starts_behind: impl Fn(u64) -> Option<u64>) -> u64 {
    let sign = settings::sign_bit();
    let mut passed = 0;
    let mut left = inside as u64;
    for _ in 0..SEARCH_STEPS.div_ceil(2) {
        for _ in 0..2 {
            let half = (left + 1) >> 1;
            let Some(behind) = starts_behind(passed + half) else { return passed };
            passed += half & !((behind as i64 >> (sign & 63)) as u64);
            // One more than is left if it starts behind the key.
            left >>= 1;
        }
        if left == 0 {
            break;
        }
    }
    passed
}

/// Whether `start > key`, in the sign bit: whether `key - start` borrows (H. S. Warren, "Hacker's Delight", section 2-13).
#[inline(always)]
fn behind(start: u64, key: u64) -> u64 {
    (!key & start) | ((!key | start) & key.wrapping_sub(start))
}

/// The same for numbers below 2^63.
#[inline(always)]
fn behind_small(start: u64, key: u64) -> u64 {
    key.wrapping_sub(start)
}
