//! What lies between two states: the few entries that a change of lists concerns, however long the lists are.

use std::{cmp::Ordering, collections::BTreeMap, sync::Arc};

use serde::{Deserialize, Serialize};

use super::State;
use crate::policy::{
    ListKind, Prefix, PrefixSet,
    lists::{Details, NamedOverlay, Overlay},
};

/// A step from one state to another.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Delta {
    /// Generation of the state before.
    pub from: u64,
    /// Generation of the state after.
    generation: u64,
    /// As [`State::change`].
    change: String,
    /// As [`State::changed_at`].
    changed_at: u64,
    /// What becomes of which list.
    lists: Vec<ListDelta>,
}

/// What becomes of the changes of one list.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct ListDelta {
    kind: ListKind,
    name: String,
    /// Of [`Overlay::added`].
    #[serde(default, skip_serializing_if = "SetDelta::is_empty")]
    added: SetDelta,
    /// Of [`Overlay::removed`].
    #[serde(default, skip_serializing_if = "SetDelta::is_empty")]
    removed: SetDelta,
    /// Of [`Overlay::details`]; `None` where an entry has none any more.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    details: BTreeMap<Prefix, Option<Details>>,
}

/// What comes into a set, and what goes out of it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct SetDelta {
    #[serde(skip_serializing_if = "PrefixSet::is_empty")]
    come: PrefixSet,
    #[serde(skip_serializing_if = "PrefixSet::is_empty")]
    gone: PrefixSet,
}

impl Delta {
    /// The step from one state to another; `None` if more differs than single entries of lists.
    pub fn between(before: &State, after: &State) -> Option<Self> {
        let rest = |state: &State| (state.flow_epoch, state.mode);
        if rest(before) != rest(after) || before.configured != after.configured {
            return None;
        }
        let nothing = Overlay::default();
        let mut lists = Vec::new();
        for NamedOverlay { kind, name, overlay } in &after.overlays {
            let earlier = position(before, *kind, name).map(|at| &before.overlays[at].overlay);
            lists.push(ListDelta::between(*kind, name, earlier.unwrap_or(&nothing), overlay)?);
        }
        for NamedOverlay { kind, name, overlay } in &before.overlays {
            if position(after, *kind, name).is_none() {
                lists.push(ListDelta::between(*kind, name, overlay, &nothing)?);
            }
        }
        lists.retain(|list| !list.is_empty());
        Some(Delta {
            from: before.generation,
            generation: after.generation,
            change: after.change.clone(),
            changed_at: after.changed_at,
            lists,
        })
    }

    /// Takes the step.
    pub fn apply(self, state: &mut State) {
        state.generation = self.generation;
        state.change = self.change;
        state.changed_at = self.changed_at;
        for list in self.lists {
            let at = position(state, list.kind, &list.name).unwrap_or_else(|| {
                let (kind, name) = (list.kind, list.name.clone());
                // They are in the order of the lists' names.
                let at = state.overlays.partition_point(|one| one.name < name);
                state.overlays.insert(at, NamedOverlay { kind, name, overlay: Overlay::default() });
                at
            });
            let overlay = &mut state.overlays[at].overlay;
            list.apply(overlay);
            if overlay.is_empty() {
                state.overlays.remove(at);
            }
        }
    }
}

/// Where the changes of a list are.
fn position(state: &State, kind: ListKind, name: &str) -> Option<usize> {
    state.overlays.iter().position(|one| one.kind == kind && one.name == name)
}

impl ListDelta {
    fn between(kind: ListKind, name: &str, before: &Overlay, after: &Overlay) -> Option<Self> {
        match (&before.replaced, &after.replaced) {
            (None, None) => {}
            (Some(one), Some(other)) if Arc::ptr_eq(one, other) => {}
            _ => return None,
        }
        Some(ListDelta {
            kind,
            name: name.to_owned(),
            added: SetDelta::between(&before.added, &after.added),
            removed: SetDelta::between(&before.removed, &after.removed),
            details: if Arc::ptr_eq(&before.details, &after.details) {
                BTreeMap::new()
            } else {
                details_between(&before.details, &after.details)
            },
        })
    }

    fn is_empty(&self) -> bool {
        self.added.is_empty() && self.removed.is_empty() && self.details.is_empty()
    }

    fn apply(self, overlay: &mut Overlay) {
        self.added.apply(&mut overlay.added);
        self.removed.apply(&mut overlay.removed);
        if !self.details.is_empty() {
            let all = Arc::make_mut(&mut overlay.details);
            for (prefix, details) in self.details {
                match details {
                    Some(details) => drop(all.insert(prefix, details)),
                    None => drop(all.remove(&prefix)),
                }
            }
        }
    }
}

impl SetDelta {
    fn between(before: &PrefixSet, after: &PrefixSet) -> Self {
        SetDelta { come: after.without(before), gone: before.without(after) }
    }

    fn is_empty(&self) -> bool {
        self.come.is_empty() && self.gone.is_empty()
    }

    fn apply(&self, set: &mut PrefixSet) {
        set.subtract(&self.gone);
        set.extend(&self.come);
    }
}

/// One walk over both.
fn details_between(
    before: &BTreeMap<Prefix, Details>,
    after: &BTreeMap<Prefix, Details>,
) -> BTreeMap<Prefix, Option<Details>> {
    let (mut old, mut new) = (before.iter().peekable(), after.iter().peekable());
    let mut changed = BTreeMap::new();
    loop {
        let order = match (old.peek(), new.peek()) {
            (None, None) => return changed,
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some((one, _)), Some((other, _))) => one.cmp(other),
        };
        let gone = if order.is_le() { old.next() } else { None };
        let come = if order.is_ge() { new.next() } else { None };
        match (gone, come) {
            (Some((_, one)), Some((_, other))) if one == other => {}
            (_, Some((prefix, details))) => {
                changed.insert(*prefix, Some(details.clone()));
            }
            (Some((prefix, _)), None) => {
                changed.insert(*prefix, None);
            }
            (None, None) => {}
        }
    }
}
