//! What was changed at runtime, as it is stored.

use std::{collections::BTreeMap, sync::Arc};

use serde::{Deserialize, Serialize};

use super::ListKind;
use crate::policy::{prefix::Prefix, prefix_set::PrefixSet};

/// What is kept of an entry besides its prefix.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Details {
    /// What for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    /// When it ends, in seconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<u64>,
}

/// The changes of one list.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Overlay {
    /// What stands in place of the configuration's entries, if the list was replaced as a whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replaced: Option<Arc<PrefixSet>>,
    /// Entries that were added.
    #[serde(skip_serializing_if = "PrefixSet::is_empty")]
    pub added: PrefixSet,
    /// Entries of the base that were removed.
    #[serde(skip_serializing_if = "PrefixSet::is_empty")]
    pub removed: PrefixSet,
    /// Comments and ends, of entries that have one.
    #[serde(skip_serializing_if = "is_empty")]
    pub details: Arc<BTreeMap<Prefix, Details>>,
}

fn is_empty(details: &Arc<BTreeMap<Prefix, Details>>) -> bool {
    details.is_empty()
}

impl Overlay {
    /// Whether it changes nothing.
    pub fn is_empty(&self) -> bool {
        self.replaced.is_none()
            && self.added.is_empty()
            && self.removed.is_empty()
            && self.details.is_empty()
    }
}

/// The changes of one list, with its name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NamedOverlay {
    /// Allowlist or blocklist.
    pub kind: ListKind,
    /// The list's name.
    pub name: String,
    /// Its changes.
    pub overlay: Overlay,
}
