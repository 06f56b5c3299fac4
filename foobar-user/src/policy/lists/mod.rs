//! Allowlists and blocklists: what the configuration says, with what was changed while the daemon runs laid over it.
//!
//! The two layers are kept apart, so that a reload of the configuration loses no change made at runtime and a change can be
//! taken back. Cheap to clone: the large parts are shared.

mod change;
mod compare;
mod edit;
mod layers;
mod list;
mod overlay;
#[cfg(test)]
mod tests;

use std::{fmt, str::FromStr, sync::Arc};

use serde::{Deserialize, Serialize};

pub use change::{Added, Expired, ListError, Removed, Replaced};
pub use layers::Layers;
pub use list::List;
pub use overlay::{Details, NamedOverlay, Overlay};

use super::{config::Config, diagnostic::did_you_mean, prefix::Prefix, prefix_set::PrefixSet};

/// Most entries of one IP version that a list may have: `list_capacity` in metrics.
pub const MAX_ENTRIES: usize = 4_000_000;

/// Longest comment of an entry, in characters.
pub const MAX_COMMENT: usize = 200;

/// What being on a list means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ListKind {
    /// Rules may name it.
    Allow,
    /// It is blocked, whatever the rules say.
    Block,
}

impl ListKind {
    /// The word of the command line and of the control API: `allow` or `block`.
    pub const fn word(self) -> &'static str {
        match self {
            ListKind::Allow => "allow",
            ListKind::Block => "block",
        }
    }
}

impl fmt::Display for ListKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}list", self.word())
    }
}

impl FromStr for ListKind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "allow" => Ok(ListKind::Allow),
            "block" => Ok(ListKind::Block),
            other => Err(format!("\"{other}\" is no kind of list: it is \"allow\" or \"block\"")),
        }
    }
}

/// An entry of a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Which addresses.
    pub prefix: Prefix,
    /// What for, at most [`MAX_COMMENT`] characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    /// When it ends, in seconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<u64>,
}

impl From<Prefix> for Entry {
    /// An entry without comment that lasts.
    fn from(prefix: Prefix) -> Self {
        Entry { prefix, comment: None, expires_at: None }
    }
}

/// All lists of a configuration.
#[derive(Clone, Debug, Default)]
pub struct Lists {
    /// Sorted by name, which is unique.
    lists: Vec<List>,
}

impl Lists {
    /// The lists of a configuration, unchanged.
    pub fn from_config(config: &Config) -> Self {
        let mut lists: Vec<_> = config.lists.iter().map(List::new).collect();
        lists.sort_by(|a, b| a.name.cmp(&b.name));
        Lists { lists }
    }

    /// The lists of another configuration, with the changes that were made to these; changes of lists that are not there
    /// any more are given back.
    pub fn reconfigure(&self, config: &Config) -> (Self, Vec<NamedOverlay>) {
        let mut lists = Lists::from_config(config);
        let lost = lists.set_overlays(self.overlays());
        (lists, lost)
    }

    /// All lists, by name.
    pub fn iter(&self) -> impl Iterator<Item = &List> {
        self.lists.iter()
    }

    /// The list of this name, whatever its kind.
    pub fn by_name(&self, name: &str) -> Option<&List> {
        self.lists
            .binary_search_by(|list| list.name.as_str().cmp(name))
            .ok()
            .map(|at| &self.lists[at])
    }

    /// A list.
    ///
    /// # Errors
    /// [`ListError::UnknownList`].
    pub fn get(&self, kind: ListKind, name: &str) -> Result<&List, ListError> {
        self.position(kind, name).map(|at| &self.lists[at])
    }

    /// Adds entries, or changes comment and end of those that are there already. An entry of the configuration has no end.
    ///
    /// # Errors
    /// Nothing is added then.
    pub fn add(
        &mut self,
        kind: ListKind,
        name: &str,
        entries: &[Entry],
    ) -> Result<Added, ListError> {
        let at = self.position(kind, name)?;
        self.lists[at].add(entries)
    }

