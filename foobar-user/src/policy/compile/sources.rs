//! Which address is in which class: built once, then changed where a change falls.

use std::sync::Arc;

use foobar_common::tables::DEEP;

use super::{
    CompileError, Table4, Table6,
    classes::Classes,
    groups::{Groups, Source, own_addresses},
    index,
    sweep::{Merge, Open, Ranges, StoredClass, sweep},
    table::splice,
};
use crate::policy::{
    lists::{Layers, Lists},
    model::Policy,
    net::{Net, Word},
    prefix::Prefix,
    prefix_set::{Part, PrefixSet},
};

/// More changed prefixes than this are not worth the search for each of them.
const MAX_CHANGES: usize = 1024;
/// So few classes are searched for one by one, and most of them are found at once.
const FEW_CLASSES: usize = 16;

/// The source classes of a policy, and from what they were made.
pub(super) struct Sources {
    groups: Groups,
    lists: Lists,
    own: Arc<PrefixSet>,
    pub(super) classes: Classes,
    pub(super) v4: Arc<Table4>,
    pub(super) v6: Arc<Table6>,
    pub(super) shape4: index::Shape<u32>,
    pub(super) shape6: index::Shape<u64>,
    /// Where the IPv4 ranges are not those of the index.
    changed4: Vec<(u32, u32)>,
    /// The same for IPv6.
    changed6: Vec<(u64, u64)>,
}

impl Sources {
    /// The source classes of a policy; `earlier` ones are changed where they differ.
    ///
    /// # Errors
    /// [`CompileError::TooManyClasses`].
    pub(super) fn update(
        earlier: Option<Sources>,
        policy: &Policy,
    ) -> Result<Sources, CompileError> {
        let groups = Groups::of(policy);
        let own = own_addresses(policy);
        let changes = earlier.as_ref().and_then(|earlier| earlier.changes(&groups, policy, &own));
        let mut sources = match (earlier, changes) {
            (Some(earlier), Some(changes)) => {
                let mut sources = Sources { lists: policy.lists.clone(), own, ..earlier };
                for change in changes {
                    sources.change(policy, change)?;
                }
                sources
            }
            (earlier, _) => {
                // The old tables make room before the new ones are built.
                drop(earlier);
                Sources::build(groups, policy, own)?
            }
        };
        sources.finish();
        Ok(sources)
    }

    fn build(
        groups: Groups,
        policy: &Policy,
        own: Arc<PrefixSet>,
    ) -> Result<Sources, CompileError> {
        let mut sources = Sources {
            classes: Classes::new(groups.len()),
            groups,
            lists: policy.lists.clone(),
            own,
            v4: Arc::default(),
            v6: Arc::default(),
            shape4: index::Shape::default(),
            shape6: index::Shape::default(),
            changed4: Vec::new(),
            changed6: Vec::new(),
        };
        sources.change(policy, Part::V4(Net::default()))?;
        sources.change(policy, Part::V6(Net::default()))?;
        Ok(sources)
    }

    /// Which prefixes changed, if that is all that changed and worth more than building anew.
    fn changes(&self, groups: &Groups, policy: &Policy, own: &PrefixSet) -> Option<Vec<Part>> {
        if *groups != self.groups {
            return None;
        }
        let mut changes = Vec::new();
        for name in groups.list_names() {
            let (now, then) = (policy.lists.by_name(name)?, self.lists.by_name(name)?);
            changes.extend(now.changed_since(then, MAX_CHANGES)?);
        }
        let only = |a: &PrefixSet, b: &PrefixSet| {
            a.iter().filter(|prefix| !b.contains(prefix)).map(Part::from).collect::<Vec<_>>()
        };
        changes.extend(only(own, &self.own));
        changes.extend(only(&self.own, own));
        // A window that is inside another one is done with it.
        let mut prefixes: Vec<Prefix> = changes.into_iter().map(Prefix::from).collect();
        prefixes.sort_unstable();
        prefixes.dedup_by(|next, kept| kept.covers(next));
        let sources = groups.sources(policy, own);
        let total: usize = sources.iter().map(|(source, _)| size(source)).sum();
        let touched: usize = prefixes
            .iter()
            .map(|prefix| sources.iter().map(|(source, _)| touched(source, *prefix)).sum::<usize>())
            .sum();
        let worth_it = prefixes.len() <= MAX_CHANGES && touched <= total / 2;
        worth_it.then(|| prefixes.into_iter().map(Part::from).collect())
    }

    /// Builds the ranges anew of the addresses inside a prefix.
    fn change(&mut self, policy: &Policy, window: Part) -> Result<(), CompileError> {
        let own = self.own.clone();
        let sources = self.groups.sources(policy, &own);
        match window {
            Part::V4(net) => self.change4(&sources, net),
            Part::V6(net) => self.change6(&sources, net),
            // What is inside a /64 is built for the whole of it.
            Part::Deep(deep) => self.change6(&sources, Net { address: deep.upper, length: 64 }),
        }
    }

