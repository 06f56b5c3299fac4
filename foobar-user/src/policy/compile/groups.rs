//! Which lists need to be told apart.
//!
//! Lists that every rule treats alike (all blocklists, unless an egress rule names one) form one group, and lists that nothing
//! uses belong to none. A source class is a set of groups; fewer groups make fewer classes, cells and ranges.

use std::{collections::HashMap, sync::Arc};

use crate::policy::{
    config::Choice,
    lists::{Layers, List, ListKind},
    model::{Peers, Policy},
    net::Net,
    prefix::Prefix,
    prefix_set::{Deep, PrefixSet},
};

/// What being in a group means for ingress, from the mildest to the strictest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Band {
    /// Rules may name it.
    Open,
    /// Blocklists.
    Blocked,
    /// The server's own addresses.
    Martian,
}

/// Where the prefixes of a group come from.
pub(super) enum Source<'p> {
    List(&'p List),
    Own(&'p PrefixSet),
}

impl<'p> Source<'p> {
    pub(super) fn v4(&self) -> Layers<'p, Net<u32>> {
        match self {
            Source::List(list) => list.v4(),
            Source::Own(set) => Layers::plain(set.v4()),
        }
    }

    pub(super) fn v6(&self) -> Layers<'p, Net<u64>> {
        match self {
            Source::List(list) => list.v6(),
            Source::Own(set) => Layers::plain(set.v6()),
        }
    }

    pub(super) fn deep(&self) -> Layers<'p, Deep> {
        match self {
            Source::List(list) => list.deep(),
            Source::Own(set) => Layers::plain(set.deep()),
        }
    }
}

/// The groups of a policy. Two policies with equal groups differ in entries only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Groups {
    /// What each group means.
    pub(super) bands: Vec<Band>,
    /// The lists that are used, by name, with their groups.
    lists: Vec<(String, u32)>,
    /// The group of the server's own addresses.
    own: Option<u32>,
}

impl Groups {
    pub(super) fn of(policy: &Policy) -> Self {
        let mut users: HashMap<&str, Vec<usize>> = HashMap::new();
        let ingress = policy.rules.iter().map(|rule| &rule.from);
        let peers = ingress.chain(policy.egress.rules.iter().map(|rule| &rule.to));
        for (number, peers) in peers.enumerate() {
            if let Peers::Lists(names) = peers {
                names.iter().for_each(|name| users.entry(name).or_default().push(number));
            }
        }
        let mut groups = Groups { bands: Vec::new(), lists: Vec::new(), own: None };
        let mut known: HashMap<(ListKind, Vec<usize>), u32> = HashMap::new();
        for list in policy.lists.iter() {
            let users = users.get(list.name.as_str()).cloned().unwrap_or_default();
            let band = match list.kind {
                ListKind::Allow if users.is_empty() => continue,
                ListKind::Allow => Band::Open,
                ListKind::Block => Band::Blocked,
            };
            let group = *known.entry((list.kind, users)).or_insert_with(|| groups.add(band));
            groups.lists.push((list.name.clone(), group));
        }
        if policy.choices.martians == Choice::Drop && !policy.own_addresses.is_empty() {
            groups.own = Some(groups.add(Band::Martian));
        }
        groups
    }

    fn add(&mut self, band: Band) -> u32 {
        self.bands.push(band);
        self.bands.len() as u32 - 1
    }

    pub(super) fn len(&self) -> usize {
        self.bands.len()
    }

    /// The group of a list, if anything uses it.
    pub(super) fn of_list(&self, name: &str) -> Option<u32> {
        self.lists.iter().find(|(known, _)| known == name).map(|(_, group)| *group)
    }

    /// All sources with their groups.
    pub(super) fn sources<'p>(
        &self,
        policy: &'p Policy,
        own: &'p PrefixSet,
    ) -> Vec<(Source<'p>, u32)> {
        let lists = self
            .lists
            .iter()
            .filter_map(|(name, group)| Some((Source::List(policy.lists.by_name(name)?), *group)));
        lists.chain(self.own.map(|group| (Source::Own(own), group))).collect()
    }

    /// The names of the lists that are used.
    pub(super) fn list_names(&self) -> impl Iterator<Item = &str> {
        self.lists.iter().map(|(name, _)| name.as_str())
    }
}

/// The server's own addresses as a set.
pub(super) fn own_addresses(policy: &Policy) -> Arc<PrefixSet> {
    Arc::new(policy.own_addresses.iter().map(|address| Prefix::host(*address)).collect())
}
