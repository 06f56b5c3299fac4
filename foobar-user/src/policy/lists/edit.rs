//! Changes of one list.

use std::{collections::BTreeMap, sync::Arc};

use super::{
    Added, Details, Entry, List, ListError, MAX_COMMENT, MAX_ENTRIES, Overlay, Removed, Replaced,
};
use crate::policy::{
    prefix::Prefix,
    prefix_set::{Part, PrefixSet},
};

/// Notes of one change; a change of a million entries has not a million of them.
const MAX_NOTES: usize = 20;

impl List {
    pub(super) fn add(&mut self, entries: &[Entry]) -> Result<Added, ListError> {
        check_comments(entries)?;
        let mut result = Added::default();
        // Of entries that are given twice, the last one counts.
        let mut entries: Vec<&Entry> = entries.iter().rev().collect();
        entries.sort_by_key(|entry| entry.prefix);
        entries.dedup_by_key(|entry| entry.prefix);
        // Refused before anything is changed, so that nothing has to be copied to be put back.
        let lengths = self.lengths_with(&entries)?;
        let mut new = Vec::new();
        for entry in entries {
            let prefix = entry.prefix;
            let present = self.contains(&prefix);
            let configured = present && !self.is_runtime(&prefix);
            let overlay = &mut self.overlay;
            let mut details =
                Details { comment: entry.comment.clone(), expires_at: entry.expires_at };
            if configured && details.expires_at.take().is_some() {
                note(&mut result.notes, || {
                    format!("{prefix} is in the configuration, so it has no end")
                });
            }
            let before = overlay.details.get(&prefix).cloned().unwrap_or_default();
            details.comment = details.comment.or_else(|| before.comment.clone());
            let changed = details != before;
            if changed {
                let all = Arc::make_mut(&mut overlay.details);
                if details == Details::default() {
                    all.remove(&prefix);
                } else {
                    all.insert(prefix, details);
                }
            }
            if present {
                *(if changed { &mut result.updated } else { &mut result.unchanged }) += 1;
            } else if entry.expires_at.is_none() && overlay.removed.remove(&prefix) {
                // The base grants it again. With an end it must not: the base has none.
                result.new += 1;
            } else {
                result.new += 1;
                new.push(prefix);
            }
        }
        self.overlay.added.extend(&new.into_iter().collect());
        self.lengths = lengths;
        Ok(result)
    }

    /// IPv4 and IPv6 entries of this list with these, of which none is given twice.
    fn lengths_with(&self, entries: &[&Entry]) -> Result<(usize, usize), ListError> {
        let (mut v4, mut v6) = (self.len4(), self.len6());
        for entry in entries.iter().filter(|entry| !self.contains(&entry.prefix)) {
            *(if entry.prefix.is_ipv4() { &mut v4 } else { &mut v6 }) += 1;
        }
        let longer = v4.max(v6);
        if longer > MAX_ENTRIES {
            return Err(ListError::TooMany { list: self.name.clone(), entries: longer });
        }
        Ok((v4, v6))
    }

    pub(super) fn remove(&mut self, prefixes: &[Prefix]) -> Result<Removed, ListError> {
        if let Some(prefix) = prefixes.iter().find(|prefix| !self.contains(prefix)) {
            return Err(ListError::NotAnEntry {
                kind: self.kind,
                list: self.name.clone(),
                prefix: *prefix,
                covered_by: self.covering_prefixes(*prefix).next(),
            });
        }
        let gone: PrefixSet = prefixes.iter().copied().collect();
        self.take_out(&gone);
        let mut notes = Vec::new();
        for prefix in gone.iter() {
            if notes.len() == MAX_NOTES {
                break;
            }
            if let Some(covering) = self.covering_prefixes(prefix).next() {
                note(&mut notes, || format!("{prefix} is still covered by {covering}"));
            }
            let inside = self.inside(&prefix);
            if inside > 0 {
                let entries = if inside == 1 { "entry is" } else { "entries are" };
                note(&mut notes, || {
                    format!("{inside} longer {entries} still there inside {prefix}")
                });
            }
        }
        Ok(Removed { removed: gone.len(), notes })
    }

