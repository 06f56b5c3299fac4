//! The IPv4 ranges as the kernel holds them: 16 bits for each start.
//!
//! What a look-up among a million ranges costs is the number of cache lines and pages that it meets for the first time, so the
//! table has to be small. A bucket spans at most 2^16 addresses, so a start is 16 bits; and where only two classes take turns in
//! a bucket, as they do with a single list, they are written once, in front of the starts. A bucket with one interval of another
//! class, as most are in a short list, is told by its entry of the index alone.

use foobar_common::tables::{IndexEntry, MANY_CLASSES};

use super::{Table4, index};

/// The packed form of a table.
pub(super) struct Packed4<'t> {
    table: &'t Table4,
    shape: &'t index::Shape<u32>,
}

impl<'t> Packed4<'t> {
    /// Of a table and the shape of its index.
    pub(super) fn of(table: &'t Table4, shape: &'t index::Shape<u32>) -> Self {
        Packed4 { table, shape }
    }

    /// Number of slots.
    pub(super) fn len(&self) -> usize {
        let entries = self.table.index.iter().enumerate();
        entries.map(|(number, entry)| self.slots_of(number, entry)).sum()
    }

    fn slots_of(&self, number: usize, entry: &IndexEntry) -> usize {
        match entry.inside as usize {
            0 => 0,
            _ if self.interval(number, entry).is_some() => 0,
            inside if self.takes_turns(entry) => 2 + inside,
            inside => 1 + 2 * inside,
        }
    }

    /// Whether two classes take turns in a bucket.
    fn takes_turns(&self, entry: &IndexEntry) -> bool {
        let first = entry.value as usize;
        let classes = &self.table.classes[first..=first + entry.inside as usize];
        classes.iter().zip(&classes[2.min(classes.len())..]).all(|(one, next)| one == next)
    }

    /// The entry of a bucket that has one interval of another class than the rest: what starts with it, or what lies in its middle.
    fn interval(&self, number: usize, entry: &IndexEntry) -> Option<IndexEntry> {
        let range = entry.value as usize;
        let class = |range: usize| self.table.classes[range];
        let start = |range: usize| self.offset(number, range);
        match entry.inside {
            1 => IndexEntry::interval(class(range), class(range + 1), 0, start(range + 1) - 1),
            2 if self.takes_turns(entry) => {
                let (first, last) = (start(range + 1), start(range + 2) - 1);
                IndexEntry::interval(class(range + 1), class(range), first, last)
            }
            _ => None,
        }
    }

    /// Where in a bucket a range starts that starts behind the first address of it.
    fn offset(&self, bucket: usize, range: usize) -> u16 {
        let base = self.shape.base + ((bucket as u32) << self.shape.shift);
        (self.table.starts[range] - base) as u16
    }

    /// Calls `bucket` with each entry of the index, and `slot` with each slot, in order.
    pub(super) fn write(&self, mut bucket: impl FnMut(IndexEntry), mut slot: impl FnMut(u16)) {
        let mut position = 0;
        for (number, entry) in self.table.index.iter().enumerate() {
            if entry.inside == 0 {
                bucket(*entry);
                continue;
            }
            if let Some(interval) = self.interval(number, entry) {
                bucket(interval);
                continue;
            }
            let first = entry.value as usize;
            let further = first + 1..=first + entry.inside as usize;
            let offset = |range: usize| self.offset(number, range);
            if self.takes_turns(entry) {
                bucket(IndexEntry { value: position, inside: entry.inside });
                slot(self.table.classes[first]);
                slot(self.table.classes[first + 1]);
                further.for_each(|range| slot(offset(range)));
            } else {
                bucket(IndexEntry { value: position, inside: entry.inside | MANY_CLASSES });
                slot(self.table.classes[first]);
                for range in further {
                    slot(offset(range));
                    slot(self.table.classes[range]);
                }
            }
            position += self.slots_of(number, entry) as u32;
        }
    }
}

#[cfg(test)]
mod tests {
    use foobar_common::tables::{INTERVAL, slot_of_class, slot_of_start};

    use super::*;

    /// The class of an address, as the kernel finds it.
    fn class(index: &[IndexEntry], slots: &[u16], shape: &index::Shape<u32>, address: u32) -> u16 {
        let offset = address - shape.base;
        let bucket = (offset >> shape.shift).min(shape.last);
        let entry = index[bucket as usize];
        if entry.value & INTERVAL != 0 {
            return entry.class_by_interval(offset - (bucket << shape.shift)) as u16;
        }
        if entry.inside == 0 {
            return entry.value as u16;
        }
        let (many, inside) = (entry.inside & MANY_CLASSES, entry.inside & !MANY_CLASSES);
        let offset = (offset - (bucket << shape.shift)).min(0xffff) as u16;
        let by = (1..=inside)
            .take_while(|at| slots[(entry.value + slot_of_start(many, *at)) as usize] <= offset)
            .count();
        slots[(entry.value + slot_of_class(many, by as u32)) as usize]
    }

    #[test]
    fn every_start_and_what_is_beside_it_keeps_its_class() {
        let mut state = 1u64;
        let mut random = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 32) as u32
        };
        for classes in [2, 3, 40_000] {
            for (count, bits) in [(100_000, 18), (100_000, 32), (20_000, 32), (10, 32), (10, 17)] {
                let mut table = Table4::default();
                let mut starts: Vec<u32> = (0..count).map(|_| random() >> (32 - bits)).collect();
                starts.extend([0, 1, 2, u32::MAX >> (32 - bits)]);
                starts.sort_unstable();
                starts.dedup();
                let mut last = 0;
                table.classes = starts
                    .iter()
                    .map(|_| {
                        last = (last + 1 + random() % (classes - 1)) % classes;
                        last as u16
                    })
                    .collect();
                table.starts = starts;
                let shape = table.finish();
                let packed = Packed4::of(&table, &shape);
                let (mut index, mut slots) = (Vec::new(), Vec::new());
                packed.write(|entry| index.push(entry), |slot| slots.push(slot));
                assert_eq!((index.len(), slots.len()), (table.index.len(), packed.len()));
                for (range, start) in table.starts.iter().enumerate().skip(1) {
                    let expected = table.classes[range];
                    assert_eq!(class(&index, &slots, &shape, *start), expected, "{start}");
                    if range > 1 {
                        let before = class(&index, &slots, &shape, start - 1);
                        assert_eq!(before, table.classes[range - 1], "before {start}");
                    }
                }
                let end = class(&index, &slots, &shape, u32::MAX);
                assert_eq!(Some(&end), table.classes.last());
            }
        }
    }
}
