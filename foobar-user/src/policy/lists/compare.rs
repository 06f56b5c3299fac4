//! How a list differs from another state of itself.

use std::sync::Arc;

use super::{List, Replaced, layers::symmetric_difference};
use crate::policy::{prefix::Prefix, prefix_set::Part};

impl List {
    pub(super) fn replaced_from(&self, before: &List) -> Replaced {
        let (added, removed) = before.difference(self, |_, _| {});
        Replaced { before: before.len(), after: self.len(), added, removed }
    }

    /// Compares this list with a later one: calls `each` with every prefix that is in one only, and whether it was added;
    /// gives the numbers of added and removed ones.
    pub fn difference(&self, later: &List, mut each: impl FnMut(Prefix, bool)) -> (usize, usize) {
        let (mut added, mut removed) = (0, 0);
        let mut old = self.prefixes().peekable();
        let mut new = later.prefixes().peekable();
        loop {
            match (old.peek(), new.peek()) {
                (None, None) => return (added, removed),
                (Some(a), Some(b)) if a == b => {
                    old.next();
                    new.next();
                }
                (Some(a), b) if b.is_none_or(|b| a < b) => {
                    each(*a, false);
                    removed += 1;
                    old.next();
                }
                (_, Some(b)) => {
                    each(*b, true);
                    added += 1;
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