    /// Number of entries inside a prefix that is none itself.
    fn inside(&self, prefix: &Prefix) -> usize {
        match Part::from(*prefix) {
            Part::V4(net) => {
                self.v4().window(net.address, net.last()).filter(|inner| net.covers(*inner)).count()
            }
            Part::V6(net) => {
                let wide = self
                    .v6()
                    .window(net.address, net.last())
                    .filter(|inner| net.covers(*inner))
                    .count();
                wide + self.deep().window(net.address, net.last()).count()
            }
            Part::Deep(deep) => self
                .deep()
                .window(deep.upper, deep.upper)
                .filter(|inner| deep.low.covers(inner.low))
                .count(),
        }
    }

    fn take_out(&mut self, gone: &PrefixSet) {
        let mut in_base = gone.clone();
        in_base.intersect(self.base());
        self.overlay.added.subtract(gone);
        self.overlay.removed.extend(&in_base);
        if !self.overlay.details.is_empty() {
            let details = Arc::make_mut(&mut self.overlay.details);
            gone.iter().for_each(|prefix| {
                details.remove(&prefix);
            });
        }
        self.count();
    }

    pub(super) fn replace(&mut self, entries: &[Entry]) -> Result<Replaced, ListError> {
        check_comments(entries)?;
        let details = entries
            .iter()
            .map(|entry| {
                (
                    entry.prefix,
                    Details { comment: entry.comment.clone(), expires_at: entry.expires_at },
                )
            })
            .filter(|(_, details)| *details != Details::default())
            .collect();
        self.replace_set(Arc::new(entries.iter().map(|entry| entry.prefix).collect()), details)
    }

    pub(super) fn replace_set(
        &mut self,
        set: Arc<PrefixSet>,
        details: BTreeMap<Prefix, Details>,
    ) -> Result<Replaced, ListError> {
        let before = self.clone();
        let (replaced, details) = (Some(set), Arc::new(details));
        self.try_overlay(Overlay { replaced, details, ..Overlay::default() })?;
        Ok(self.replaced_from(&before))
    }

    pub(super) fn reset(&mut self) -> Replaced {
        let before = self.clone();
        self.set_overlay(Overlay::default());
        self.replaced_from(&before)
    }

    pub(super) fn expire(&mut self, now: u64) -> Vec<Entry> {
        let is_over = |details: &Details| details.expires_at.is_some_and(|end| end <= now);
        let over: Vec<Entry> = self
            .overlay
            .details
            .iter()
            .filter(|(_, details)| is_over(details))
            .map(|(prefix, details)| Entry {
                prefix: *prefix,
                comment: details.comment.clone(),
                expires_at: details.expires_at,
            })
            .collect();
        if !over.is_empty() {
            self.take_out(&over.iter().map(|entry| entry.prefix).collect());
        }
        over
    }

    /// Lays other changes over the list. What does not fit the base (any more) is left out.
    pub(super) fn set_overlay(&mut self, overlay: Overlay) {
        self.overlay = overlay;
        let base = self.base().clone();
        self.overlay.removed.intersect(&base);
        let mut details = Arc::unwrap_or_clone(std::mem::take(&mut self.overlay.details));
        details.retain(|prefix, _| self.contains(prefix));
        if self.overlay.replaced.is_none() {
            let added = &self.overlay.added;
            for (_, details) in details.iter_mut().filter(|(prefix, _)| !added.contains(prefix)) {
                details.expires_at = None;
            }
            details.retain(|_, kept| *kept != Details::default());
        }
        self.overlay.details = Arc::new(details);
        self.count();
    }

    /// As [`List::set_overlay`], but refuses what makes the list too long.
    fn try_overlay(&mut self, overlay: Overlay) -> Result<(), ListError> {
        let before = std::mem::replace(&mut self.overlay, overlay);
        self.count();
        let entries = self.len4().max(self.len6());
        if entries <= MAX_ENTRIES {
            return Ok(());
        }
        self.overlay = before;
        self.count();
        Err(ListError::TooMany { list: self.name.clone(), entries })
    }
}

fn check_comments(entries: &[Entry]) -> Result<(), ListError> {
    let bad = |comment: &String| {
        comment.chars().count() > MAX_COMMENT || comment.chars().any(char::is_control)
    };
    match entries.iter().find(|entry| entry.comment.as_ref().is_some_and(bad)) {
        Some(entry) => Err(ListError::BadComment { prefix: entry.prefix }),
        None => Ok(()),
    }
}

fn note(notes: &mut Vec<String>, text: impl FnOnce() -> String) {
    if notes.len() < MAX_NOTES {
        notes.push(text());
    }
}
