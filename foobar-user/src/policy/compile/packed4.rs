//! The IPv4 ranges as the kernel holds them: 16 bits for each start.
//!
//! What a look-up among a million ranges costs is the number of cache lines and pages that it meets for the first time, so the
//! table has to be small. A bucket spans at most 2^16 addresses, so a start is 16 bits; and where only two classes take turns in
//! a bucket, as they do with a single list, they are written once, in front of the starts. A bucket with one interval of another
//! class, as most are in a short list, is told by its entry of the index alone.

use foobar_common::tables::{IndexEntry, MANY_CLASSES};

use super::{Table4, index};

/// Slots that are handed over at a time, about.
const PART: usize = 4096;

/// The packed form of a table.
pub(super) struct Packed4<'t> {
    table: &'t Table4,
    shape: &'t index::Shape<u32>,
}

/// Whether two classes take turns in a bucket. `classes` are those of all ranges.
pub(super) fn takes_turns(entry: &IndexEntry, classes: &[u16]) -> bool {
    if entry.inside == 0 {
        return false;
    }
    let first = entry.value as usize;
    let classes = &classes[first..=first + entry.inside as usize];
    classes.iter().zip(&classes[2.min(classes.len())..]).all(|(one, next)| one == next)
}

impl<'t> Packed4<'t> {
    /// Of a table and the shape of its index.
    pub(super) fn of(table: &'t Table4, shape: &'t index::Shape<u32>) -> Self {
        Packed4 { table, shape }
    }

    /// Number of slots.
    pub(super) fn len(&self) -> usize {
        let entries = self.table.index.iter().enumerate();
        entries.map(|(number, entry)| self.form(number, entry).slots(entry)).sum()
    }

    /// Calls `bucket` with each entry of the index, and `slots` with the slots, in order, some at a time.
    pub(super) fn write(&self, mut bucket: impl FnMut(IndexEntry), mut slots: impl FnMut(&[u16])) {
        let Table4 { index, starts, classes, .. } = self.table;
        let (mut part, mut before) = (Vec::with_capacity(2 * PART), 0);
        for (number, entry) in index.iter().enumerate() {
            let (base, first) = (self.base(number), entry.value as usize);
            let (position, last) = (before + part.len() as u32, first + entry.inside as usize);
            let further = starts.get(first + 1..=last).unwrap_or_default();
            match self.form(number, entry) {
                Form::Said(entry) => bucket(entry),
                Form::Turns => {
                    bucket(IndexEntry { value: position, inside: entry.inside });
                    part.extend_from_slice(&classes[first..first + 2]);
                    part.extend(further.iter().map(|start| (start - base) as u16));
                }
                Form::Many => {
                    bucket(IndexEntry { value: position, inside: entry.inside | MANY_CLASSES });
                    part.push(classes[first]);
                    let further = further.iter().zip(&classes[first + 1..=last]);
                    part.extend(further.flat_map(|(start, class)| [(start - base) as u16, *class]));
                }
            }
            if part.len() >= PART {
                before += part.len() as u32;
                slots(&part);
                part.clear();
            }
        }
        slots(&part);
    }

    /// The first address of a bucket.
    fn base(&self, bucket: usize) -> u32 {
        self.shape.base + ((bucket as u32) << self.shape.shift)
    }

    fn form(&self, number: usize, entry: &IndexEntry) -> Form {
        let (first, inside) = (entry.value as usize, entry.inside as usize);
        if inside == 0 {
            return Form::Said(IndexEntry::uniform(entry.value as u16));
        }
        let classes = &self.table.classes[first..=first + inside];
        let turns = self.table.turns[number];
        // One interval of another class than the rest: what the bucket starts with, or what lies in its middle.
        let start = |range: usize| (self.table.starts[first + range] - self.base(number)) as u16;
        let interval = match inside {
            1 => IndexEntry::interval(classes[0], classes[1], 0, start(1) - 1),
            2 if turns => IndexEntry::interval(classes[1], classes[0], start(1), start(2) - 1),
            _ => None,
        };
        match interval {
            Some(interval) => Form::Said(interval),
            None if turns => Form::Turns,
            None => Form::Many,
        }
    }
}

/// How a bucket is written.
enum Form {
    /// By its entry of the index alone.
    Said(IndexEntry),
    /// As two classes that take turns.
    Turns,
    /// As starts and classes.
    Many,
}

impl Form {
    /// Slots of a bucket whose unpacked entry this is.
    fn slots(&self, entry: &IndexEntry) -> usize {
        match self {
            Form::Said(_) => 0,
            Form::Turns => 2 + entry.inside as usize,
            Form::Many => 1 + 2 * entry.inside as usize,
        }
    }
}

#[cfg(test)]
mod tests {
    use foobar_common::tables::{Interval, slot_of_class, slot_of_start};

    use super::*;

    /// The class of an address, as the kernel finds it.
    fn class(index: &[IndexEntry], slots: &[u16], shape: &index::Shape<u32>, address: u32) -> u16 {
        let offset = address - shape.base;
        let bucket = (offset >> shape.shift).min(shape.last);
        let entry = index[bucket as usize];
        let interval = Interval::of(entry).class((offset - (bucket << shape.shift)).into());
        if let Some(class) = interval {
            return class;
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
                let shape = table.finish(index::Shape::default(), &[(0, u32::MAX)]);
                let packed = Packed4::of(&table, &shape);
                let (mut index, mut slots) = (Vec::new(), Vec::new());
                packed.write(|entry| index.push(entry), |part| slots.extend_from_slice(part));
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
