//! Range tables that can be changed in one place without being built anew.

use foobar_common::tables::IndexEntry;

use super::{
    index, packed4,
    sweep::{Ranges, StoredClass},
};
use crate::policy::net::Word;

/// IPv4: the class of each range of addresses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Table4 {
    /// Buckets of the index; see [`foobar_common::tables::Index4`].
    pub index: Vec<IndexEntry>,
    /// Where each range starts; the first is 0.
    pub starts: Vec<u32>,
    /// The class of each range.
    pub classes: Vec<u16>,
    /// Of each bucket, whether two classes take turns in it.
    pub(super) turns: Vec<bool>,
}

/// Puts `new`, which starts at `first`, in the place of what a table says about the addresses `first ..= last`, and joins
/// neighbours of the same class.
pub(super) fn splice<W: Word, C: StoredClass>(
    starts: &mut Vec<W>,
    classes: &mut Vec<C>,
    (first, last): (W, W),
    mut new: Ranges<W, C>,
) {
    let from = starts.partition_point(|start| *start < first);
    let mut to = starts.partition_point(|start| *start <= last);
    if from == 0 && to == starts.len() && last == W::MAX {
        (*starts, *classes) = (new.starts, new.classes);
        return;
    }
    if let Some(next) = last.next() {
        let (old_class, new_class) = (classes[to - 1], new.classes[new.classes.len() - 1]);
        if starts.get(to) == Some(&next) {
            // The next range starts right behind; it is joined if it has the same class.
            to += usize::from(classes[to] == new_class);
        } else if old_class != new_class {
            // What the last old range says about the addresses behind the window stays true.
            new.starts.push(next);
            new.classes.push(old_class);
        }
    }
    let joined = usize::from(from > 0 && classes[from - 1] == new.classes[0]);
    starts.splice(from..to, new.starts.drain(joined..));
    classes.splice(from..to, new.classes.drain(joined..));
}

impl Table4 {
    /// Brings the index up to date after the ranges in some windows changed.
    pub(super) fn finish(
        &mut self,
        before: index::Shape<u32>,
        windows: &[(u32, u32)],
    ) -> index::Shape<u32> {
        let classes = &self.classes;
        let class = |range: usize| u32::from(classes[range]);
        let (shape, changed) = index::update(&self.starts, class, &mut self.index, before, windows);
        self.turns.resize(self.index.len(), false);
        for bucket in changed.into_iter().flatten() {
            self.turns[bucket] = packed4::takes_turns(&self.index[bucket], &self.classes);
        }
        shape
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The class of an address, by walking the whole table.
    fn class(starts: &[u32], classes: &[u16], address: u32) -> u16 {
        classes[starts.iter().rposition(|start| *start <= address).unwrap()]
    }

    #[test]
    fn a_splice_changes_its_window_and_nothing_else() {
        let old = (vec![0, 10, 20, 30, u32::MAX], vec![0u16, 1, 0, 2, 3]);
        for first in [0u32, 5, 10, 15, 19, 20, 30, u32::MAX] {
            for last in [0u32, 5, 9, 10, 19, 20, 29, 30, u32::MAX - 1, u32::MAX] {
                if last < first {
                    continue;
                }
                for new_classes in [vec![0u16], vec![1], vec![2], vec![3], vec![1, 0], vec![0, 2]] {
                    if new_classes.len() as u64 > u64::from(last) - u64::from(first) + 1 {
                        continue;
                    }
                    let new = Ranges {
                        starts: vec![first, first.saturating_add(1)][..new_classes.len()].to_vec(),
                        classes: new_classes,
                    };
                    let (mut starts, mut classes) = old.clone();
                    splice(&mut starts, &mut classes, (first, last), new.clone());
                    for address in (0..40).chain([u32::MAX - 1, u32::MAX]) {
                        let expected = if (first..=last).contains(&address) {
                            new.classes
                                [new.starts.iter().rposition(|start| *start <= address).unwrap()]
                        } else {
                            class(&old.0, &old.1, address)
                        };
                        assert_eq!(
                            class(&starts, &classes, address),
                            expected,
                            "{first}..={last} {new:?} at {address}"
                        );
                    }
                    assert_eq!(starts[0], 0);
                    assert!(starts.is_sorted_by(|a, b| a < b) && starts.len() == classes.len());
                    assert!(
                        classes.windows(2).all(|pair| pair[0] != pair[1]),
                        "neighbours are joined: {classes:?}"
                    );
                }
            }
        }
    }
}
