//! What is kept: everything an operator changed at runtime, and the numbers that must not start again.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::Configured;
use crate::policy::{
    PrefixSet,
    lists::{ListKind, NamedOverlay},
    model::Mode,
};

/// What a restarted daemon needs to continue where the last one was.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct State {
    /// Generation of the policy that was last put in force.
    pub generation: u64,
    /// Epoch of the flows that count ([`foobar_common::flow::Flow::epoch`]).
    pub flow_epoch: u32,
    /// The mode of that policy: what audit let through is forgotten on the way to enforce.
    pub mode: Mode,
    /// Who changed what last.
    pub change: String,
    /// When that was, seconds since 1970.
    pub changed_at: u64,
    /// The configuration.
    #[serde(default)]
    pub configured: Configured,
    /// The runtime changes of the lists.
    pub overlays: Vec<NamedOverlay>,
}

/// [`State`] as it stands in the document: long replaced lists are files of their own, so that the next small change does not
/// write them again.
#[derive(Serialize, Deserialize)]
pub(super) struct Stored {
    /// The state; the lists named in `files` are missing from it.
    pub state: State,
    /// Lists that were replaced as a whole, in files.
    pub files: Vec<ListFile>,
    /// The journal whose steps come after this state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub journal: Option<String>,
}

/// A replaced list in a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ListFile {
    pub kind: ListKind,
    pub name: String,
    /// Its name in the folder of lists.
    pub file: String,
    /// Of its content.
    pub checksum: String,
    /// How many entries it has.
    pub entries: usize,
}

impl Stored {
    /// Entries above which a replaced list becomes a file.
    const INLINE: usize = 1_000;

    fn is_long(set: &Arc<PrefixSet>) -> bool {
        set.len() > Self::INLINE
    }

    /// The long lists of a state, which are to be files, numbered.
    pub fn long(state: &State) -> impl Iterator<Item = (usize, LongList)> + '_ {
        let lists = state.overlays.iter().filter_map(|NamedOverlay { kind, name, overlay }| {
            let set = overlay.replaced.clone().filter(Self::is_long)?;
            Some(LongList { kind: *kind, name: name.clone(), set })
        });
        lists.enumerate()
    }

    /// A state without them.
    pub fn short(mut state: State) -> State {
        for overlay in &mut state.overlays {
            overlay.overlay.replaced.take_if(|set| Self::is_long(set));
        }
        state
    }
}

/// A replaced list that is too long for the document.
pub(super) struct LongList {
    pub kind: ListKind,
    pub name: String,
    pub set: Arc<PrefixSet>,
}