    fn change4(
        &mut self,
        sources: &[(Source<'_>, u32)],
        window: Net<u32>,
    ) -> Result<(), CompileError> {
        let layers = sources.iter().map(|(source, group)| (source.v4(), *group));
        let ranges = ranges_within(&mut self.classes, self.groups.len(), layers, window)?;
        let table = Arc::make_mut(&mut self.v4);
        let bounds = (window.address, window.last());
        splice(&mut table.starts, &mut table.classes, bounds, ranges);
        self.changed4.push(bounds);
        Ok(())
    }

    fn change6(
        &mut self,
        sources: &[(Source<'_>, u32)],
        window: Net<u64>,
    ) -> Result<(), CompileError> {
        let layers = sources.iter().map(|(source, group)| (source.v6(), *group));
        let wide = ranges_within(&mut self.classes, self.groups.len(), layers, window)?;
        let bounds = (window.address, window.last());
        self.changed6.push(bounds);
        let deep = Merge::new(
            sources
                .iter()
                .map(|(source, group)| (source.deep().window(bounds.0, bounds.1), *group)),
        );
        Arc::make_mut(&mut self.v6).replace(
            &mut self.classes,
            self.groups.len(),
            bounds,
            wide,
            deep,
        )
    }

    /// Numbers the classes for good and brings the indexes up to date.
    fn finish(&mut self) {
        let used = self.used();
        let (v4, v6) = (Arc::make_mut(&mut self.v4), Arc::make_mut(&mut self.v6));
        let (mut changed4, mut changed6) =
            (std::mem::take(&mut self.changed4), std::mem::take(&mut self.changed6));
        if let Some(renamed) = self.classes.renumber(&used, &self.groups.bands) {
            v4.classes.iter_mut().for_each(|class| *class = renamed[usize::from(*class)] as u16);
            v6.classes
                .iter_mut()
                .filter(|class| **class & DEEP == 0)
                .for_each(|class| *class = renamed[*class as usize]);
            v6.low_classes
                .iter_mut()
                .for_each(|class| *class = renamed[usize::from(*class)] as u16);
            (changed4, changed6) = (vec![(0, u32::MAX)], vec![(0, u64::MAX)]);
        }
        self.shape4 = v4.finish(self.shape4, &changed4);
        self.shape6 = v6.finish(self.shape6, &changed6);
    }

    /// Which classes some range has.
    fn used(&self) -> Vec<bool> {
        let (v4, v6) = (&self.v4, &self.v6);
        if self.classes.len() <= FEW_CLASSES {
            let is_used = |class: u32| {
                let short = class as u16;
                v4.classes.contains(&short)
                    || v6.classes.contains(&class)
                    || v6.low_classes.contains(&short)
            };
            return (0..self.classes.len() as u32).map(is_used).collect();
        }
        let mut used = vec![false; self.classes.len()];
        v4.classes.iter().for_each(|class| used[usize::from(*class)] = true);
        let wide = v6.classes.iter().filter(|class| **class & DEEP == 0);
        wide.for_each(|class| used[*class as usize] = true);
        v6.low_classes.iter().for_each(|class| used[usize::from(*class)] = true);
        used
    }

    pub(super) fn groups(&self) -> &Groups {
        &self.groups
    }
}

/// The ranges that the prefixes of all sources make inside a window.
fn ranges_within<'a, W: Word, C: StoredClass>(
    classes: &mut Classes,
    groups: usize,
    sources: impl Iterator<Item = (Layers<'a, Net<W>>, u32)>,
    window: Net<W>,
) -> Result<Ranges<W, C>, CompileError> {
    let mut open = Open::new(groups);
    let mut inside = Vec::new();
    for (source, group) in sources {
        open.enter(classes, group, source.holding(window))?;
        inside.push((source.window(window.address, window.last()), group));
    }
    let merged = Merge::new(inside);
    let mut ranges = Ranges::with_capacity(2 * merged.at_most() + 2);
    // Wider prefixes that start where the window does are open already.
    let prefixes = merged.filter(|(net, _)| net.length >= window.length);
    sweep(classes, &mut open, (window.address, window.last()), prefixes, &mut ranges)?;
    Ok(ranges)
}

fn size(source: &Source<'_>) -> usize {
    source.v4().at_most() + source.v6().at_most() + source.deep().at_most()
}

/// Number of prefixes of a source that a change of this prefix has to look at.
fn touched(source: &Source<'_>, prefix: Prefix) -> usize {
    match Part::from(prefix) {
        Part::V4(net) => source.v4().window(net.address, net.last()).at_most(),
        Part::V6(net) => {
            let (first, last) = (net.address, net.last());
            source.v6().window(first, last).at_most() + source.deep().window(first, last).at_most()
        }
        Part::Deep(deep) => source.deep().window(deep.upper, deep.upper).at_most(),
    }
}
