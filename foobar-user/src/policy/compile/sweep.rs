//! From nested prefixes of many lists to disjoint ranges of classes.
//!
//! Prefixes nest or are disjoint. Taken in order of their addresses (the wider first), the open ones form a stack, so
//! the ends need no sorting, and a million prefixes cost one pass.

use std::{cmp::Reverse, collections::BinaryHeap};

use super::{CompileError, classes::Classes};
use crate::policy::{
    lists::Layers,
    net::{Net, Word},
};

/// A class as it is stored in a table.
pub(super) trait StoredClass: Copy + PartialEq {
    fn pack(class: u32) -> Self;
}

impl StoredClass for u16 {
    /// [`super::classes::MAX_CLASSES`] keeps it within 16 bits.
    fn pack(class: u32) -> Self {
        class as u16
    }
}

impl StoredClass for u32 {
    fn pack(class: u32) -> Self {
        class
    }
}

/// Ranges in order: range `i` covers `starts[i]` up to the next start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Ranges<W, C> {
    pub(super) starts: Vec<W>,
    pub(super) classes: Vec<C>,
}

impl<W: Word, C: StoredClass> Ranges<W, C> {
    pub(super) fn with_capacity(capacity: usize) -> Self {
        Ranges { starts: Vec::with_capacity(capacity), classes: Vec::with_capacity(capacity) }
    }

    pub(super) fn clear(&mut self) {
        self.starts.clear();
        self.classes.clear();
    }

    /// From `start` on it is `class`. A later word about the same start counts; what changes nothing is left out.
    #[inline]
    pub(super) fn push(&mut self, start: W, class: u32) {
        let class = C::pack(class);
        if self.starts.last() == Some(&start) {
            self.starts.pop();
            self.classes.pop();
        }
        if self.classes.last() != Some(&class) {
            self.starts.push(start);
            self.classes.push(class);
        }
    }
}

/// Several sorted sources as one.
pub(super) struct Merge<'a, T> {
    rest: Vec<(Layers<'a, T>, u32)>,
    heads: BinaryHeap<Reverse<(T, usize)>>,
}

impl<'a, T: Ord + Copy> Merge<'a, T> {
    pub(super) fn new(sources: impl IntoIterator<Item = (Layers<'a, T>, u32)>) -> Self {
        let mut rest: Vec<_> = sources.into_iter().collect();
        let heads = rest
            .iter_mut()
            .enumerate()
            .filter_map(|(at, (source, _))| Some(Reverse((source.next()?, at))))
            .collect();
        Merge { rest, heads }
    }

    /// An upper bound of the number of items.
    pub(super) fn at_most(&self) -> usize {
        self.heads.len() + self.rest.iter().map(|(source, _)| source.at_most()).sum::<usize>()
    }

    pub(super) fn peek(&self) -> Option<&T> {
        self.heads.peek().map(|Reverse((item, _))| item)
    }
}

impl<T: Ord + Copy> Iterator for Merge<'_, T> {
    type Item = (T, u32);

    /// The next item, with the group that it comes from.
    #[inline]
    fn next(&mut self) -> Option<(T, u32)> {
        let mut head = self.heads.peek_mut()?;
        let Reverse((item, at)) = *head;
        let (source, group) = &mut self.rest[at];
        match source.next() {
            Some(next) => *head = Reverse((next, at)),
            None => {
                std::collections::binary_heap::PeekMut::pop(head);
            }
        }
        Some((item, *group))
    }
}

/// Which prefixes hold the current address, and the class that this makes.
#[derive(Clone, Debug)]
pub(super) struct Open<W> {
    /// How many of them each group has.
    counts: Vec<u32>,
    class: u32,
    /// Those that were met on the way, the innermost last: where they end, and their group.
    stack: Vec<(W, u32)>,
}

impl<W: Word> Open<W> {
    pub(super) fn new(groups: usize) -> Self {
        Open {
            counts: vec![0; groups],
            class: 0,
            stack: Vec::with_capacity(usize::from(W::WIDTH) + 1),
        }
    }

    /// As if one prefix of each group of this class were open.
    pub(super) fn restart(&mut self, classes: &Classes, class: u32) {
        self.counts.fill(0);
        classes.groups(class).for_each(|group| self.counts[group as usize] = 1);
        self.class = class;
    }

    /// Opens prefixes of a group; says whether the class changed.
    #[inline]
    pub(super) fn enter(
        &mut self,
        classes: &mut Classes,
        group: u32,
        prefixes: u32,
    ) -> Result<bool, CompileError> {
        let count = &mut self.counts[group as usize];
        let is_new = *count == 0 && prefixes > 0;
        *count += prefixes;
        if is_new {
            self.class = classes.toggle(self.class, group)?;
        }
        Ok(is_new)
    }

    /// Closes a prefix of a group; says whether the class changed.
    #[inline]
    fn leave(&mut self, classes: &mut Classes, group: u32) -> Result<bool, CompileError> {
        let count = &mut self.counts[group as usize];
        *count -= 1;
        let is_last = *count == 0;
        if is_last {
            self.class = classes.toggle(self.class, group)?;
        }
        Ok(is_last)
    }
}

/// Adds the ranges of the addresses `first ..= last`. `open` says which prefixes hold all of them; `prefixes` are those
/// inside, in order.
pub(super) fn sweep<W: Word, C: StoredClass>(
    classes: &mut Classes,
    open: &mut Open<W>,
    (first, last): (W, W),
    prefixes: impl Iterator<Item = (Net<W>, u32)>,
    ranges: &mut Ranges<W, C>,
) -> Result<(), CompileError> {
    ranges.push(first, open.class);
    for (net, group) in prefixes {
        // What ends before this prefix ends inside the window.
        while let Some((end, group)) = open.stack.pop_if(|(end, _)| *end < net.address) {
            if open.leave(classes, group)?
                && let Some(next) = end.next()
            {
                ranges.push(next, open.class);
            }
        }
        open.stack.push((net.last(), group));
        if open.enter(classes, group, 1)? {
            ranges.push(net.address, open.class);
        }
    }
    while let Some((end, group)) = open.stack.pop() {
        if open.leave(classes, group)?
            && let Some(next) = end.next().filter(|next| *next <= last)
        {
            ranges.push(next, open.class);
        }
    }
    Ok(())
}
