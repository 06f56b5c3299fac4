//! The tables of an instance: how large they are made, and how a policy is written into them.

use std::{
    collections::BTreeMap,
    io,
    os::fd::{AsFd as _, OwnedFd},
};

use foobar_common::tables::{
    Capacities, GENERATIONS, IndexEntry, LIMITS_LEN, PORTS_LEN, ROW_BYTES, ROW_U16, feature,
};

use crate::{
    kernel::sys::{memory::Region, plain::Plain},
    policy::compile::Compiled,
};

/// The least number of elements of a table that is in use, so that a small policy can grow without a new instance.
const LEAST: u32 = 1024;
/// Elements of a table that is not in use: an array map cannot be empty.
const UNUSED: u32 = ROW_U16;
/// Bytes that an instance may hold beyond what it needs before an exact fit makes it anew.
const TOO_MUCH: u64 = 4 << 20;

/// An index of so many buckets has no room for twice as many.
const MANY_BUCKETS: u32 = 1 << 16;
/// Elements that a table has beyond what it needs, at most: a million prefixes have a few megabytes to grow into.
const MOST_ROOM: u32 = 1 << 17;

/// How large the tables of a new instance should be for a policy with these needs: a quarter more, up to a bound.
pub(super) fn roomy(needs: &Capacities, features: u32, counters: u32) -> Capacities {
    let room = |wanted: bool, needed: u32| {
        if !wanted {
            return UNUSED.max(needed.next_multiple_of(ROW_U16));
        }
        needed.saturating_add((needed / 4).min(MOST_ROOM)).max(LEAST).next_multiple_of(ROW_U16)
    };
    // The number of buckets doubles with the number of ranges, up to which it varies.
    let buckets = |wanted: bool, needed: u32| {
        let most = needed.next_power_of_two();
        let roomy = if most < MANY_BUCKETS { 2 * most } else { most };
        if wanted { roomy.max(LEAST) } else { UNUSED.max(needed.next_multiple_of(ROW_U16)) }
    };
    let has = |bit| features & bit != 0;
    Capacities {
        index4: buckets(has(feature::SOURCES4), needs.index4),
        ranges4: room(has(feature::SOURCES4), needs.ranges4),
        classes4: room(has(feature::SOURCES4), needs.classes4),
        index6: buckets(has(feature::SOURCES6), needs.index6),
        ranges6: room(has(feature::SOURCES6), needs.ranges6),
        classes6: room(has(feature::SOURCES6), needs.classes6),
        deep6: room(has(feature::DEEP6), needs.deep6),
        low6: room(has(feature::DEEP6), needs.low6),
        cells: room(true, needs.cells),
        counters,
    }
}

/// Whether a policy with these needs fits.
pub(super) fn fits(needs: &Capacities, capacities: &Capacities) -> bool {
    needs.index4 <= capacities.index4
        && needs.ranges4 <= capacities.ranges4
        && needs.classes4 <= capacities.classes4
        && needs.index6 <= capacities.index6
        && needs.ranges6 <= capacities.ranges6
        && needs.classes6 <= capacities.classes6
        && needs.deep6 <= capacities.deep6
        && needs.low6 <= capacities.low6
        && needs.cells <= capacities.cells
        && needs.counters <= capacities.counters
}

/// Whether so much more than needed is held that a new instance is worth it.
pub(super) fn wasteful(needs: &Capacities, capacities: &Capacities) -> bool {
    bytes(capacities) > 3 * bytes(needs) + TOO_MUCH
}

/// Kernel memory of both generations.
fn bytes(capacities: &Capacities) -> u64 {
    let sum = [
        (capacities.index4, 8),
        (capacities.ranges4, 4),
        (capacities.classes4, 2),
        (capacities.index6, 8),
        (capacities.ranges6, 8),
        (capacities.classes6, 4),
        (capacities.deep6, 8),
        (capacities.low6, 10),
        (capacities.cells, 4),
    ]
    .iter()
    .map(|&(elements, size)| u64::from(elements) * size)
    .sum::<u64>();
    sum * u64::from(GENERATIONS)
}