    /// Removes entries. What another entry covers stays on the list; the result says so.
    ///
    /// # Errors
    /// Nothing is removed then; [`ListError::NotAnEntry`] if one of them is no entry.
    pub fn remove(
        &mut self,
        kind: ListKind,
        name: &str,
        prefixes: &[Prefix],
    ) -> Result<Removed, ListError> {
        let at = self.position(kind, name)?;
        self.lists[at].remove(prefixes)
    }

    /// Puts other entries in the place of all that a list has, those of the configuration included.
    ///
    /// # Errors
    /// Nothing is replaced then.
    pub fn replace(
        &mut self,
        kind: ListKind,
        name: &str,
        entries: &[Entry],
    ) -> Result<Replaced, ListError> {
        let at = self.position(kind, name)?;
        self.lists[at].replace(entries)
    }

    /// As [`Lists::replace`], for entries without comment and end.
    ///
    /// # Errors
    /// Nothing is replaced then.
    pub fn replace_set(
        &mut self,
        kind: ListKind,
        name: &str,
        set: Arc<PrefixSet>,
    ) -> Result<Replaced, ListError> {
        let at = self.position(kind, name)?;
        self.lists[at].replace_set(set, Default::default())
    }

    /// Takes back every change, so that a list is what the configuration says.
    ///
    /// # Errors
    /// [`ListError::UnknownList`].
    pub fn reset(&mut self, kind: ListKind, name: &str) -> Result<Replaced, ListError> {
        let at = self.position(kind, name)?;
        Ok(self.lists[at].reset())
    }

    /// Removes the entries whose end has come. `now` is in seconds since 1970.
    pub fn expire(&mut self, now: u64) -> Vec<Expired> {
        let mut expired = Vec::new();
        for list in &mut self.lists {
            let (kind, name) = (list.kind, list.name.clone());
            expired.extend(list.expire(now).into_iter().map(|entry| Expired {
                kind,
                list: name.clone(),
                entry,
            }));
        }
        expired
    }

    /// When the next entry ends, in seconds since 1970.
    pub fn next_expiry(&self) -> Option<u64> {
        self.lists.iter().filter_map(List::next_expiry).min()
    }

    /// The changes of all lists that were changed, to be stored.
    pub fn overlays(&self) -> Vec<NamedOverlay> {
        self.lists
            .iter()
            .filter(|list| list.is_changed())
            .map(|list| NamedOverlay {
                kind: list.kind,
                name: list.name.clone(),
                overlay: list.overlay().clone(),
            })
            .collect()
    }

    /// Lays stored changes over the lists, in place of those that are there. Gives those back whose list does not exist.
    pub fn set_overlays(&mut self, overlays: Vec<NamedOverlay>) -> Vec<NamedOverlay> {
        for list in &mut self.lists {
            list.set_overlay(Overlay::default());
        }
        let mut lost = Vec::new();
        for named in overlays {
            match self.position(named.kind, &named.name) {
                Ok(at) => self.lists[at].set_overlay(named.overlay),
                Err(_) => lost.push(named),
            }
        }
        lost
    }

    fn position(&self, kind: ListKind, name: &str) -> Result<usize, ListError> {
        let at = self.lists.binary_search_by(|list| list.name.as_str().cmp(name)).ok();
        at.filter(|at| self.lists[*at].kind == kind).ok_or_else(|| {
            let same_kind = || {
                self.lists.iter().filter(|list| list.kind == kind).map(|list| list.name.as_str())
            };
            ListError::UnknownList {
                kind,
                name: name.to_owned(),
                other_kind: at.map(|at| self.lists[at].kind),
                suggestion: did_you_mean(name, same_kind()).map(str::to_owned),
                known: same_kind().map(str::to_owned).collect(),
            }
        })
    }
}
