//! Source classes: the sets of groups that some address is in, numbered.

use std::{
    collections::HashMap,
    hash::{BuildHasherDefault, Hasher},
};

use foobar_common::event::TRACE_NO_CLASS;

use super::{CompileError, groups::Band};

/// Most classes: they are 16 bits wide in the tables, and one number says that none was looked up.
pub(super) const MAX_CLASSES: usize = TRACE_NO_CLASS as usize;

/// A set of groups, as a bitmap.
type Set = Box<[u64]>;

/// Hashes a pair of small numbers that is packed into 64 bits: one multiplication, where SipHash would cost more than all the
/// rest of the sweep.
#[derive(Default)]
pub(super) struct PairHasher(u64);

impl Hasher for PairHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u64(u64::from(*byte)));
    }

    fn write_u64(&mut self, value: u64) {
        // Fibonacci hashing (Knuth, TAOCP 3, 6.4); the map takes bits from both ends, so both are mixed.
        let product = (self.0 ^ value).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 = product ^ product >> 32;
    }
}

/// The classes that are known so far. Class 0 is the empty set.
#[derive(Clone, Debug)]
pub(super) struct Classes {
    sets: Vec<Set>,
    numbers: HashMap<Set, u32>,
    /// What a class becomes when a group is added to or taken out of it: `class << 32 | group`.
    moves: HashMap<u64, u32, BuildHasherDefault<PairHasher>>,
}

impl Classes {
    pub(super) fn new(groups: usize) -> Self {
        let empty: Set = vec![0; groups.div_ceil(64)].into();
        Classes {
            numbers: HashMap::from([(empty.clone(), 0)]),
            sets: vec![empty],
            moves: HashMap::default(),
        }
    }

    /// Number of classes.
    pub(super) fn len(&self) -> usize {
        self.sets.len()
    }

    /// The class that differs from this one in the given group.
    #[inline]
    pub(super) fn toggle(&mut self, class: u32, group: u32) -> Result<u32, CompileError> {
        let key = u64::from(class) << 32 | u64::from(group);
        if let Some(known) = self.moves.get(&key) {
            return Ok(*known);
        }
        let mut set = self.sets[class as usize].clone();
        set[group as usize / 64] ^= 1 << (group % 64);
        let number = match self.numbers.get(&set) {
            Some(number) => *number,
            None if self.sets.len() == MAX_CLASSES => return Err(CompileError::TooManyClasses),
            None => {
                let number = self.sets.len() as u32;
                self.sets.push(set.clone());
                self.numbers.insert(set, number);
                number
            }
        };
        self.moves.insert(key, number);
        Ok(number)
    }

    /// Whether the addresses of a class are in a group.
    pub(super) fn contains(&self, class: u32, group: u32) -> bool {
        self.sets[class as usize][group as usize / 64] & 1 << (group % 64) != 0
    }

    /// The groups of a class.
    pub(super) fn groups(&self, class: u32) -> impl Iterator<Item = u32> + '_ {
        self.sets[class as usize].iter().zip(0..).flat_map(|(word, at)| {
            let mut rest = *word;
            std::iter::from_fn(move || {
                let bit = (rest != 0).then(|| rest.trailing_zeros())?;
                rest &= rest - 1;
                Some(at * 64 + bit)
            })
        })
    }

    /// The strictest band among the groups of a class.
    pub(super) fn band(&self, class: u32, bands: &[Band]) -> Band {
        self.groups(class).map(|group| bands[group as usize]).max().unwrap_or(Band::Open)
    }

    /// Whether some address is in a group of this band, whatever else it is in.
    pub(super) fn reaches(&self, band: Band, bands: &[Band]) -> bool {
        (0..self.sets.len() as u32)
            .any(|class| self.groups(class).any(|group| bands[group as usize] == band))
    }

    /// Forgets classes that are not used (class 0 stays) and numbers the others by band, then by their groups, so that the
    /// numbers do not depend on the order in which they were met. Gives the new number of each old one.
    pub(super) fn renumber(&mut self, used: &[bool], bands: &[Band]) -> Option<Vec<u32>> {
        let mut kept: Vec<u32> = (0..self.sets.len() as u32)
            .filter(|class| *class == 0 || used[*class as usize])
            .collect();
        kept.sort_by_cached_key(|class| {
            (self.band(*class, bands), self.sets[*class as usize].clone())
        });
        let unchanged =
            kept.len() == self.sets.len() && kept.iter().zip(0..).all(|(old, new)| *old == new);
        if unchanged {
            return None;
        }
        let mut renamed = vec![0; self.sets.len()];
        kept.iter().zip(0..).for_each(|(old, new)| renamed[*old as usize] = new);
        self.sets = kept.iter().map(|old| self.sets[*old as usize].clone()).collect();
        self.numbers = self.sets.iter().cloned().zip(0..).collect();
        self.moves.clear();
        Some(renamed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_are_numbered_by_band_and_unused_ones_forgotten() {
        let bands = [Band::Blocked, Band::Open, Band::Martian, Band::Open];
        let mut classes = Classes::new(4);
        let blocked = classes.toggle(0, 0).unwrap();
        let martian_too = classes.toggle(blocked, 2).unwrap();
        let open = classes.toggle(0, 3).unwrap();
        let passing = classes.toggle(open, 1).unwrap();
        assert_eq!(classes.toggle(open, 3), Ok(0));
        assert_eq!(classes.toggle(blocked, 0), Ok(0));
        let mut used = vec![true; classes.len()];
        used[passing as usize] = false;
        used[0] = false;
        let renamed = classes.renumber(&used, &bands).unwrap();
        assert_eq!(
            [
                renamed[0],
                renamed[open as usize],
                renamed[blocked as usize],
                renamed[martian_too as usize]
            ],
            [0, 1, 2, 3]
        );
        assert_eq!(classes.len(), 4);
        assert_eq!(classes.groups(3).collect::<Vec<_>>(), [0, 2]);
        assert_eq!(classes.toggle(1, 3), Ok(0), "the memory of moves follows the new numbers");
        assert_eq!(classes.renumber(&[true; 4], &bands), None);
    }

    #[test]
    fn more_than_a_word_of_groups() {
        let mut classes = Classes::new(130);
        let class = classes.toggle(0, 129).unwrap();
        let class = classes.toggle(class, 64).unwrap();
        assert_eq!(classes.groups(class).collect::<Vec<_>>(), [64, 129]);
        assert!(classes.contains(class, 129) && !classes.contains(class, 1));
    }

    #[test]
    fn too_many_are_an_error() {
        let mut classes = Classes::new(20);
        let mut class = 0;
        // A Gray code meets each set once.
        let error = (1..=MAX_CLASSES as u32 + 1).find_map(|i| {
            match classes.toggle(class, i.trailing_zeros()) {
                Ok(next) => {
                    class = next;
                    None
                }
                Err(error) => Some(error),
            }
        });
        assert_eq!(error, Some(CompileError::TooManyClasses));
    }
}
