//! The index of a range table: which ranges lie in each of a number of equal buckets.
//!
//! A small table wants a small index that stays in the cache, so the buckets span only the part of the address space that
//! has ranges, and there are about one to two of them for each range, up to 65,536, but so many that a bucket spans 16 bits of an IPv4
//! address, or 47 of the upper half of an IPv6 address. A large table, which is in no cache, wants the ranges of a bucket within a
//! cache line or two: it has more.

use std::ops::Range;

use foobar_common::tables::{IndexEntry, SLOT_SHIFT, WORD_SHIFT6};

use crate::policy::net::Word;

/// Buckets that a table gets without asking for the size of its buckets: 512 KiB of index.
const FEW_BUCKETS: u64 = 1 << 16;
/// Most buckets: 1 MiB of index. More of them would make buckets smaller, but the whole larger than what the processor's table of
/// recent pages covers, which costs more (measured: docs/performance.md).
const MAX_BUCKETS: u64 = 1 << 17;
/// Bytes of a cache line.
const LINE: usize = 64;

/// Number of buckets for so many ranges of this width: those of a large table shall have a line each.
fn wanted<W>(ranges: usize) -> u64 {
    let few = (2 * ranges as u64).next_power_of_two().min(FEW_BUCKETS);
    // IPv4 ranges are halves of their starts in a large table.
    let bytes = if size_of::<W>() == 4 { 2 } else { size_of::<W>() };
    let lines = (ranges * bytes / LINE) as u64;
    few.max(lines.next_power_of_two().min(MAX_BUCKETS))
}

/// How the kernel finds the bucket of an address ([`foobar_common::tables::Index4`] and `Index6`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Shape<W> {
    pub(super) base: W,
    pub(super) shift: u32,
    pub(super) last: u32,
    pub(super) below: u32,
}

impl<W: Word + Into<u64>> Shape<W> {
    /// That of the index of a range table, whose first start is 0 and has the class `below`.
    fn of(starts: &[W], below: u32) -> Self {
        let (Some(base), Some(highest)) = (starts.get(1), starts.last()) else {
            return Shape { below, ..Shape::default() };
        };
        let span = (*highest).into() - (*base).into();
        let wanted = wanted::<W>(starts.len());
        // The lowest shift that needs no more buckets than wanted, unless buckets would be larger than the packed tables can have them.
        let shift = (u64::BITS - span.leading_zeros()).saturating_sub(wanted.trailing_zeros());
        let shift = shift.min(if size_of::<W>() == 4 { SLOT_SHIFT } else { WORD_SHIFT6 });
        Shape { base: *base, shift, last: (span >> shift) as u32, below }
    }

    /// The bucket that an address is looked up in; of those below the base, the first one.
    fn bucket(&self, address: W) -> usize {
        let offset = address.into().saturating_sub(self.base.into());
        (offset >> self.shift).min(u64::from(self.last)) as usize
    }

    /// The first address of a bucket.
    fn first(&self, bucket: usize) -> u64 {
        self.base.into() + ((bucket as u64) << self.shift)
    }
}

/// Brings an index up to date after the ranges inside of some windows changed, and says which buckets are not what they were, but for the
/// positions of their ranges. The classes of all other ranges must be the same.
pub(super) fn update<W: Word + Into<u64>>(
    starts: &[W],
    class: impl Fn(usize) -> u32,
    index: &mut Vec<IndexEntry>,
    before: Shape<W>,
    windows: &[(W, W)],
) -> (Shape<W>, Vec<Range<usize>>) {
    let shape = Shape::of(starts, class(0));
    let changed = changed(&shape, windows);
    let total: usize = changed.iter().map(Range::len).sum();
    // A bucket costs two searches, in the place of a walk over all of its starts.
    if starts.len() < 2
        || shape != (Shape { below: shape.below, ..before })
        || total > index.len() / 16
    {
        build(starts, class, &shape, index);
        let all = 0..index.len();
        return (shape, Vec::from([all]));
    }
    // The ranges behind a changed bucket moved, all of them as far as the next one.
    let (mut next, mut moved) = (0, 0);
    for buckets in &changed {
        displace(&mut index[next..buckets.start], moved);
        for bucket in buckets.clone() {
            index[bucket] = entry(starts, &class, &shape, bucket);
        }
        next = buckets.end;
        moved = (next..index.len()).find(|bucket| index[*bucket].inside > 0).map_or(0, |bucket| {
            i64::from(entry(starts, &class, &shape, bucket).value) - i64::from(index[bucket].value)
        });
    }
    displace(&mut index[next..], moved);
    (shape, changed)
}

/// The buckets that some windows meet, and those of the addresses right behind them, where a range may begin or not.
fn changed<W: Word + Into<u64>>(shape: &Shape<W>, windows: &[(W, W)]) -> Vec<Range<usize>> {
    let buckets = |(first, last): &(W, W)| {
        shape.bucket(*first)..shape.bucket(last.next().unwrap_or(*last)) + 1
    };
    let mut all: Vec<Range<usize>> = windows.iter().map(buckets).collect();
    all.sort_unstable_by_key(|buckets| buckets.start);
    all.dedup_by(|next, kept| {
        let meet = next.start <= kept.end;
        if meet {
            kept.end = kept.end.max(next.end);
        }
        meet
    });
    all
}

