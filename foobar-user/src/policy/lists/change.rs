//! What came of a change.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Entry, ListKind, MAX_COMMENT, MAX_ENTRIES};
use crate::policy::prefix::Prefix;

/// Entries were added.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Added {
    /// Entries that were not there before.
    pub new: usize,
    /// Entries whose comment or end changed.
    pub updated: usize,
    /// Entries that were there like this already.
    pub unchanged: usize,
    /// What the caller should know, such as an end that does not count.
    pub notes: Vec<String>,
}

/// Entries were removed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Removed {
    /// How many.
    pub removed: usize,
    /// What is still on the list because other entries cover it.
    pub notes: Vec<String>,
}

/// A list was replaced.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replaced {
    /// Number of entries before.
    pub before: usize,
    /// Number of entries now.
    pub after: usize,
    /// Entries that are new.
    pub added: usize,
    /// Entries that are gone.
    pub removed: usize,
}

/// An entry whose end has come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Expired {
    /// Allowlist or blocklist.
    pub kind: ListKind,
    /// The list's name.
    pub list: String,
    /// What was removed from it.
    pub entry: Entry,
}

/// A change that cannot be made. The lists are as they were.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListError {
    /// There is no such list.
    UnknownList {
        /// What was asked for.
        kind: ListKind,
        /// What was asked for.
        name: String,
        /// A list of this name exists, but of this other kind.
        other_kind: Option<ListKind>,
        /// What was probably meant.
        suggestion: Option<String>,
        /// All lists of this kind.
        known: Vec<String>,
    },
    /// This prefix is no entry of the list.
    NotAnEntry {
        /// Allowlist or blocklist.
        kind: ListKind,
        /// The list.
        list: String,
        /// What was to be removed.
        prefix: Prefix,
        /// The entry that covers it, if there is one.
        covered_by: Option<Prefix>,
    },
    /// The list would have too many entries.
    TooMany {
        /// The list.
        list: String,
        /// How many entries of one IP version it would have.
        entries: usize,
    },
    /// A comment is too long or holds control characters.
    BadComment {
        /// The entry.
        prefix: Prefix,
    },
}

impl ListError {
    /// What to do about it.
    pub fn help(&self) -> String {
        match self {
            ListError::UnknownList { other_kind: Some(other), name, .. } => {
                format!("{name} is a {other}: use `foobar {}`", other.word())
            }
            ListError::UnknownList { suggestion: Some(meant), .. } => {
                format!("did you mean {meant}?")
            }
            ListError::UnknownList { known, kind, name, .. } if known.is_empty() => {
                format!("add [{kind}s.{name}] to the configuration and reload it")
            }
            ListError::UnknownList { known, kind, .. } => {
                format!("{kind}s are: {}", known.join(", "))
            }
            ListError::NotAnEntry { covered_by: Some(entry), kind, .. } => {
                let or = match kind {
                    ListKind::Allow => "or block the address",
                    ListKind::Block => "and add what is to stay blocked",
                };
                format!("{entry} covers it; remove that entry, {or}")
            }
            ListError::NotAnEntry { kind, list, .. } => {
                format!("`foobar {} list {list}` shows how its entries are written", kind.word())
            }
            ListError::TooMany { .. } => "join neighbouring prefixes to shorter ones".into(),
            ListError::BadComment { .. } => {
                format!("write at most {MAX_COMMENT} printable characters on one line")
            }
        }
    }
}

impl fmt::Display for ListError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ListError::UnknownList { kind, name, .. } => write!(f, "there is no {kind} \"{name}\""),
            ListError::NotAnEntry { list, prefix, .. } => {
                write!(f, "{prefix} is no entry of \"{list}\"")
            }
            ListError::TooMany { list, entries } => {
                write!(
                    f,
                    "\"{list}\" would have {entries} entries of one IP version, at most {MAX_ENTRIES} can be"
                )
            }
            ListError::BadComment { prefix } => {
                write!(f, "the comment of {prefix} cannot be stored")
            }
        }
    }
}

impl std::error::Error for ListError {}