/// The number of elements that each map of an instance is created with.
pub(super) fn map_sizes(capacities: &Capacities, features: u32) -> [(&'static str, u32); 14] {
    let rows = |elements: u32, size: usize| {
        (GENERATIONS * elements).div_ceil((ROW_BYTES / size) as u32).max(1)
    };
    let whole = |elements: u32| GENERATIONS * elements.max(1);
    [
        ("ROOT", 1),
        ("PORTS", whole(PORTS_LEN)),
        ("EGRESS_PORTS", if features & feature::EGRESS != 0 { whole(PORTS_LEN) } else { 1 }),
        ("INDEX4", whole(capacities.index4)),
        ("STARTS4", rows(capacities.ranges4, 4)),
        ("CLASSES4", rows(capacities.classes4, 2)),
        ("INDEX6", whole(capacities.index6)),
        ("STARTS6", rows(capacities.ranges6, 8)),
        ("CLASSES6", rows(capacities.classes6, 4)),
        ("DEEP6", whole(capacities.deep6)),
        ("LOW_STARTS6", rows(capacities.low6, 8)),
        ("LOW_CLASSES6", rows(capacities.low6, 2)),
        ("CELLS", rows(capacities.cells, 4)),
        ("LIMITS", whole(LIMITS_LEN)),
    ]
}

/// Writes all tables of a policy as generation 0 or 1. The generation itself, in `ROOT`, is the caller's to write.
pub(super) fn write(
    maps: &BTreeMap<String, OwnedFd>,
    capacities: &Capacities,
    features: u32,
    generation: u32,
    policy: &Compiled,
) -> Result<(), (&'static str, io::Error)> {
    let writer = Writer { maps, generation };
    writer.table("PORTS", PORTS_LEN, &policy.ports)?;
    if let Some(ports) = policy.egress_ports.as_deref().filter(|_| features & feature::EGRESS != 0)
    {
        writer.table("EGRESS_PORTS", PORTS_LEN, ports)?;
    }
    writer.sources4(capacities, policy)?;
    writer.sources6(capacities, policy)?;
    writer.table("DEEP6", capacities.deep6, &policy.v6.deep)?;
    writer.table("LOW_STARTS6", capacities.low6, &policy.v6.low_starts)?;
    writer.table("LOW_CLASSES6", capacities.low6, &policy.v6.low_classes)?;
    writer.table("CELLS", capacities.cells, &policy.cells)?;
    writer.table("LIMITS", LIMITS_LEN, &policy.limits)
}

struct Writer<'a> {
    maps: &'a BTreeMap<String, OwnedFd>,
    generation: u32,
}

