//! The tables of an instance: how large they are made, and how a policy is written into them.

use std::{
    collections::BTreeMap,
    io,
    os::fd::{AsFd as _, OwnedFd},
};

use foobar_common::tables::{
    Capacities, Cell, GENERATIONS, IndexEntry, LIMITS_LEN, Limit, PORTS_LEN, PORTS_TCP, PORTS_UDP,
    PortEntry, Root, feature, most,
};

use crate::{
    kernel::sys::{memory::Region, plain::Plain},
    policy::compile::Compiled,
};

/// The least number of elements of a table that is in use, so that a small policy can grow without a new instance.
const LEAST: u32 = 1024;
/// Elements of a table that is not in use: an array map cannot be empty.
const UNUSED: u32 = 1;
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
            return UNUSED.max(needed);
        }
        needed.saturating_add((needed / 4).min(MOST_ROOM)).max(LEAST)
    };
    // The number of buckets doubles with the number of ranges, up to which it varies.
    let buckets = |wanted: bool, needed: u32| {
        let most = needed.next_power_of_two();
        let roomy = if most < MANY_BUCKETS { 2 * most } else { most };
        if wanted { roomy.max(LEAST) } else { UNUSED.max(needed) }
    };
    let has = |bit| features & bit != 0;
    let most = |elements: u32, most: usize| elements.min(most as u32 / GENERATIONS);
    Capacities {
        index4: most(buckets(has(feature::SOURCES4), needs.index4), most::INDEX4),
        classes4: most(room(has(feature::SOURCES4), needs.classes4), most::CLASSES4),
        index6: most(buckets(has(feature::SOURCES6), needs.index6), most::INDEX6),
        ranges6: most(room(has(feature::SOURCES6), needs.ranges6), most::STARTS6),
        deep6: most(room(has(feature::DEEP6), needs.deep6), most::DEEP6),
        low6: most(room(has(feature::DEEP6), needs.low6), most::LOW_STARTS6),
        cells: most(room(true, needs.cells), most::CELLS),
        counters,
    }
}

/// The first table that would have to be longer than the programs take, and how many elements a generation of it can have.
pub(super) fn too_long(needs: &Capacities) -> Option<(&'static str, usize)> {
    let each = |most: usize| most / GENERATIONS as usize;
    [
        ("INDEX4", needs.index4, each(most::INDEX4)),
        ("CLASSES4", needs.classes4, each(most::CLASSES4)),
        ("INDEX6", needs.index6, each(most::INDEX6)),
        ("STARTS6", needs.ranges6, each(most::STARTS6)),
        ("DEEP6", needs.deep6, each(most::DEEP6)),
        ("LOW_STARTS6", needs.low6, each(most::LOW_STARTS6)),
        ("CELLS", needs.cells, each(most::CELLS)),
    ]
    .into_iter()
    .find_map(|(name, needed, most)| (needed as usize > most).then_some((name, most)))
}

/// Whether a policy with these needs fits.
pub(super) fn fits(needs: &Capacities, capacities: &Capacities) -> bool {
    needs.index4 <= capacities.index4
        && needs.classes4 <= capacities.classes4
        && needs.index6 <= capacities.index6
        && needs.ranges6 <= capacities.ranges6
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
        (capacities.classes4, 2),
        (capacities.index6, 8),
        (capacities.ranges6, 8),
        (capacities.deep6, 8),
        (capacities.low6, 10),
        (capacities.cells, 4),
    ]
    .iter()
    .map(|&(elements, size)| u64::from(elements) * size)
    .sum::<u64>();
    sum * u64::from(GENERATIONS)
}

