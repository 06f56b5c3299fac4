//! The state folder with everything that can go wrong.

mod faults;
mod journal;

use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
    sync::Arc,
};

use tempfile::TempDir;

use super::{Configured, Problem, State, Store, configuration::Kept, document};
use crate::policy::{
    ListKind, Prefix, PrefixSet,
    config::Sources,
    lists::{NamedOverlay, Overlay},
    model::Mode,
};

/// A state of this generation, with one short list and one that is long enough for a file of its own.
fn state(generation: u64) -> State {
    let short = Overlay {
        added: ["192.0.2.1".parse::<Prefix>().unwrap()].into_iter().collect(),
        ..Overlay::default()
    };
    let first = 0x0a00_0000 + (generation as u32) * 0x1_0000;
    let long: PrefixSet = (0..2_000u32)
        .map(|i| Prefix::host(std::net::Ipv4Addr::from_bits(first + 2 * i).into()))
        .collect();
    State {
        generation,
        flow_epoch: 7,
        mode: Mode::Enforce,
        change: format!("change {generation}"),
        changed_at: 1_700_000_000,
        configured: Configured::default(),
        overlays: vec![
            NamedOverlay { kind: ListKind::Allow, name: "admins".into(), overlay: short },
            NamedOverlay {
                kind: ListKind::Block,
                name: "../abuse".into(),
                overlay: Overlay { replaced: Some(Arc::new(long)), ..Overlay::default() },
            },
        ],
    }
}

fn json(state: &State) -> String {
    serde_json::to_string(state).unwrap()
}

fn open(folder: &TempDir) -> Store {
    Store::open(folder.path()).unwrap()
}

/// A folder that holds the state of generation 1.
fn with_state() -> (TempDir, PathBuf) {
    let folder = TempDir::new().unwrap();
    open(&folder).save(state(1)).unwrap();
    let path = folder.path().join("state.json");
    (folder, path)
}

fn list_files(folder: &Path) -> usize {
    fs::read_dir(folder.join("lists")).unwrap().count()
}

#[test]
fn what_was_saved_is_loaded() {
    let folder = TempDir::new().unwrap();
    assert!(open(&folder).load().unwrap().is_none());
    open(&folder).save(state(1)).unwrap();
    let mut store = open(&folder);
    let loaded = store.load().unwrap().unwrap();
    assert_eq!(json(&loaded), json(&state(1)));

    let list = fs::read_dir(folder.path().join("lists")).unwrap().next().unwrap().unwrap().path();
    let before = fs::metadata(&list).unwrap().modified().unwrap();
    store.save(State { generation: 2, ..loaded }).unwrap();
    assert_eq!(
        fs::metadata(&list).unwrap().modified().unwrap(),
        before,
        "an unchanged long list is not written again"
    );
    store.save(state(3)).unwrap();
    assert!(!list.exists(), "a list file that nothing names is removed");
    assert_eq!(list_files(folder.path()), 1);
}

#[test]
fn a_list_that_was_written_ahead_counts_once_its_state_is_saved() {
    let (folder, _) = with_state();
    let mut store = open(&folder);
    store.load().unwrap();
    let (second, third) = (state(2), state(3));
    store.write_ahead(&second).unwrap();
    assert_eq!(list_files(folder.path()), 2);
    assert_eq!(json(&Store::look(folder.path()).unwrap()), without_lists(&state(1)));
    // The state came to nothing: so does the file, and that of the state before stays.
    store.discard_ahead();
    assert!(store.lacks(&second));
    assert_eq!(list_files(folder.path()), 1);
    store.write_ahead(&third).unwrap();
    store.save(third.clone()).unwrap();
    assert!(!store.lacks(&third));
    store.discard_ahead();
    drop(store);
    assert_eq!(json(&open(&folder).load().unwrap().unwrap()), json(&third));
    assert_eq!(list_files(folder.path()), 1);
}

/// What [`Store::look`] finds of a state.
fn without_lists(state: &State) -> String {
    let mut state = state.clone();
    state.overlays[1].overlay.replaced = None;
    json(&state)
}

#[test]
fn files_are_for_the_daemon_alone() {
    let (folder, path) = with_state();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&path), 0o600);
    let list = fs::read_dir(folder.path().join("lists")).unwrap().next().unwrap().unwrap();
    assert_eq!(mode(&list.path()), 0o600);
    assert_eq!(mode(&folder.path().join("lists")), 0o700);

    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let refused = Store::open(folder.path()).err().unwrap();
    assert!(refused.to_string().contains("can be written by others (mode 0777)"), "{refused}");
}

#[test]
fn two_daemons_do_not_share_a_folder() {
    let folder = TempDir::new().unwrap();
    let first = open(&folder);
    assert!(matches!(Store::open(folder.path()).err().unwrap(), Problem::Busy { .. }));
    drop(first);
    open(&folder);
}

#[test]
fn a_killed_writer_leaves_the_old_state() {
    let (folder, _) = with_state();
    fs::write(folder.path().join(".state.json.new"), b"{\"version\":1,\"chec").unwrap();
    let mut store = open(&folder);
    assert_eq!(store.load().unwrap().unwrap().generation, 1);
    store.save(state(2)).unwrap();
    assert!(!folder.path().join(".state.json.new").exists());
}

#[test]
fn truncated_anywhere_is_damaged() {
    let (folder, path) = with_state();
    let whole = fs::read(&path).unwrap();
    // The last byte is the line break, which carries nothing.
    for length in 0..whole.len() - 1 {
        fs::write(&path, &whole[..length]).unwrap();
        let problem = open(&folder).load().unwrap_err();
        assert!(matches!(problem, Problem::Damaged { .. }), "{length} bytes: {problem}");
    }
}

