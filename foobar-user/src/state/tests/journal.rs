//! The journal: what it costs, what of it counts, and when it ends.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use proptest::{collection::btree_map, prelude::*};
use tempfile::TempDir;

use super::{json, open, state};
use crate::{
    policy::{
        ListKind, Prefix, PrefixSet,
        lists::{Details, NamedOverlay, Overlay},
    },
    state::{Problem, State, Store, delta::Delta, journal::all},
};

/// Few prefixes, so that two lists often have the same ones.
fn prefixes() -> impl Strategy<Value = PrefixSet> {
    let some = prop::sample::subsequence((0u8..12).collect::<Vec<_>>(), 0..12);
    some.prop_map(|numbers| numbers.into_iter().map(prefix).collect())
}

fn prefix(number: u8) -> Prefix {
    let text = match number % 3 {
        0 => format!("192.0.2.{number}"),
        1 => format!("2001:db8:{number}::/48"),
        _ => format!("2001:db8::{number}"),
    };
    text.parse().expect("a prefix")
}

fn states() -> impl Strategy<Value = State> {
    let details = btree_map(0u8..12, (0u8..3, prop::option::of(0u64..3)), 0..8);
    let overlay = (prefixes(), prefixes(), details).prop_map(|(added, removed, details)| {
        let details = details.into_iter().map(|(number, (comment, expires_at))| {
            (prefix(number), Details { comment: Some(comment.to_string()), expires_at })
        });
        Overlay { replaced: None, added, removed, details: Arc::new(details.collect()) }
    });
    let named = btree_map("[a-d]", overlay, 0..4);
    (named, 0..5u64).prop_map(|(named, generation)| {
        let named = named.into_iter().filter(|(_, overlay)| !overlay.is_empty());
        let overlays =
            named.map(|(name, overlay)| NamedOverlay { kind: ListKind::Block, name, overlay });
        State { generation, overlays: overlays.collect(), ..state(1) }
    })
}

proptest! {
    #[test]
    fn a_step_leads_from_any_state_to_any_other(before in states(), after in states()) {
        let step = Delta::between(&before, &after).expect("only entries differ");
        let text = serde_json::to_string(&step).unwrap();
        let step: Delta = serde_json::from_str(&text).unwrap();
        let mut there = before.clone();
        step.apply(&mut there);
        prop_assert_eq!(json(&there), json(&after));
    }
}

#[test]
fn what_is_no_entry_is_no_step() {
    let before = state(1);
    let mut after = before.clone();
    after.flow_epoch += 1;
    assert!(Delta::between(&before, &after).is_none());
    after = before.clone();
    after.configured.rejected = Some("crc32:1".into());
    assert!(Delta::between(&before, &after).is_none());
    assert!(Delta::between(&before, &state(1)).is_none(), "another list was put in place");
    assert!(Delta::between(&before, &before.clone()).is_some());
}

/// A folder whose journal has as many steps as asked for, and the states along the way, of which the first two are documents.
fn with_steps(steps: u8) -> (TempDir, Vec<State>) {
    let folder = TempDir::new().unwrap();
    let mut store = open(&folder);
    let mut states = vec![state(1)];
    // Reading the long list for each byte would take its time.
    states[0].overlays.truncate(1);
    for step in 0..=steps {
        let mut next = states.last().unwrap().clone();
        next.generation += 1;
        let entry: Prefix = format!("198.51.100.{step}").parse().unwrap();
        next.overlays[0].overlay.added.insert(&entry);
        let details = Details { comment: Some(format!("step {step}")), expires_at: Some(5) };
        Arc::make_mut(&mut next.overlays[0].overlay.details).insert(entry, details);
        states.push(next);
    }
    for state in &states {
        store.save(state.clone()).unwrap();
    }
    (folder, states)
}

fn journal(folder: &TempDir) -> PathBuf {
    let mut names = all(folder.path());
    let path = folder.path().join(names.next().expect("a journal"));
    assert!(names.next().is_none(), "one journal");
    path
}

fn document(folder: &Path) -> Vec<u8> {
    fs::read(folder.join("state.json")).unwrap()
}

fn loaded(folder: &TempDir) -> String {
    json(&open(folder).load().unwrap().unwrap())
}

#[test]
fn an_entry_more_is_a_line_more() {
    let (folder, states) = with_steps(0);
    let before = document(folder.path());
    assert!(before.starts_with(b"{\"version\":2,"), "an older foobar must not miss the steps");
    assert_eq!(fs::read(journal(&folder)).unwrap(), b"");
    assert_eq!(loaded(&folder), json(&states[1]));

    let (folder, states) = with_steps(3);
    let text = fs::read_to_string(journal(&folder)).unwrap();
    assert_eq!(text.lines().count(), 3);
    assert!(text.lines().all(|line| line.len() < 300), "{text}");
    assert_eq!(loaded(&folder), json(&states[4]));
    assert_eq!(Store::look(folder.path()).unwrap().generation, states[4].generation);
}

#[test]
fn a_change_that_is_taken_back_is_a_step_as_well() {
    let (folder, states) = with_steps(3);
    let mut store = open(&folder);
    for at in [4, 3, 4, 2, 3] {
        store.save(states[at].clone()).unwrap();
    }
    drop(store);
    assert_eq!(fs::read_to_string(journal(&folder)).unwrap().lines().count(), 3);
    assert_eq!(loaded(&folder), json(&states[3]));
}