impl Writer<'_> {
    fn table<T: Plain>(
        &self,
        name: &'static str,
        capacity: u32,
        values: &[T],
    ) -> Result<(), (&'static str, io::Error)> {
        let Some(mut region) = self.region::<T>(name, capacity, values.len())? else {
            return Ok(());
        };
        region.write(0, values);
        Ok(())
    }

    /// Writes the IPv4 table in its packed form, if it has one.
    fn sources4(
        &self,
        capacities: &Capacities,
        policy: &Compiled,
    ) -> Result<(), (&'static str, io::Error)> {
        let (v4, needs) = (&policy.v4, policy.needs());
        let slots = self.region::<u16>("CLASSES4", capacities.classes4, needs.classes4 as usize)?;
        let index = self.region::<IndexEntry>("INDEX4", capacities.index4, v4.index.len())?;
        let (mut slots, mut index) = (slots.map(Stream::new), index.map(Stream::new));
        let mut slot = |value| slots.iter_mut().for_each(|slots| slots.push(value));
        let mut bucket = |entry| index.iter_mut().for_each(|index| index.push(entry));
        if policy.write_slots4(&mut bucket, &mut slot) {
            return Ok(());
        }
        v4.index.iter().for_each(|entry| bucket(*entry));
        v4.classes.iter().for_each(|class| slot(*class));
        self.table("STARTS4", capacities.ranges4, &v4.starts)
    }

    /// The same for IPv6.
    fn sources6(
        &self,
        capacities: &Capacities,
        policy: &Compiled,
    ) -> Result<(), (&'static str, io::Error)> {
        let (v6, needs) = (&policy.v6, policy.needs());
        let words = self.region::<u64>("STARTS6", capacities.ranges6, needs.ranges6 as usize)?;
        let index = self.region::<IndexEntry>("INDEX6", capacities.index6, v6.index.len())?;
        let (mut words, mut index) = (words.map(Stream::new), index.map(Stream::new));
        let mut word = |value| words.iter_mut().for_each(|words| words.push(value));
        let mut bucket = |entry| index.iter_mut().for_each(|index| index.push(entry));
        if policy.write_words6(&mut bucket, &mut word) {
            return Ok(());
        }
        v6.index.iter().for_each(|entry| bucket(*entry));
        v6.starts.iter().for_each(|start| word(*start));
        self.table("CLASSES6", capacities.classes6, &v6.classes)
    }

    /// The part of a table that belongs to the generation, as long as its values; nothing for none.
    fn region<T>(
        &self,
        name: &'static str,
        capacity: u32,
        length: usize,
    ) -> Result<Option<Region>, (&'static str, io::Error)> {
        if length == 0 {
            return Ok(None);
        }
        let fail = |text: &str| (name, io::Error::other(text));
        let map =
            self.maps.get(name).ok_or_else(|| fail("the kernel programs have no such map"))?;
        if length > capacity as usize {
            return Err(fail("the policy is larger than the table"));
        }
        let offset = self.generation as usize * capacity as usize * size_of::<T>();
        let region = Region::map(map.as_fd(), offset, length * size_of::<T>());
        region.map(Some).map_err(|error| (name, error))
    }
}

/// Writes values that are made on the way, some at a time, so that a large table needs no copy in this process.
struct Stream<T: Plain> {
    region: Region,
    written: usize,
    part: Vec<T>,
}

impl<T: Plain> Stream<T> {
    const PART: usize = 1024;

    fn new(region: Region) -> Self {
        Stream { region, written: 0, part: Vec::with_capacity(Self::PART) }
    }

    #[inline]
    fn push(&mut self, value: T) {
        self.part.push(value);
        if self.part.len() == Self::PART {
            self.flush();
        }
    }

    fn flush(&mut self) {
        self.region.write(self.written, &self.part);
        self.written += size_of_val(self.part.as_slice());
        self.part.clear();
    }
}

impl<T: Plain> Drop for Stream<T> {
    fn drop(&mut self) {
        self.flush();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_instance_has_room_to_grow_and_unused_tables_stay_small() {
        let needs = Capacities {
            ranges4: 1_000_000,
            index4: 65536,
            cells: 10,
            ranges6: 1,
            index6: 1,
            ..Capacities::default()
        };
        let made = roomy(&needs, feature::SOURCES4, 4096);
        assert!(fits(&needs, &made) && !wasteful(&needs, &made));
        assert_eq!(
            (made.ranges4, made.ranges6, made.cells, made.counters),
            (1_131_072, 32, 1024, 4096)
        );
        for elements in [made.ranges4, made.index4, made.ranges6, made.low6, made.cells] {
            assert_eq!(elements % ROW_U16, 0);
        }
        let small = Capacities { ranges4: 10, index4: 10, cells: 10, ..Capacities::default() };
        assert!(wasteful(&small, &made) && fits(&small, &made) && !fits(&made, &small));
    }

    #[test]
    fn both_generations_have_their_rows() {
        let made = roomy(&Capacities::default(), 0, 64);
        for (name, size) in map_sizes(&made, 0) {
            let expected = match name {
                "ROOT" | "EGRESS_PORTS" => 1,
                "PORTS" => 2 * PORTS_LEN,
                "LIMITS" => 2 * LIMITS_LEN,
                "INDEX4" | "INDEX6" | "DEEP6" => 64,
                "CLASSES4" | "LOW_CLASSES6" => 2,
                "STARTS4" | "CLASSES6" => 4,
                "STARTS6" | "LOW_STARTS6" => 8,
                "CELLS" => 2048 / 16,
                other => panic!("{other}"),
            };
            assert_eq!(size, expected, "{name}");
        }
    }
}
