//! Three sorted slices that are one: a base, what was removed from it, what was added to it.

use std::borrow::Cow;

use crate::policy::{
    net::{Net, Word},
    prefix_set::Deep,
};

/// One part of a list. `(base - removed) + added`, each sorted and without repetitions.
#[derive(Clone, Copy, Debug)]
pub struct Layers<'a, T> {
    /// What the configuration, or a replacement of the whole list, says.
    pub base: &'a [T],
    /// What was taken out of the base.
    pub removed: &'a [T],
    /// What was added.
    pub added: &'a [T],
}

impl<'a, T: Ord + Copy> Layers<'a, T> {
    /// A single slice.
    pub fn plain(base: &'a [T]) -> Self {
        Layers { base, removed: &[], added: &[] }
    }

    /// The items in one slice: the base itself where nothing lies over it.
    pub(super) fn to_slice(self) -> Cow<'a, [T]> {
        if self.removed.is_empty() && self.added.is_empty() {
            return Cow::Borrowed(self.base);
        }
        Cow::Owned(self.collect())
    }

    /// Whether the item is there.
    pub fn contains(&self, item: &T) -> bool {
        self.added.binary_search(item).is_ok()
            || self.base.binary_search(item).is_ok() && self.removed.binary_search(item).is_err()
    }

    /// The part between two bounds: items for which `below` holds come before it, items for which `up_to` holds are in it
    /// or before it.
    fn between(&self, below: impl Fn(&T) -> bool, up_to: impl Fn(&T) -> bool) -> Self {
        let cut =
            |slice: &'a [T]| &slice[slice.partition_point(&below)..slice.partition_point(&up_to)];
        Layers { base: cut(self.base), removed: cut(self.removed), added: cut(self.added) }
    }

    /// An upper bound of the number of items.
    pub fn at_most(&self) -> usize {
        self.base.len() + self.added.len()
    }
}

impl<W: Word> Layers<'_, Net<W>> {
    /// Prefixes that start within `first ..= last`.
    pub fn window(&self, first: W, last: W) -> Self {
        self.between(|net| net.address < first, |net| net.address <= last)
    }

    /// Number of prefixes that hold the given one and are shorter than it.
    pub fn holding(&self, net: Net<W>) -> u32 {
        (0..net.length)
            .map(|length| u32::from(self.contains(&Net::holding(net.address, length))))
            .sum()
    }
}

impl Layers<'_, Deep> {
    /// Prefixes inside the /64s `first ..= last`.
    pub fn window(&self, first: u64, last: u64) -> Self {
        self.between(|deep| deep.upper < first, |deep| deep.upper <= last)
    }
}

impl<T: Ord + Copy> Iterator for Layers<'_, T> {
    type Item = T;

    /// The items in order.
    #[inline]
    fn next(&mut self) -> Option<T> {
        while let (Some(base), Some(removed)) = (self.base.first(), self.removed.first()) {
            if removed > base {
                break;
            }
            if removed == base {
                self.base = &self.base[1..];
            }
            self.removed = &self.removed[1..];
        }
        match (self.base.first(), self.added.first()) {
            (Some(base), Some(added)) if added <= base => {
                if added == base {
                    self.base = &self.base[1..];
                }
                self.added = &self.added[1..];
                Some(*added)
            }
            (Some(base), _) => {
                self.base = &self.base[1..];
                Some(*base)
            }
            (None, Some(added)) => {
                self.added = &self.added[1..];
                Some(*added)
            }
            (None, None) => None,
        }
    }
}

/// Items that are in one of two sorted slices only; `None` if there are more than `most`.
pub(super) fn symmetric_difference<T: Ord + Copy>(
    mut a: &[T],
    mut b: &[T],
    most: usize,
) -> Option<Vec<T>> {
    // Cut off what is the same in front and behind, which is nearly everything after a small change.
    let front = a.iter().zip(b).take_while(|(a, b)| a == b).count();
    (a, b) = (&a[front..], &b[front..]);
    let back = a.iter().rev().zip(b.iter().rev()).take_while(|(a, b)| a == b).count();
    (a, b) = (&a[..a.len() - back], &b[..b.len() - back]);
    let mut only = Vec::new();
    while !a.is_empty() || !b.is_empty() {
        match (a.first(), b.first()) {
            (Some(x), Some(y)) if x == y => {
                a = &a[1..];
                b = &b[1..];
                continue;
            }
            (Some(x), None) => {
                only.push(*x);
                a = &a[1..];
            }
            (Some(x), Some(y)) if x < y => {
                only.push(*x);
                a = &a[1..];
            }
            (_, Some(y)) => {
                only.push(*y);
                b = &b[1..];
            }
            (None, None) => break,
        }
        if only.len() > most {
            return None;
        }
    }
    Some(only)
}
