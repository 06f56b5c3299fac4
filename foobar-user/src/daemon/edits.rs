//! Changes of lists by operators: those that wait at the same time are put in force together, each with a generation of its
//! own, and each is refused or done on its own.

use anyhow::Result;
use tokio::sync::oneshot;
use tracing::warn;

use super::{
    intent::Intent,
    keeper::Keeper,
    pipeline::Durability,
};
use crate::{
    control::{
        Refusal,
        api::ListEdited,
        command::{Edit, EditRequest},
    },
    kernel::Fit,
    policy::{Entry, Prefix},
};

/// A change that waits, and where its answer goes.
pub type Waiting = (EditRequest, oneshot::Sender<Result<ListEdited, Refusal>>);

/// Entries that the log names; of more it tells the number.
const NAMED: usize = 5;

impl Keeper {
    /// Does what can be done, and answers all.
    pub(super) fn edit(&mut self, waiting: Vec<Waiting>) {
        if waiting.is_empty() {
            return;
        }
        let mut intent = self.current.clone();
        let mut changes = Vec::new();
        let mut accepted = Vec::new();
        for (request, reply) in waiting {
            match apply(&mut intent, &request) {
                Ok((edited, change)) => {
                    changes.extend(change);
                    accepted.push((request, edited, reply));
                }
                Err(refusal) => refuse(&request, refusal, reply),
            }
        }
        let done = match changes.as_slice() {
            [] => Ok(()),
            changes => {
                intent.change = changes.join("; ");
                self.put_in_force(intent, Fit::Superset, Durability::Required)
            }
        };
        match done {
            Ok(()) => {
                for (_, edited, reply) in accepted {
                    let _ = reply.send(Ok(edited));
                }
            }
            // One may be at fault, which the others must not suffer for.
            Err(_) if accepted.len() > 1 => {
                for (request, _, reply) in accepted {
                    self.edit(vec![(request, reply)]);
                }
            }
            Err(error) => {
                for (request, _, reply) in accepted {
                    refuse(&request, Refusal::from_error(&error), reply);
                }
            }
        }
    }
}

fn refuse(request: &EditRequest, refusal: Refusal, reply: oneshot::Sender<Result<ListEdited, Refusal>>) {
    warn!("refused a change of the {} {} by {}: {refusal}", request.kind, request.name, request.peer);
    let _ = reply.send(Err(refusal));
}

/// Applies a change to what shall be in force; the second value is what to log, `None` if nothing changes.
fn apply(intent: &mut Intent, request: &EditRequest) -> Result<(ListEdited, Option<String>), Refusal> {
    let EditRequest { peer, kind, name, edit, notes, if_generation } = request;
    if let Some(wanted) = if_generation.filter(|&wanted| wanted != intent.generation) {
        return Err(Refusal::conflict(format!("the policy is of generation {}, not {wanted}", intent.generation))
            .help("someone else changed it; look at the list again and decide whether the change still makes sense"));
    }
    let mut edited = ListEdited {
        kind: kind.word().to_owned(),
        name: name.clone(),
        generation: 0,
        added: 0,
        updated: 0,
        removed: 0,
        total: 0,
        notes: notes.clone(),
    };
    let what = match edit {
        Edit::Add(entries) => {
            let added = intent.lists.add(*kind, name, entries)?;
            (edited.added, edited.updated) = (added.new, added.updated);
            edited.notes.extend(added.notes);
            format!("add {name}: {}", named(entries.len(), entries.iter().map(describe)))
        }
        Edit::Remove(prefixes) => {
            let removed = intent.lists.remove(*kind, name, prefixes)?;
            edited.removed = removed.removed;
            edited.notes.extend(removed.notes);
            format!("remove {name}: {}", named(prefixes.len(), prefixes.iter().map(Prefix::to_string)))
        }
        Edit::Replace(entries) => {
            let replaced = intent.lists.replace(*kind, name, entries)?;
            (edited.added, edited.removed) = (replaced.added, replaced.removed);
            edited.updated = entries.len() - replaced.added;
            format!("replace {name}: {} entries", entries.len())
        }
        Edit::ReplaceSet(set) => {
            let replaced = intent.lists.replace_set(*kind, name, set.clone())?;
            (edited.added, edited.removed) = (replaced.added, replaced.removed);
            format!("replace {name}: {} entries", set.len())
        }
    };
    edited.total = intent.lists.get(*kind, name)?.len();
    let change = if edited.added + edited.updated + edited.removed > 0 || matches!(edit, Edit::ReplaceSet(_)) {
        intent.record(format!("{peer}: {} {what}", kind.word()));
        Some(intent.change.clone())
    } else {
        None
    };
    edited.generation = intent.generation;
    Ok((edited, change))
}

fn describe(entry: &Entry) -> String {
    match &entry.comment {
        Some(comment) => format!("{} ({comment})", entry.prefix),
        None => entry.prefix.to_string(),
    }
}

/// The first few, and how many more.
fn named(total: usize, entries: impl Iterator<Item = String>) -> String {
    let mut text = entries.take(NAMED).collect::<Vec<_>>().join(", ");
    if total > NAMED {
        text.push_str(&format!(" and {} more", total - NAMED));
    }
    text
}
