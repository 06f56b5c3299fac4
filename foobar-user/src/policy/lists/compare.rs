//! How a list differs from another state of itself.

use std::sync::Arc;

use super::{Layers, List, Replaced, layers::symmetric_difference};
use crate::policy::{prefix::Prefix, prefix_set::Part};

/// Number of items that two lists share.
fn common<T: Ord + Copy>(before: Layers<'_, T>, after: Layers<'_, T>) -> usize {
    let (before, after) = (before.to_slice(), after.to_slice());
    let (mut old, mut new, mut both) = (0, 0, 0);
    // In which of two unlike lists the next item stands, no processor can guess: so nothing branches on it.
    while let (Some(one), Some(other)) = (before.get(old), after.get(new)) {
        let order = one.cmp(other);
        old += usize::from(order.is_le());
        new += usize::from(order.is_ge());
        both += usize::from(order.is_eq());
    }
    both
}

impl List {
    pub(super) fn replaced_from(&self, before: &List) -> Replaced {
        let kept = common(before.v4(), self.v4())
            + common(before.v6(), self.v6())
            + common(before.deep(), self.deep());
        let (before, after) = (before.len(), self.len());
        Replaced { before, after, added: after - kept, removed: before - kept }
    }

    /// Compares this list with a later one: calls `each` with every prefix that is in one only, and whether it was added.
    pub fn difference(&self, later: &List, mut each: impl FnMut(Prefix, bool)) {
        let mut old = self.prefixes().peekable();
        let mut new = later.prefixes().peekable();
        loop {
            match (old.peek(), new.peek()) {
                (None, None) => return,
                (Some(a), Some(b)) if a == b => {
                    old.next();
                    new.next();
                }
                (Some(a), b) if b.is_none_or(|b| a < b) => {
                    each(*a, false);
                    old.next();
                }
                (_, Some(b)) => {
                    each(*b, true);
                    new.next();
                }
                (Some(_), None) => {
                    unreachable!("the third arm takes every prefix that has no counterpart left")
                }
            }
        }
    }

    /// What may differ from an earlier state of this list; `None` if that is more than `most` or not easily told.
    pub(in crate::policy) fn changed_since(
        &self,
        earlier: &List,
        most: usize,
    ) -> Option<Vec<Part>> {
        if !Arc::ptr_eq(self.base(), earlier.base()) {
            return None;
        }
        let (now, then) = (&self.overlay, &earlier.overlay);
        let mut changed = Vec::new();
        for (now, then) in [(&now.added, &then.added), (&now.removed, &then.removed)] {
            changed
                .extend(symmetric_difference(now.v4(), then.v4(), most)?.into_iter().map(Part::V4));
            changed
                .extend(symmetric_difference(now.v6(), then.v6(), most)?.into_iter().map(Part::V6));
            changed.extend(
                symmetric_difference(now.deep(), then.deep(), most)?.into_iter().map(Part::Deep),
            );
        }
        (changed.len() <= most).then_some(changed)
    }
}
