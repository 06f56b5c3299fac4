//! One list.

use std::{net::IpAddr, sync::Arc};

use super::{Details, Entry, Layers, ListKind, Overlay};
use crate::policy::{
    config::ListConfig,
    net::Net,
    prefix::Prefix,
    prefix_set::{Deep, Part, PrefixSet, merge6},
};

/// A list: a base, and an overlay of changes made at runtime.
#[derive(Clone, Debug)]
pub struct List {
    /// Allowlist or blocklist.
    pub kind: ListKind,
    /// As rules and commands name it.
    pub name: String,
    configured: Arc<PrefixSet>,
    pub(super) overlay: Overlay,
    /// IPv4 and IPv6 entries, kept because metrics ask for them often.
    pub(super) lengths: (usize, usize),
}

impl List {
    pub(super) fn new(config: &ListConfig) -> Self {
        let mut list = List {
            kind: config.kind,
            name: config.name.clone(),
            configured: config.entries.clone(),
            overlay: Overlay::default(),
            lengths: (0, 0),
        };
        list.count();
        list
    }

    /// Number of entries.
    pub fn len(&self) -> usize {
        self.len4() + self.len6()
    }

    /// Whether it has no entry.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Number of IPv4 entries.
    pub fn len4(&self) -> usize {
        self.lengths.0
    }

    /// Number of IPv6 entries.
    pub fn len6(&self) -> usize {
        self.lengths.1
    }

    /// Whether anything was changed at runtime.
    pub fn is_changed(&self) -> bool {
        !self.overlay.is_empty()
    }

    /// What was changed at runtime.
    pub fn overlay(&self) -> &Overlay {
        &self.overlay
    }

    /// The entries of the configuration, or those that were put in their place.
    pub(super) fn base(&self) -> &Arc<PrefixSet> {
        self.overlay.replaced.as_ref().unwrap_or(&self.configured)
    }

    /// IPv4 prefixes.
    pub fn v4(&self) -> Layers<'_, Net<u32>> {
        Layers {
            base: self.base().v4(),
            removed: self.overlay.removed.v4(),
            added: self.overlay.added.v4(),
        }
    }

    /// IPv6 prefixes up to /64, over the upper 64 bits.
    pub fn v6(&self) -> Layers<'_, Net<u64>> {
        Layers {
            base: self.base().v6(),
            removed: self.overlay.removed.v6(),
            added: self.overlay.added.v6(),
        }
    }

    /// IPv6 prefixes longer than /64.
    pub fn deep(&self) -> Layers<'_, Deep> {
        Layers {
            base: self.base().deep(),
            removed: self.overlay.removed.deep(),
            added: self.overlay.added.deep(),
        }
    }

    /// All prefixes, IPv4 first, in the order of their addresses, shorter before longer.
    pub fn prefixes(&self) -> impl Iterator<Item = Prefix> + '_ {
        self.v4().map(Prefix::V4).chain(merge6(self.v6(), self.deep()))
    }

    /// All entries, in the order of [`List::prefixes`].
    pub fn iter(&self) -> impl Iterator<Item = Entry> + '_ {
        self.prefixes().map(|prefix| self.entry(prefix))
    }

    fn entry(&self, prefix: Prefix) -> Entry {
        let Details { comment, expires_at } =
            self.overlay.details.get(&prefix).cloned().unwrap_or_default();
        Entry { prefix, comment, expires_at }
    }

    /// Whether exactly this prefix is an entry; one that covers it does not count.
    pub fn contains(&self, prefix: &Prefix) -> bool {
        match Part::from(*prefix) {
            Part::V4(net) => self.v4().contains(&net),
            Part::V6(net) => self.v6().contains(&net),
            Part::Deep(deep) => self.deep().contains(&deep),
        }
    }

    /// The entry of exactly this prefix.
    pub fn get(&self, prefix: &Prefix) -> Option<Entry> {
        self.contains(prefix).then(|| self.entry(*prefix))
    }

    /// Whether an entry was added, or is part of a replacement, at runtime.
    pub fn is_runtime(&self, prefix: &Prefix) -> bool {
        self.overlay.added.contains(prefix) || self.overlay.replaced.is_some()
    }

    /// All entries that hold an address, the most specific first.
    pub fn covering(&self, address: IpAddr) -> Vec<Entry> {
        self.covering_prefixes(Prefix::host(address)).map(|prefix| self.entry(prefix)).collect()
    }

    /// All entries that hold a prefix, itself included, the most specific first.
    pub(super) fn covering_prefixes(&self, prefix: Prefix) -> impl Iterator<Item = Prefix> + '_ {
        let at_length = move |length| match prefix {
            Prefix::V4(net) => Prefix::V4(Net::holding(net.address, length)),
            Prefix::V6(net) => Prefix::V6(Net::holding(net.address, length)),
        };
        (0..=prefix.length()).rev().map(at_length).filter(|prefix| self.contains(prefix))
    }

    pub(super) fn next_expiry(&self) -> Option<u64> {
        self.overlay.details.values().filter_map(|details| details.expires_at).min()
    }

    pub(super) fn count(&mut self) {
        fn count<T: Ord + Copy>(layers: Layers<'_, T>) -> usize {
            // `removed` is part of the base; an addition may repeat what the base still has.
            let kept = |item: &&T| {
                layers.base.binary_search(item).is_ok()
                    && layers.removed.binary_search(item).is_err()
            };
            layers.base.len() - layers.removed.len() + layers.added.len()
                - layers.added.iter().filter(kept).count()
        }
        self.lengths = (count(self.v4()), count(self.v6()) + count(self.deep()));
    }
}
