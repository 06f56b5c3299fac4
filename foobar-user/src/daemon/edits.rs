//! Changes of lists by operators: those that wait at the same time are put in force together, each with a generation of its
//! own, and each is refused or done on its own.

use std::sync::Arc;

use anyhow::Result;
use tokio::sync::oneshot;
use tracing::warn;

use super::{guard, intent::Intent, keeper::Keeper, pipeline::Durability};
use crate::{
    control::{
        Refusal,
        api::ListEdited,
        command::{Caution, Edit, EditRequest},
    },
    kernel::Fit,
    policy::{Entry, ListKind, Prefix},
};

/// A change that waits, and where its answer goes.
pub type Waiting = (EditRequest, oneshot::Sender<Result<ListEdited, Refusal>>);

/// Entries that the log names; of more it tells the number.
const NAMED: usize = 5;

/// A request, where its answer goes, and the answer that it gets if all that wait together are put in force.
type Answered = (EditRequest, oneshot::Sender<Answer>, Answer);

/// What a change comes to.
type Answer = Result<ListEdited, Refusal>;

impl Keeper {
    /// Does what can be done, and answers all.
    pub(super) fn edit(&mut self, waiting: Vec<Waiting>) {
        if waiting.is_empty() {
            return;
        }
        let mut intent = self.current.clone();
        let answered: Vec<Answered> = waiting
            .into_iter()
            .map(|(request, reply)| {
                let answer = edit_lists(&mut intent, &request);
                (request, reply, answer)
            })
            .collect();
        let requests = answered.iter().filter(|answered| answered.2.is_ok());
        let done = if intent.news.is_empty() {
            Ok(())
        } else {
            check(&self.current, &intent, requests.map(|answered| &answered.0), cut).and_then(
                |()| {
                    self.put_in_force(intent, Fit::Superset, Durability::Required)
                        .map_err(|error| Refusal::from_error(&error))
                },
            )
        };
        match done {
            Ok(()) => {
                for (request, reply, answer) in answered {
                    tell(&request, reply, answer);
                }
            }
            // One may be at fault, which the others must not suffer for. What one alone is told may differ: the generation.
            Err(_) if answered.len() > 1 => {
                for (request, reply, _) in answered {
                    self.edit(vec![(request, reply)]);
                }
            }
            Err(refusal) => {
                for (request, reply, answer) in answered {
                    tell(&request, reply, answer.and(Err(refusal.clone())));
                }
            }
        }
    }
}

/// Sends an answer; a refusal is noted in the log.
fn tell(request: &EditRequest, reply: oneshot::Sender<Answer>, answer: Answer) {
    if let Err(refusal) = &answer {
        warn!(
            "refused a change of the {} {} by {}: {refusal}",
            request.kind, request.name, request.peer
        );
    }
    // Somebody who does not wait any more is no error.
    let _ = reply.send(answer);
}

/// Whether the changes together cut off somebody. They come into force in one step, so what lies between does not matter.
fn check<'a>(
    before: &Intent,
    after: &Intent,
    requests: impl Iterator<Item = &'a EditRequest>,
    cut: impl Fn(&Intent, &Intent, &Caution) -> Result<(), Refusal>,
) -> Result<(), Refusal> {
    let mut cautions: Vec<&Caution> =
        requests.filter(|request| narrows(request)).map(|request| &request.caution).collect();
    // Most come from one session, or from none.
    cautions.sort_unstable();
    cautions.dedup();
    cautions.into_iter().try_for_each(|caution| cut(before, after, caution))
}

/// Whether a change can only take something away from somebody.
fn narrows(request: &EditRequest) -> bool {
    match request.edit {
        Edit::Add(_) => request.kind == ListKind::Block,
        Edit::Remove(_) => request.kind == ListKind::Allow,
        Edit::Replace(_) | Edit::ReplaceSet(_) => true,
    }
}

/// Whether somebody is cut off.
fn cut(before: &Intent, after: &Intent, caution: &Caution) -> Result<(), Refusal> {
    guard::check(Some(&before.policy()), &after.policy(), caution)
}