/// The bytes of each table of an instance: two generations of what the programs look up.
pub(super) fn sizes(capacities: &Capacities, features: u32) -> Vec<(&'static str, usize)> {
    let both = |elements: u32, size: usize| (GENERATIONS * elements.max(1)) as usize * size;
    let egress_ports = if features & feature::EGRESS != 0 { PORTS_LEN } else { 1 };
    vec![
        ("ROOT", size_of::<Root>()),
        ("PORTS", both(PORTS_LEN, size_of::<PortEntry>())),
        ("EGRESS_PORTS", both(egress_ports, size_of::<PortEntry>())),
        ("INDEX4", both(capacities.index4, size_of::<IndexEntry>())),
        ("CLASSES4", both(capacities.classes4, size_of::<u16>())),
        ("INDEX6", both(capacities.index6, size_of::<IndexEntry>())),
        ("STARTS6", both(capacities.ranges6, size_of::<u64>())),
        ("DEEP6", both(capacities.deep6, size_of::<IndexEntry>())),
        ("LOW_STARTS6", both(capacities.low6, size_of::<u64>())),
        ("LOW_CLASSES6", both(capacities.low6, size_of::<u16>())),
        ("CELLS", both(capacities.cells, size_of::<Cell>())),
        ("LIMITS", both(LIMITS_LEN, size_of::<Limit>())),
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
    writer.ports("PORTS", &policy.ports)?;
    if let Some(ports) = policy.egress_ports.as_deref().filter(|_| features & feature::EGRESS != 0)
    {
        writer.ports("EGRESS_PORTS", ports)?;
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

    /// Writes a port table. The compiler has the entries in the order of port numbers, the packet path looks them up by ports as they stand in
    /// a packet.
    fn ports(
        &self,
        name: &'static str,
        entries: &[PortEntry],
    ) -> Result<(), (&'static str, io::Error)> {
        let mut turned = entries.to_vec();
        for first in [PORTS_TCP, PORTS_UDP] {
            let (first, end) = (first as usize, first as usize + (1 << 16));
            if let (Some(from), Some(to)) = (entries.get(first..end), turned.get_mut(first..end)) {
                turn(from, to);
            }
        }
        self.table(name, PORTS_LEN, &turned)
    }

    /// Writes the IPv4 table.
    fn sources4(
        &self,
        capacities: &Capacities,
        policy: &Compiled,
    ) -> Result<(), (&'static str, io::Error)> {
        let (v4, needs) = (&policy.v4, policy.needs());
        let slots = self.region::<u16>("CLASSES4", capacities.classes4, needs.classes4 as usize)?;
        let index = self.region::<IndexEntry>("INDEX4", capacities.index4, v4.index.len())?;
        let (mut slots, mut index) = (slots, index.map(Stream::new));
        let mut written = 0;
        policy.write_slots4(
            |entry| index.iter_mut().for_each(|index| index.push(entry)),
            |part| {
                slots.iter_mut().for_each(|slots| slots.write(written, part));
                written += size_of_val(part);
            },
        );
        Ok(())
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
        policy.write_words6(&mut bucket, &mut word);
        Ok(())
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

/// Brings 65,536 entries from the order of port numbers into that of ports as they stand in a packet: a square of 256 by 256 whose rows become
/// columns, tile by tile, as a column meets another line of the cache with each of its entries.
fn turn(from: &[PortEntry], to: &mut [PortEntry]) {
    const TILE: usize = 16;
    let tiles = || (0..256).step_by(TILE);
    for (high, low) in tiles().flat_map(|high| tiles().map(move |low| (high, low))) {
        for high in high..high + TILE {
            for low in low..low + TILE {
                let port = (high << 8 | low) as u16;
                to[usize::from(port.to_be())] = from[usize::from(port)];
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_instance_has_room_to_grow_and_unused_tables_stay_small() {
        let needs = Capacities {
            classes4: 1_000_000,
            index4: 65536,
            cells: 10,
            ranges6: 1,
            index6: 1,
            ..Capacities::default()
        };
        let made = roomy(&needs, feature::SOURCES4, 4096);
        assert!(fits(&needs, &made) && !wasteful(&needs, &made));
        assert_eq!(
            (made.classes4, made.ranges6, made.cells, made.counters),
            (1_131_072, 1, 1024, 4096)
        );
        let huge = Capacities { ranges6: 1 << 23, ..needs };
        assert_eq!((too_long(&needs), too_long(&huge)), (None, Some(("STARTS6", 1 << 22))));
        let full = Capacities { ranges6: 1 << 22, ..needs };
        assert_eq!(roomy(&full, feature::SOURCES6, 64).ranges6, 1 << 22, "no room is left to grow");
        let small = Capacities { classes4: 10, index4: 10, cells: 10, ..Capacities::default() };
        assert!(wasteful(&small, &made) && fits(&small, &made) && !fits(&made, &small));
    }
}
