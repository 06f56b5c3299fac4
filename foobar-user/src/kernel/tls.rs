//! What is counted of TLS and QUIC, and the server names that are told apart.

use std::{io, os::fd::BorrowedFd};

use foobar_common::{
    observe::SLOTS,
    tls::{
        name,
        stats::{NAMES, NameEntry, PROBES, TlsStats},
    },
};

use super::{
    error::KernelError,
    percpu,
    store::read_array,
    sys::{
        map,
        plain::{bytes_of_all, read},
    },
};

/// What is counted of the TLS and QUIC connections of each slot, and of each configured server name.
#[derive(Clone, Debug, Default)]
pub struct TlsCounts {
    by_slot: Vec<TlsStats>,
    by_name: Vec<u64>,
    entries: Vec<NameEntry>,
}

impl TlsCounts {
    /// Of the port with this slot.
    pub fn of_slot(&self, slot: u8) -> TlsStats {
        self.by_slot.get(usize::from(slot)).copied().unwrap_or_default()
    }

    /// First hellos that asked this port for this name.
    pub fn of_name(&self, slot: u8, name: &str) -> u64 {
        let wanted = NameEntry::new(name::hash(name.as_bytes()), slot.into());
        let number = self.entries.iter().position(|entry| *entry == wanted);
        number.and_then(|number| self.by_name.get(number)).copied().unwrap_or_default()
    }
}

/// The maps.
pub(super) struct Maps<'a> {
    pub stats: BorrowedFd<'a>,
    pub names: BorrowedFd<'a>,
    pub hellos: BorrowedFd<'a>,
}

impl Maps<'_> {
    /// Reads everything.
    pub fn read(&self) -> Result<TlsCounts, KernelError> {
        let read = || -> io::Result<TlsCounts> {
            Ok(TlsCounts {
                by_slot: percpu::sum(self.stats, 0, SLOTS, add)?,
                by_name: percpu::sum(self.hellos, 0, NAMES, |total: &mut u64, value| {
                    *total += value;
                })?,
                entries: self.entries()?,
            })
        };
        read().map_err(|error| KernelError::call("cannot read the TLS statistics", error))
    }

    fn entries(&self) -> io::Result<Vec<NameEntry>> {
        let bytes = read_array(self.names, size_of::<NameEntry>(), NAMES as usize)?;
        Ok(bytes.chunks_exact(size_of::<NameEntry>()).filter_map(read).collect())
    }

    /// Tells these names (slot of the port, name) apart, and no others. Counts of those that were told apart before go on.
    pub fn tell_apart(&self, names: &[(u8, String)]) -> Result<(), KernelError> {
        let write = || -> io::Result<()> {
            let before = self.entries()?;
            let hashed = |(slot, name): &(u8, String)| {
                NameEntry::new(name::hash(name.as_bytes()), (*slot).into())
            };
            let (entries, fresh) = place(&before, names.iter().map(hashed));
            if entries == before {
                return Ok(());
            }
            let zero = vec![0; percpu::value_bytes(size_of::<u64>())?];
            for number in fresh {
                map::update_bytes(self.hellos, &number.to_ne_bytes(), &zero)?;
            }
            map::update_array(self.names, 0, size_of::<NameEntry>(), bytes_of_all(&entries))
        };
        write().map_err(|error| KernelError::call("cannot write the map TLS_NAMES", error))
    }
}

/// Finds an element for each name; those that had one keep it. Also returns the numbers of elements that have a new name. With the few
/// names that a configuration may have, one that finds no room is as likely as a collision of their hashes; it counts as another name.
fn place(
    before: &[NameEntry],
    wanted: impl Iterator<Item = NameEntry>,
) -> (Vec<NameEntry>, Vec<u32>) {
    let mut entries = vec![NameEntry::default(); before.len()];
    let mut homeless = Vec::new();
    for name in wanted {
        match before.iter().position(|entry| *entry == name) {
            Some(number) => entries[number] = name,
            None => homeless.push(name),
        }
    }
    let mut fresh = Vec::new();
    for name in homeless {
        let free = |number: &u32| entries[*number as usize] == NameEntry::default();
        if let Some(number) = (0..PROBES).map(|probe| name.number(probe)).find(free) {
            entries[number as usize] = name;
            fresh.push(number);
        }
    }
    (entries, fresh)
}

fn add(total: &mut TlsStats, value: &TlsStats) {
    let add = |total: &mut [u64], value: &[u64]| {
        total.iter_mut().zip(value).for_each(|(total, value)| *total += value);
    };
    add(&mut total.hellos, &value.hellos);
    add(&mut total.offers, &value.offers);
    add(&mut total.full, &value.full);
    add(&mut total.resumed, &value.resumed);
    add(&mut total.failures, &value.failures);
    total.other_names += value.other_names;
    total.no_name += value.no_name;
    total.early_data += value.early_data;
    total.retries += value.retries;
    total.unparsed += value.unparsed;
    total.turns += value.turns;
    total.quic_initials += value.quic_initials;
    total.duration.add(&value.duration);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(number: u64, slot: u32) -> NameEntry {
        NameEntry::new(number << 40, slot)
    }

    #[test]
    fn names_keep_their_place_while_others_come_and_go() {
        let empty = vec![NameEntry::default(); NAMES as usize];
        // Two that want the same element.
        let (entries, fresh) = place(&empty, [name(7, 1), name(7 + 256, 1)].into_iter());
        assert_eq!(fresh, [7, 8]);
        let (entries, fresh) = place(&entries, [name(7 + 256, 1), name(7, 2)].into_iter());
        assert_eq!(fresh, [7], "the second stays where it was");
        assert_eq!((entries[8], entries[7]), (name(7 + 256, 1), name(7, 2)));
        assert_eq!(place(&entries, std::iter::empty()).0, empty);
    }

    #[test]
    fn every_element_of_the_statistics_is_summed() {
        let words = size_of::<TlsStats>() / 8;
        let bytes: Vec<u8> = (1..=words as u64).flat_map(u64::to_ne_bytes).collect();
        let one: TlsStats = read(&bytes).expect("enough bytes");
        let mut total = one;
        add(&mut total, &one);
        let doubled: Vec<u8> =
            (1..=words as u64).flat_map(|word| (2 * word).to_ne_bytes()).collect();
        assert_eq!(Some(total), read(&doubled));
    }
}