/// Applies a change to what shall be in force. A change that is refused, or changes nothing, leaves the generation as it is.
fn edit_lists(intent: &mut Intent, request: &EditRequest) -> Answer {
    let EditRequest { peer, kind, name, edit, notes, if_generation, .. } = request;
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
    // A list that is replaced by what it holds differs from the configuration from now on, unless it did before.
    let mut same = true;
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
            format!(
                "remove {name}: {}",
                named(prefixes.len(), prefixes.iter().map(Prefix::to_string))
            )
        }
        Edit::Replace(entries) => {
            let replaced = intent.lists.replace(*kind, name, entries)?;
            (edited.added, edited.removed) = (replaced.added, replaced.removed);
            edited.updated = replaced.after - replaced.added;
            format!("replace {name}: {} entries", replaced.after)
        }
        Edit::ReplaceSet(set) => {
            let before = intent.lists.clone();
            let replaced = intent.lists.replace_set(*kind, name, Arc::clone(set))?;
            (edited.added, edited.removed) = (replaced.added, replaced.removed);
            let old = before.get(*kind, name)?.overlay();
            let new = intent.lists.get(*kind, name)?.overlay();
            same = replaced.added + replaced.removed == 0
                && old.replaced.is_some()
                && old.details == new.details;
            if same {
                intent.lists = before;
            }
            format!("replace {name}: {} entries", replaced.after)
        }
    };
    edited.total = intent.lists.get(*kind, name)?.len();
    if edited.added + edited.updated + edited.removed > 0 || !same {
        intent.record(format!("{peer}: {} {what}", kind.word()));
    }
    edited.generation = intent.generation;
    Ok(edited)
}

fn describe(entry: &Entry) -> String {
    match &entry.comment {
        Some(comment) => format!("{} ({comment})", entry.prefix),
        None => entry.prefix.to_string(),
    }
}

