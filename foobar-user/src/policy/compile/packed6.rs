//! The IPv6 ranges as the kernel holds them: one word for start and class of each.
//!
//! A bucket spans at most 2^48 upper halves, so a start is 48 bits in its bucket and leaves 16 for the class. A range that is
//! deep needs more: three words of the same start, of which a search finds the last.

use foobar_common::tables::{DEEP, IndexEntry, MARK_DEEP, word6};

use super::{Table6, index};

/// Words of a deep range beside the one that is found.
const DEEP_WORDS: u32 = 2;

/// The packed form of a table.
pub(super) struct Packed6<'t> {
    table: &'t Table6,
    shape: &'t index::Shape<u64>,
}

impl<'t> Packed6<'t> {
    /// Of a table and the shape of its index.
    pub(super) fn of(table: &'t Table6, shape: &'t index::Shape<u64>) -> Self {
        Packed6 { table, shape }
    }

    /// Number of words.
    pub(super) fn len(&self) -> usize {
        self.table.starts.len() + DEEP_WORDS as usize * self.table.deep.len()
    }

    /// Calls `bucket` with each entry of the index, and `word` with each word, in order.
    pub(super) fn write(&self, mut bucket: impl FnMut(IndexEntry), mut word: impl FnMut(u64)) {
        let Table6 { index, starts, classes, .. } = self.table;
        // Positions count the words of deep ranges that were met so far.
        let (mut next, mut deep) = (0, 0);
        let mut position = |range: u32| {
            while next <= range {
                deep += u32::from(classes[next as usize] & DEEP != 0);
                next += 1;
            }
            range + DEEP_WORDS * deep
        };
        for entry in index {
            if entry.inside == 0 {
                bucket(*entry);
                continue;
            }
            let value = position(entry.value);
            bucket(IndexEntry { value, inside: position(entry.value + entry.inside) - value });
        }
        let mask = (1 << self.shape.shift) - 1;
        for (start, class) in starts.iter().zip(classes) {
            // What lies below the base is found by no search.
            let offset = start.saturating_sub(self.shape.base) & mask;
            if class & DEEP == 0 {
                word(word6(offset, *class as u16));
                continue;
            }
            for part in [class & 0xffff, (class & !DEEP) >> 16, MARK_DEEP] {
                word(word6(offset, part as u16));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use foobar_common::tables::key6;

    use super::*;

    /// The class of an upper half, as the kernel finds it.
    fn class(index: &[IndexEntry], words: &[u64], shape: &index::Shape<u64>, upper: u64) -> u32 {
        let offset = upper - shape.base;
        let bucket = (offset >> shape.shift).min(u64::from(shape.last));
        let entry = index[bucket as usize];
        if entry.inside == 0 {
            return entry.value;
        }
        let key = key6(offset - (bucket << shape.shift));
        let first = entry.value as usize;
        let further = &words[first + 1..=first + entry.inside as usize];
        let at = first + further.partition_point(|word| *word <= key);
        match words[at] as u32 & 0xffff {
            MARK_DEEP => {
                DEEP | (words[at - 1] as u32 & 0xffff) << 16 | words[at - 2] as u32 & 0xffff
            }
            class => class,
        }
    }

    #[test]
    fn every_start_and_what_is_beside_it_keeps_its_class() {
        let mut state = 1u64;
        let mut random = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state
        };
        for (deep_share, bits) in [(0, 61), (3, 61), (2, 20), (1, 64)] {
            let mut table = Table6::default();
            let mut starts: Vec<u64> = (0..100_000).map(|_| random() >> (64 - bits)).collect();
            starts.extend([0, 1, 2, u64::MAX >> (64 - bits)]);
            starts.sort_unstable();
            starts.dedup();
            let mut deep = 70_000;
            for at in 0..starts.len() as u32 {
                let is_deep = deep_share > 0 && random() % deep_share == 0;
                table.classes.push(if is_deep { DEEP | deep } else { at % 3 });
                if is_deep {
                    deep += 1;
                    table.deep.push(IndexEntry::default());
                }
            }
            table.starts = starts;
            let shape = table.finish(index::Shape::default(), &[(0, u64::MAX)]);
            let packed = Packed6::of(&table, &shape);
            let (mut index, mut words) = (Vec::new(), Vec::new());
            packed.write(|entry| index.push(entry), |word| words.push(word));
            assert_eq!((index.len(), words.len()), (table.index.len(), packed.len()));
            for (range, start) in table.starts.iter().enumerate().skip(1) {
                assert_eq!(class(&index, &words, &shape, *start), table.classes[range], "{start}");
                if range > 1 {
                    let before = class(&index, &words, &shape, start - 1);
                    assert_eq!(before, table.classes[range - 1], "before {start}");
                }
            }
            let end = class(&index, &words, &shape, u64::MAX);
            assert_eq!(Some(&end), table.classes.last());
        }
    }
}