#[test]
fn a_changed_byte_is_damaged() {
    let (folder, path) = with_state();
    let whole = fs::read(&path).unwrap();
    let content = whole.windows(9).position(|window| window == b"\"content\"").unwrap();
    for position in content..whole.len() - 1 {
        let mut changed = whole.clone();
        changed[position] ^= 1;
        fs::write(&path, &changed).unwrap();
        let problem = open(&folder).load().unwrap_err();
        assert!(matches!(problem, Problem::Damaged { .. }), "byte {position}: {problem}");
    }
}

#[test]
fn another_version_is_named() {
    let (folder, path) = with_state();
    let newer = format!("{{\"version\":{},\"anything\":[1,2,3]}}", document::VERSION + 1);
    fs::write(&path, newer).unwrap();
    let mut store = open(&folder);
    let problem = store.load().unwrap_err();
    assert!(
        problem.to_string().contains("has state version 3, this foobar reads versions up to 2"),
        "{problem}"
    );
    assert!(problem.is_about_content());
    let aside = store.keep_aside(&problem).unwrap();
    assert_eq!(aside.file_name().unwrap(), "state.json.other-version-1");
    assert!(aside.exists() && !path.exists());
    assert!(store.load().unwrap().is_none(), "a fresh start is possible");
}

#[test]
fn what_was_kept_aside_is_never_overwritten() {
    let (folder, path) = with_state();
    let mut store = open(&folder);
    for number in 1..=3 {
        fs::write(&path, format!("garbage {number}")).unwrap();
        let problem = store.load().unwrap_err();
        let aside = store.keep_aside(&problem).unwrap();
        assert_eq!(
            aside.file_name().unwrap().to_str().unwrap(),
            format!("state.json.damaged-{number}")
        );
        assert_eq!(fs::read_to_string(aside).unwrap(), format!("garbage {number}"));
    }
}

#[test]
fn a_list_file_that_is_gone_or_changed_is_damaged() {
    for damage in [
        |path: &Path| fs::remove_file(path).unwrap(),
        |path: &Path| fs::write(path, "10.0.0.1/32\n").unwrap(),
    ] {
        let (folder, _) = with_state();
        let list =
            fs::read_dir(folder.path().join("lists")).unwrap().next().unwrap().unwrap().path();
        damage(&list);
        let problem = open(&folder).load().unwrap_err();
        assert!(matches!(&problem, Problem::Damaged { path, .. } if *path == list), "{problem}");
    }
}

#[test]
fn symbolic_links_are_refused() {
    let (folder, path) = with_state();
    let elsewhere = TempDir::new().unwrap();
    let target = elsewhere.path().join("target");
    fs::rename(&path, &target).unwrap();
    symlink(&target, &path).unwrap();
    let mut store = open(&folder);
    assert!(matches!(store.load().unwrap_err(), Problem::Symlink { .. }));
    let before = fs::read(&target).unwrap();
    assert!(matches!(store.save(state(2)).unwrap_err(), Problem::Symlink { .. }));
    assert_eq!(fs::read(&target).unwrap(), before);

    let link = elsewhere.path().join("folder");
    symlink(folder.path(), &link).unwrap();
    assert!(matches!(Store::open(&link).err().unwrap(), Problem::Symlink { .. }));
}

#[test]
fn a_disk_that_cannot_be_read_is_no_fresh_start() {
    let (folder, path) = with_state();
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    let problem = open(&folder).load().unwrap_err();
    assert!(matches!(problem, Problem::Read { .. }) && !problem.is_about_content(), "{problem}");
}

#[test]
fn configurations_are_kept_with_their_lists_as_long_as_they_matter() {
    let folder = TempDir::new().unwrap();
    let mut store = open(&folder);
    let sources = |text: &str| Sources {
        path: "/etc/foobar/foobar.toml".into(),
        text: text.to_owned(),
        files: [(PathBuf::from("/etc/foobar/abuse.txt"), b"192.0.2.1\n".to_vec())].into(),
    };
    let copies = || fs::read_dir(folder.path().join("configurations")).unwrap().count();
    let with = |generation: u64, current: &Kept| State {
        configured: Configured { current: Some(current.clone()), ..Configured::default() },
        ..state(generation)
    };
    let first = store.keep(1, &sources("mode = \"audit\"")).unwrap();
    store.save(with(1, &first)).unwrap();
    let second = store.keep(2, &sources("mode = \"enforce\"")).unwrap();
    assert_ne!(first.fingerprint, second.fingerprint);
    store.save(with(2, &second)).unwrap();
    assert_eq!(copies(), 4, "the state before may come back");
    store.save(with(1, &first)).unwrap();
    assert_eq!(store.kept(&first).unwrap(), sources("mode = \"audit\""));
    store.save(with(3, &first)).unwrap();
    assert_eq!(copies(), 2);
    drop(store);

    let mut store = open(&folder);
    let loaded = store.load().unwrap().unwrap();
    let kept = loaded.configured.current.expect("it was saved");
    assert_eq!(store.kept(&kept).unwrap(), sources("mode = \"audit\""));
    fs::write(folder.path().join("configurations/1-0.txt"), "192.0.2.2\n").unwrap();
    assert!(matches!(store.kept(&kept), Err(Problem::Damaged { .. })));
    fs::remove_file(folder.path().join("configurations/1.toml")).unwrap();
    assert!(matches!(store.kept(&kept), Err(Problem::Damaged { .. })));
}