/// The first few, and how many more.
pub(super) fn named(total: usize, entries: impl Iterator<Item = String>) -> String {
    let mut text = entries.take(NAMED).collect::<Vec<_>>().join(", ");
    if total > NAMED {
        text.push_str(&format!(" and {} more", total - NAMED));
    }
    text
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::{
        control::Peer,
        policy::{Config, Lists},
        state::Configured,
    };

    const CONFIG: &str = "\
        [allowlists.admins]\nentries = [\"198.51.100.0/24\", \"2001:db8::/32\"]\n\
        [blocklists.abuse]\nentries = [\"203.0.113.0/24\"]\n\
        [[rules]]\nname = \"ssh\"\nports = [22]\nfrom = [\"admins\"]\n";

    fn intent() -> Intent {
        let config = Config::parse(CONFIG, Path::new("foobar.toml")).unwrap().config;
        Intent {
            lists: Lists::from_config(&config),
            config: Arc::new(config),
            configured: Configured::default(),
            own_addresses: Vec::new(),
            flow_epoch: 1,
            generation: 7,
            change: String::new(),
            changed_at: 0,
            news: Vec::new(),
        }
    }

    fn request(name: &str, edit: Edit) -> EditRequest {
        EditRequest {
            peer: Peer { uid: 0, gids: vec![0], pid: 42, comm: "test".into() },
            kind: ListKind::Allow,
            name: name.to_owned(),
            edit,
            notes: vec!["noted before".into()],
            if_generation: None,
            caution: Caution::default(),
        }
    }

    fn prefix(text: &str) -> Prefix {
        text.parse().unwrap()
    }

    fn add(texts: &[&str]) -> Edit {
        Edit::Add(texts.iter().map(|text| Entry::from(prefix(text))).collect())
    }

    #[test]
    fn each_change_has_a_generation_and_says_who_did_what() {
        let mut intent = intent();
        let edited =
            edit_lists(&mut intent, &request("admins", add(&["192.0.2.1", "192.0.2.2"]))).unwrap();
        assert_eq!((edited.generation, edited.added, edited.total), (8, 2, 4));
        assert_eq!(edited.notes, ["noted before"]);
        let edited =
            edit_lists(&mut intent, &request("admins", Edit::Remove(vec![prefix("192.0.2.1")])))
                .unwrap();
        assert_eq!((edited.generation, edited.removed, edited.total), (9, 1, 3));
        assert_eq!(intent.news.len(), 2);
        let (generation, change) = &intent.news[1];
        assert_eq!(*generation, 9);
        assert!(
            change.contains("uid 0, pid 42, test")
                && change.ends_with("allow remove admins: 192.0.2.1/32"),
            "{change}"
        );
    }

    #[test]
    fn what_is_there_already_is_no_change() {
        let mut intent = intent();
        let edited =
            edit_lists(&mut intent, &request("admins", add(&["198.51.100.0/24"]))).unwrap();
        assert_eq!((edited.generation, edited.added, edited.updated, edited.total), (7, 0, 0, 2));
        assert!(intent.news.is_empty());
    }

    #[test]
    fn a_list_that_is_replaced_by_what_it_holds_changes_once() {
        let mut intent = intent();
        let set = || ["198.51.100.0/24", "2001:db8::/32"].map(prefix).into_iter().collect();
        let edited =
            edit_lists(&mut intent, &request("admins", Edit::ReplaceSet(Arc::new(set())))).unwrap();
        assert_eq!((edited.generation, edited.added, edited.removed), (8, 0, 0));
        assert!(intent.lists.get(ListKind::Allow, "admins").unwrap().is_changed());
        let edited =
            edit_lists(&mut intent, &request("admins", Edit::ReplaceSet(Arc::new(set())))).unwrap();
        assert_eq!(edited.generation, 8);
    }

    #[test]
    fn a_script_that_saw_another_generation_changes_nothing() {
        let mut intent = intent();
        let wanted =
            EditRequest { if_generation: Some(7), ..request("admins", add(&["192.0.2.1"])) };
        edit_lists(&mut intent, &wanted).unwrap();
        let again =
            EditRequest { if_generation: Some(7), ..request("admins", add(&["192.0.2.2"])) };
        let refusal = edit_lists(&mut intent, &again).unwrap_err();
        assert_eq!(refusal.error, "the policy is of generation 8, not 7");
        assert_eq!(
            (intent.generation, intent.lists.get(ListKind::Allow, "admins").unwrap().len()),
            (8, 3)
        );
    }

    #[test]
    fn a_removal_is_all_or_nothing_and_names_what_still_covers() {
        let mut intent = intent();
        edit_lists(&mut intent, &request("admins", add(&["198.51.100.7"]))).unwrap();
        let some = Edit::Remove(vec![prefix("198.51.100.7"), prefix("192.0.2.9")]);
        let refusal = edit_lists(&mut intent, &request("admins", some)).unwrap_err();
        assert_eq!(refusal.error, "192.0.2.9/32 is no entry of \"admins\"");
        assert_eq!(intent.generation, 8);
        let edited =
            edit_lists(&mut intent, &request("admins", Edit::Remove(vec![prefix("198.51.100.7")])))
                .unwrap();
        assert_eq!(edited.notes[1], "198.51.100.7/32 is still covered by 198.51.100.0/24");
    }

    #[test]
    fn only_what_narrows_is_checked_and_each_session_once() {
        let intent = intent();
        let refused = |requests: &[EditRequest]| {
            let asked = std::cell::Cell::new(0);
            let refuse = |_: &Intent, _: &Intent, caution: &Caution| {
                asked.set(asked.get() + 1);
                if caution.force { Ok(()) } else { Err(Refusal::conflict("no")) }
            };
            (check(&intent, &intent, requests.iter(), refuse).is_err(), asked.get())
        };
        let widen = || request("admins", add(&["192.0.2.1"]));
        let narrow = || request("admins", Edit::Remove(vec![prefix("198.51.100.0/24")]));
        let block =
            || EditRequest { kind: ListKind::Block, ..request("abuse", add(&["192.0.2.1"])) };
        let forced =
            || EditRequest { caution: Caution { force: true, ..Caution::default() }, ..narrow() };
        assert_eq!(refused(&[widen()]), (false, 0));
        assert_eq!(refused(&[narrow()]), (true, 1));
        assert_eq!(refused(&[widen(), block()]), (true, 1));
        assert_eq!(refused(&[forced(), forced()]), (false, 1), "one session is asked for once");
        assert!(refused(&[forced(), narrow()]).0, "who forces does so for himself");
    }

    #[test]
    fn an_unknown_list_comes_with_those_there_are() {
        let refusal =
            edit_lists(&mut intent(), &request("guests", add(&["192.0.2.1"]))).unwrap_err();
        assert_eq!(refusal.error, "there is no allowlist \"guests\"");
        assert_eq!(refusal.help.as_deref(), Some("allowlists are: admins"));
        let refusal =
            edit_lists(&mut intent(), &request("abuse", add(&["192.0.2.1"]))).unwrap_err();
        assert_eq!(refusal.help.as_deref(), Some("abuse is a blocklist: use `foobar block`"));
    }

    #[test]
    fn the_log_names_a_few_entries_and_the_number_of_the_others() {
        assert_eq!(named(3, ["a", "b", "c"].map(str::to_owned).into_iter()), "a, b, c");
        let many = (0..1000).map(|number| number.to_string());
        assert_eq!(named(1000, many), "0, 1, 2, 3, 4 and 995 more");
    }
}
