//! The IPv6 table: ranges over the upper 64 bits, and for a /64 that holds longer prefixes a small table over the lower ones.

use foobar_common::tables::{DEEP, IndexEntry};

use super::{
    CompileError,
    classes::Classes,
    index,
    sweep::{Merge, Open, Ranges, sweep},
    table::splice,
};
use crate::policy::{net::Word, prefix_set::Deep};

/// IPv6: the class of each range of upper halves, and of lower halves where those decide.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Table6 {
    /// Buckets of the index; see [`foobar_common::tables::Index6`].
    pub index: Vec<IndexEntry>,
    /// Where each range of upper halves starts; the first is 0.
    pub starts: Vec<u64>,
    /// The class of each range, or [`DEEP`] and the number of an entry of `deep`.
    pub classes: Vec<u32>,
    /// Where the ranges of a /64 are, as in a bucket of the index: the first of them, and how many more.
    pub deep: Vec<IndexEntry>,
    /// Where each range of lower halves starts; the first of each /64 is 0.
    pub low_starts: Vec<u64>,
    /// The class of each range of lower halves.
    pub low_classes: Vec<u16>,
    /// The upper halves that `deep` is about, in order.
    uppers: Vec<u64>,
}

/// The tables of the /64s that hold longer prefixes, in order.
#[derive(Default)]
struct DeepPart {
    uppers: Vec<u64>,
    /// `value` counts from the start of this part.
    entries: Vec<IndexEntry>,
    starts: Vec<u64>,
    classes: Vec<u16>,
}

impl Table6 {
    /// Puts new ranges in the place of those of the upper halves `first ..= last`. `wide` are the ranges that prefixes up to
    /// /64 make, `deep` the longer prefixes.
    pub(super) fn replace(
        &mut self,
        classes: &mut Classes,
        groups: usize,
        (first, last): (u64, u64),
        wide: Ranges<u64, u32>,
        deep: Merge<'_, Deep>,
    ) -> Result<(), CompileError> {
        let from = self.uppers.partition_point(|upper| *upper < first);
        let to = self.uppers.partition_point(|upper| *upper <= last);
        let (ranges, part) = combine(classes, groups, wide, deep, last, from as u32)?;
        // Numbers of deep entries are part of the classes behind the window.
        let moved = part.entries.len() as i64 - (to - from) as i64;
        if moved != 0 {
            let behind = self.starts.partition_point(|start| *start <= last);
            for class in self.classes[behind..].iter_mut().filter(|class| **class & DEEP != 0) {
                *class = (i64::from(*class) + moved) as u32;
            }
        }
        splice(&mut self.starts, &mut self.classes, (first, last), ranges);
        self.replace_deep(from, to, part);
        Ok(())
    }

    fn replace_deep(&mut self, from: usize, to: usize, mut part: DeepPart) {
        if from == 0 && to == self.deep.len() {
            (self.deep, self.uppers) = (part.entries, part.uppers);
            (self.low_starts, self.low_classes) = (part.starts, part.classes);
            return;
        }
        let low = |at: usize| {
            self.deep.get(at).map_or(self.low_starts.len(), |entry| entry.value as usize)
        };
        let (low_from, low_to) = (low(from), low(to));
        let moved = part.starts.len() as i64 - (low_to - low_from) as i64;
        for entry in &mut self.deep[to..] {
            entry.value = (i64::from(entry.value) + moved) as u32;
        }
        for entry in &mut part.entries {
            entry.value += low_from as u32;
        }
        self.deep.splice(from..to, part.entries);
        self.uppers.splice(from..to, part.uppers);
        self.low_starts.splice(low_from..low_to, part.starts);
        self.low_classes.splice(low_from..low_to, part.classes);
    }

    /// Brings the index up to date after the ranges in some windows changed.
    pub(super) fn finish(
        &mut self,
        before: index::Shape<u64>,
        windows: &[(u64, u64)],
    ) -> index::Shape<u64> {
        // Numbers of deep entries stand in the index as classes do, and those behind a window may have changed.
        let whole = [(0, u64::MAX)];
        let numbered = !windows.is_empty() && !self.deep.is_empty();
        let windows = if numbered { &whole } else { windows };
        let classes = &self.classes;
        index::update(&self.starts, |range| classes[range], &mut self.index, before, windows).0
    }
}

/// Lays the longer prefixes over the ranges of upper halves, which end with `last`. The first deep entry gets the number `next`.
fn combine(
    classes: &mut Classes,
    groups: usize,
    wide: Ranges<u64, u32>,
    mut deep: Merge<'_, Deep>,
    last: u64,
    next: u32,
) -> Result<(Ranges<u64, u32>, DeepPart), CompileError> {
    let mut part = DeepPart::default();
    if deep.peek().is_none() {
        return Ok((wide, part));
    }
    let mut ranges = Ranges::with_capacity(wide.starts.len() + 2 * deep.at_most());
    let mut open = Open::new(groups);
    let mut low = Ranges::<u64, u16>::with_capacity(usize::from(u64::WIDTH));
    // The range of `wide` that holds the current /64, and up to which range all are in `ranges`.
    let mut at = 0;
    ranges.push(wide.starts[0], wide.classes[0]);
    while let Some(upper) = deep.peek().map(|deep| deep.upper) {
        while wide.starts.get(at + 1).is_some_and(|start| *start <= upper) {
            at += 1;
            ranges.push(wide.starts[at], wide.classes[at]);
        }
        let background = wide.classes[at];
        let prefixes = std::iter::from_fn(|| {
            let here = deep.peek()?.upper == upper;
            if here { deep.next().map(|(deep, group)| (deep.low, group)) } else { None }
        });
        open.restart(classes, background);
        low.clear();
        sweep(classes, &mut open, (0, u64::MAX), prefixes, &mut low)?;
        let class = match low.classes[..] {
            [class] if u32::from(class) == background => continue,
            [class] => u32::from(class),
            _ => DEEP | (next + part.push(upper, &low)),
        };
        ranges.push(upper, class);
        if let Some(following) = upper.checked_add(1).filter(|following| *following <= last) {
            ranges.push(following, background);
        }
    }
    for at in at + 1..wide.starts.len() {
        ranges.push(wide.starts[at], wide.classes[at]);
    }
    Ok((ranges, part))
}

impl DeepPart {
    /// Adds the table of a /64; gives its number in this part.
    fn push(&mut self, upper: u64, low: &Ranges<u64, u16>) -> u32 {
        let entry =
            IndexEntry { value: self.starts.len() as u32, inside: low.starts.len() as u32 - 1 };
        self.entries.push(entry);
        self.uppers.push(upper);
        self.starts.extend_from_slice(&low.starts);
        self.classes.extend_from_slice(&low.classes);
        self.entries.len() as u32 - 1
    }
}