/// What a power cut leaves at the end was never acknowledged.
#[test]
fn an_unfinished_end_does_not_count() {
    let (folder, states) = with_steps(3);
    let path = journal(&folder);
    let whole = fs::read(&path).unwrap();
    let ends: Vec<_> = (1..=whole.len()).filter(|&end| whole[end - 1] == b'\n').collect();
    for length in 0..=whole.len() {
        let steps = ends.iter().filter(|&&end| end <= length).count();
        fs::write(&path, &whole[..length]).unwrap();
        assert_eq!(loaded(&folder), json(&states[1 + steps]), "{length} bytes");
        // Blocks that were given to the file but not written.
        let mut zeros = whole[..length].to_vec();
        zeros.resize(whole.len() + 4096, 0);
        fs::write(&path, zeros).unwrap();
        let steps = if length + 1 == whole.len() { 2 } else { steps };
        assert_eq!(loaded(&folder), json(&states[1 + steps]), "{length} bytes and zeros");
    }
    // The next daemon goes on.
    let mut store = open(&folder);
    store.load().unwrap();
    store.save(states[2].clone()).unwrap();
    store.save(states[3].clone()).unwrap();
    drop(store);
    assert_eq!(loaded(&folder), json(&states[3]));
}

#[test]
fn a_bad_line_before_a_good_one_is_damage() {
    let (folder, _) = with_steps(3);
    let path = journal(&folder);
    let whole = fs::read(&path).unwrap();
    let last = whole.iter().enumerate().rfind(|(at, byte)| **byte == b'\n' && at + 1 < whole.len());
    // Not the line break itself, without which it is one unfinished line.
    for position in 0..last.unwrap().0 {
        let mut changed = whole.clone();
        changed[position] ^= 1;
        fs::write(&path, &changed).unwrap();
        let problem = open(&folder).load().unwrap_err();
        assert!(matches!(problem, Problem::Damaged { .. }), "byte {position}: {problem}");
        assert!(Store::look(folder.path()).is_err());
    }
    // A line that is good in itself, but not the next one.
    let text = String::from_utf8(whole).unwrap();
    let without: String = text.lines().skip(1).map(|line| format!("{line}\n")).collect();
    fs::write(&path, without).unwrap();
    let problem = open(&folder).load().unwrap_err();
    assert!(problem.to_string().contains("is followed by a step from 3"), "{problem}");
}

#[test]
fn a_journal_that_is_gone_is_damage_and_goes_aside_with_its_document() {
    let (folder, _) = with_steps(3);
    let path = journal(&folder);
    let kept = fs::read(&path).unwrap();
    fs::remove_file(&path).unwrap();
    let problem = open(&folder).load().unwrap_err();
    assert!(matches!(&problem, Problem::Damaged { path: named, .. } if *named == path));

    fs::write(&path, &kept).unwrap();
    fs::write(folder.path().join("state.json"), "garbage").unwrap();
    let mut store = open(&folder);
    let problem = store.load().unwrap_err();
    store.keep_aside(&problem).unwrap();
    assert!(store.load().unwrap().is_none());
    store.save(state(1)).unwrap();
    let name = path.file_name().unwrap().to_str().unwrap();
    assert_eq!(fs::read(folder.path().join(format!("{name}.damaged-1"))).unwrap(), kept);

    let text = r#"{"state":{"generation":1,"flow_epoch":7,"mode":"enforce","change":"","changed_at":0,"overlays":[]},"files":[],"journal":"../../etc/passwd"}"#;
    let envelope = format!(
        r#"{{"version":2,"checksum":"{}","content":{text}}}"#,
        super::document::checksum(text.as_bytes())
    );
    fs::write(folder.path().join("state.json"), envelope).unwrap();
    let problem = store.load().unwrap_err();
    assert!(problem.to_string().contains("no name of a journal"), "{problem}");
}

#[test]
fn a_stopped_daemon_leaves_a_document_that_any_version_reads() {
    let (folder, states) = with_steps(3);
    let mut store = open(&folder);
    store.fold().unwrap();
    assert!(document(folder.path()).starts_with(b"{\"version\":2,"), "it has saved nothing yet");
    for state in &states {
        store.save(state.clone()).unwrap();
    }
    store.fold().unwrap();
    assert!(document(folder.path()).starts_with(b"{\"version\":1,"));
    assert_eq!(all(folder.path()).count(), 0);
    drop(store);
    assert_eq!(loaded(&folder), json(states.last().unwrap()));
}

#[test]
fn a_long_journal_is_taken_into_the_document() {
    let folder = TempDir::new().unwrap();
    let mut store = open(&folder);
    let mut last = state(1);
    store.save(last.clone()).unwrap();
    let (mut longest, mut documents) = (0, 0);
    for step in 0..60u32 {
        last.generation += 1;
        let before = document(folder.path());
        for entry in 0..250u32 {
            let address = std::net::Ipv4Addr::from_bits(0xc612_0000 + 250 * step + entry);
            let entry = Prefix::host(address.into());
            let overlay = &mut last.overlays[0].overlay;
            overlay.added.insert(&entry);
            let details = Details { comment: Some("x".repeat(150)), expires_at: None };
            Arc::make_mut(&mut overlay.details).insert(entry, details);
        }
        store.save(last.clone()).unwrap();
        documents += u32::from(document(folder.path()) != before);
        longest = longest.max(fs::metadata(journal(&folder)).unwrap().len());
    }
    assert!((512 << 10..2 << 20).contains(&longest), "{longest} bytes");
    assert!((2..6).contains(&documents), "{documents} documents");
    drop(store);
    assert_eq!(loaded(&folder), json(&last));
}