/// Moves the ranges of some buckets.
fn displace(index: &mut [IndexEntry], by: i64) {
    if by == 0 {
        return;
    }
    for entry in index.iter_mut().filter(|entry| entry.inside > 0) {
        entry.value = (i64::from(entry.value) + by) as u32;
    }
}

/// The entry of one bucket.
fn entry<W: Word + Into<u64>>(
    starts: &[W],
    class: impl Fn(usize) -> u32,
    shape: &Shape<W>,
    bucket: usize,
) -> IndexEntry {
    let first = shape.first(bucket);
    let range = starts.partition_point(|start| (*start).into() <= first) - 1;
    let end = starts.partition_point(|start| shape.bucket(*start) <= bucket);
    let inside = (end - 1 - range) as u32;
    IndexEntry { value: if inside == 0 { class(range) } else { range as u32 }, inside }
}

/// Builds an index into `index`. `class` gives the class of a range.
fn build<W: Word + Into<u64>>(
    starts: &[W],
    class: impl Fn(usize) -> u32,
    shape: &Shape<W>,
    index: &mut Vec<IndexEntry>,
) {
    index.clear();
    if starts.len() < 2 {
        index.push(IndexEntry { value: class(0), inside: 0 });
        return;
    }
    let (base, shift, last) = (shape.base, shape.shift, shape.last);
    // First how many ranges start inside of each bucket, and whether one starts with it.
    index.resize(last as usize + 1, IndexEntry::default());
    for start in &starts[2..] {
        let offset = (*start).into() - base.into();
        let entry = &mut index[(offset >> shift) as usize];
        if offset & ((1 << shift) - 1) == 0 {
            entry.value = 1;
        } else {
            entry.inside += 1;
        }
    }
    // Then which range that is: the last one that starts with the bucket or before it.
    let mut range = 0;
    for (bucket, entry) in index.iter_mut().enumerate() {
        range += if bucket == 0 { 1 } else { entry.value as usize };
        entry.value = if entry.inside == 0 { class(range) } else { range as u32 };
        range += entry.inside as usize;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// Builds the index of so many ranges and finds the range of every start and of the addresses beside it.
    fn check(starts: &[u64]) -> (Shape<u64>, usize) {
        let class = |range: usize| range as u32 + 7;
        let mut index = Vec::new();
        let whole = [(0, u64::MAX)];
        let (shape, changed) = update(starts, class, &mut index, Shape::default(), &whole);
        assert!(changed.into_iter().flatten().eq(0..index.len()));
        assert_eq!(index.len(), shape.last as usize + 1);
        let beside = |start: &u64| [start.wrapping_sub(1), *start, start.wrapping_add(1)];
        for address in starts.iter().flat_map(beside) {
            let expected = starts.partition_point(|start| *start <= address) - 1;
            if address < shape.base {
                assert_eq!(shape.below, class(expected));
                continue;
            }
            let entry =
                index[((address - shape.base) >> shape.shift).min(u64::from(shape.last)) as usize];
            if entry.inside == 0 {
                assert_eq!(entry.value, class(expected), "{address} {entry:?}");
            } else {
                let (first, inside) = (entry.value as usize, entry.inside as usize);
                assert!(
                    (first..=first + inside).contains(&expected),
                    "{address} {entry:?} {expected}"
                );
            }
        }
        (shape, index.len())
    }

    fn random(count: u64, bits: u32) -> Vec<u64> {
        let mut state = 1u64;
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state >> (64 - bits)
        };
        let starts: BTreeSet<u64> = std::iter::once(0).chain((1..count).map(|_| next())).collect();
        starts.into_iter().collect()
    }

    #[test]
    fn slow_buckets_suit_the_number_of_ranges() {
        for bits in [20, 32, 64] {
            for count in [2, 3, 10, 1000, 200_000, 1_500_000] {
                let starts = random(count, bits);
                let (_, buckets) = check(&starts);
                assert!(
                    buckets as u64 <= MAX_BUCKETS && buckets <= (4 * starts.len()).max(1 << 17),
                    "{buckets} for {}",
                    starts.len()
                );
                assert!(
                    buckets >= starts.len().min(1 << 15) / 2 || bits == 20,
                    "{buckets} for {}",
                    starts.len()
                );
            }
        }
    }

    #[test]
    fn the_ends_of_the_address_space() {
        assert_eq!(check(&[0]).1, 1);
        assert_eq!(check(&[0, u64::MAX]).0, Shape { base: u64::MAX, shift: 0, last: 0, below: 7 });
        let (shape, buckets) = check(&[0, 1, u64::MAX]);
        assert_eq!((shape.shift, buckets), (WORD_SHIFT6, 1 << 17));
        check(&[0, u64::MAX - 1, u64::MAX]);
        // All in one bucket but one.
        check(&[0, 1, 2, 3, 4, 5, 6, 7, u64::MAX]);
    }
}
