//! Every step of every way of saving, interrupted: the step fails as on a full or a broken disk, or the daemon dies in it.

use std::{
    fs::File,
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    sync::{Arc, Mutex},
};

use tempfile::TempDir;

use super::{json, list_files, open, state};
use crate::{
    policy::Prefix,
    state::{
        Problem, State, Store,
        disk::{Disk, LocalDisk},
    },
};

/// What befalls a step.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    /// It fails; a write leaves half of it behind.
    Error(i32),
    /// The step is done, but an error is reported, as by an fsync that failed late.
    Late(i32),
    /// The process dies in it; a write leaves half of it behind.
    Death,
}

/// Steps that were counted, and at which number which fault comes.
type Plan = (usize, Option<(usize, Fault)>);

/// A disk with a fault at one step, counted from the last [`Faults::set`].
#[derive(Clone, Default)]
struct Faults(Arc<Mutex<Plan>>);

struct FaultyDisk(Faults);

impl Faults {
    /// Counts from here, and lets the step with this number go wrong. Returns how many were counted before.
    fn set(&self, fault: Option<(usize, Fault)>) -> usize {
        let mut state = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        std::mem::replace(&mut *state, (0, fault)).0
    }

    fn store(&self, folder: &TempDir) -> Store {
        Store::open_on(folder.path(), Box::new(FaultyDisk(self.clone()))).unwrap()
    }

    fn next(&self) -> Option<Fault> {
        let mut state = self.0.lock().unwrap();
        let (number, fault) = *state;
        state.0 += 1;
        fault.filter(|(at, _)| *at == number).map(|(_, fault)| fault)
    }

    /// Takes a step, of which there may be a half.
    fn step<T>(
        &self,
        half: impl FnOnce() -> io::Result<()>,
        whole: impl FnOnce() -> io::Result<T>,
    ) -> io::Result<T> {
        match self.next() {
            None => whole(),
            Some(Fault::Error(error)) => {
                half()?;
                Err(io::Error::from_raw_os_error(error))
            }
            Some(Fault::Late(error)) => {
                whole()?;
                Err(io::Error::from_raw_os_error(error))
            }
            Some(Fault::Death) => {
                half()?;
                // Not `panic!`: nothing is to be printed.
                std::panic::resume_unwind(Box::new("killed"));
            }
        }
    }
}

fn nothing() -> io::Result<()> {
    Ok(())
}

impl Disk for FaultyDisk {
    fn create(&self, path: &Path) -> io::Result<File> {
        self.0.step(nothing, || LocalDisk.create(path))
    }

    fn append(&self, path: &Path) -> io::Result<File> {
        self.0.step(nothing, || LocalDisk.append(path))
    }

    fn write(&self, file: &mut File, content: &[u8]) -> io::Result<()> {
        let mut other = file.try_clone()?;
        self.0.step(
            || LocalDisk.write(&mut other, &content[..content.len() / 2]),
            || LocalDisk.write(file, content),
        )
    }

    fn sync(&self, file: &File) -> io::Result<()> {
        self.0.step(nothing, || LocalDisk.sync(file))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.0.step(nothing, || LocalDisk.rename(from, to))
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        self.0.step(nothing, || LocalDisk.sync_folder(folder))
    }
}

/// `base` with one entry more, which is a step of the journal.
fn with_entry(base: &State, number: u8) -> State {
    let mut state = base.clone();
    state.generation += 1;
    state.change = format!("entry {number}");
    let entry: Prefix = format!("198.51.100.{number}").parse().unwrap();
    state.overlays[0].overlay.added.insert(&entry);
    state
}

/// What is to be saved after a store has saved what comes before.
struct Case {
    name: &'static str,
    before: Vec<State>,
    then: State,
    folds: bool,
    ahead: bool,
    steps: usize,
}

fn cases() -> Vec<Case> {
    let first = state(1);
    let (second, third) = (with_entry(&first, 1), with_entry(&with_entry(&first, 1), 2));
    let fourth = with_entry(&third, 3);
    let case = |name, before: &[&State], then: &State, steps| Case {
        name,
        before: before.iter().copied().cloned().collect(),
        then: then.clone(),
        folds: false,
        ahead: false,
        steps,
    };
    vec![
        case("a document and a list", &[&first], &state(2), 10),
        case("a document with a journal", &[&first], &second, 6),
        case("a step", &[&first, &second], &third, 3),
        case("a further step", &[&first, &second, &third], &fourth, 3),
        case("a document and a list after steps", &[&first, &second, &third], &state(4), 10),
        Case { ahead: true, ..case("a list ahead of its document", &[&first], &state(2), 10) },
        Case { folds: true, ..case("a fold", &[&first, &second, &third], &third, 5) },
    ]
}

impl Case {
    fn act(&self, store: &mut Store) -> Result<(), Problem> {
        if self.folds {
            return store.fold();
        }
        if self.ahead {
            assert!(store.lacks(&self.then));
            store.write_ahead(&self.then)?;
            assert!(!store.lacks(&self.then));
        }
        store.save(self.then.clone())
    }

    /// A folder and a store in it that has saved what comes before.
    fn prepare(&self, faults: &Faults) -> (TempDir, Store) {
        faults.set(None);
        let folder = TempDir::new().unwrap();
        let mut store = faults.store(&folder);
        for state in &self.before {
            store.save(state.clone()).unwrap();
        }
        faults.set(None);
        (folder, store)
    }
}

fn loaded(folder: &TempDir) -> String {
    json(&open(folder).load().unwrap().unwrap())
}

#[test]
fn slow_a_step_that_fails_leaves_the_old_state() {
    let faults = Faults::default();
    for case in cases() {
        let old = json(case.before.last().unwrap());
        let (folder, mut store) = case.prepare(&faults);
        case.act(&mut store).unwrap();
        assert_eq!(faults.set(None), case.steps, "{}", case.name);
        drop(store);
        assert_eq!(loaded(&folder), json(&case.then));

        let errors = [libc::ENOSPC, libc::EIO];
        let kinds = errors.into_iter().flat_map(|error| [Fault::Error(error), Fault::Late(error)]);
        for (kind, step) in kinds.flat_map(|kind| (0..case.steps).map(move |step| (kind, step))) {
            let at = format!("{}, step {step}: {kind:?}", case.name);
            let (folder, mut store) = case.prepare(&faults);
            faults.set(Some((step, kind)));
            let problem = case.act(&mut store).unwrap_err();
            assert!(problem.to_string().starts_with("cannot "), "{at}: {problem}");
            assert!(!problem.is_about_content(), "{at}");

            // Nor does it change with what the same daemon does next, nor stand in its way.
            let there = json(&Store::look(folder.path()).unwrap());
            let seen = |state: &State| {
                let mut state = state.clone();
                state.overlays[1].overlay.replaced = None;
                json(&state)
            };
            assert_eq!(there, seen(case.before.last().unwrap()), "{at}");
            let next = with_entry(case.before.last().unwrap(), 77);
            store.save(next.clone()).unwrap();
            let further = with_entry(&next, 78);
            store.save(further.clone()).unwrap();
            drop(store);
            assert_eq!(loaded(&folder), json(&further), "{at}");

            let (folder, mut store) = case.prepare(&faults);
            faults.set(Some((step, kind)));
            case.act(&mut store).unwrap_err();
            drop(store);
            faults.set(None);
            assert_eq!(loaded(&folder), old, "{at}");
            let mut store = open(&folder);
            store.load().unwrap();
            store.save(case.then.clone()).unwrap();
            assert_eq!(list_files(folder.path()), 1, "{at}");
        }
    }
}

/// The old state or the new one, and the next daemon goes on from there.
#[test]
fn death_in_any_step_leaves_the_old_or_the_new_state() {
    let faults = Faults::default();
    for case in cases() {
        let (old, new) = (json(case.before.last().unwrap()), json(&case.then));
        let mut found = [0, 0];
        for step in 0..case.steps {
            let at = format!("{}, death in step {step}", case.name);
            let (folder, mut store) = case.prepare(&faults);
            faults.set(Some((step, Fault::Death)));
            assert!(catch_unwind(AssertUnwindSafe(|| case.act(&mut store))).is_err(), "{at}");
            // As the kernel does for a dead process; nothing of ours runs.
            drop(store);
            faults.set(None);
            let there = loaded(&folder);
            assert!(there == old || there == new, "{at}: {there}");
            found[usize::from(there == new)] += 1;

            let mut store = open(&folder);
            let state = store.load().unwrap().unwrap();
            let (one, two) = (with_entry(&state, 77), with_entry(&with_entry(&state, 77), 78));
            store.save(one).unwrap();
            store.save(two.clone()).unwrap();
            drop(store);
            assert_eq!(loaded(&folder), json(&two), "{at}");
            assert_eq!(list_files(folder.path()), 1, "{at}");
        }
        assert!(found[0] > 0 || case.folds, "{}: {found:?}", case.name);
    }
}

#[test]
fn a_first_state_that_may_not_last_is_taken_back() {
    let (faults, folder) = (Faults::default(), TempDir::new().unwrap());
    let mut store = faults.store(&folder);
    faults.set(Some((9, Fault::Error(libc::EIO))));
    assert!(matches!(store.save(state(1)).unwrap_err(), Problem::SyncFolder { .. }));
    assert!(!folder.path().join("state.json").exists());
}

/// The disk fails for good in the middle: the change is refused, and what was acknowledged is still read.
#[test]
fn a_disk_that_dies_loses_nothing_acknowledged() {
    struct Dying(Faults, std::sync::atomic::AtomicBool);
    impl Dying {
        fn alive(&self) -> io::Result<()> {
            if self.0.next().is_some() {
                self.1.store(true, std::sync::atomic::Ordering::Relaxed);
            }
            if self.1.load(std::sync::atomic::Ordering::Relaxed) {
                return Err(io::Error::from_raw_os_error(libc::EIO));
            }
            Ok(())
        }
    }
    impl Disk for Dying {
        fn create(&self, path: &Path) -> io::Result<File> {
            self.alive().and_then(|()| LocalDisk.create(path))
        }
        fn append(&self, path: &Path) -> io::Result<File> {
            self.alive().and_then(|()| LocalDisk.append(path))
        }
        fn write(&self, file: &mut File, content: &[u8]) -> io::Result<()> {
            self.alive().and_then(|()| LocalDisk.write(file, content))
        }
        fn sync(&self, file: &File) -> io::Result<()> {
            self.alive().and_then(|()| LocalDisk.sync(file))
        }
        fn truncate(&self, file: &File, length: u64) -> io::Result<()> {
            self.alive().and_then(|()| LocalDisk.truncate(file, length))
        }
        fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
            self.alive().and_then(|()| LocalDisk.rename(from, to))
        }
        fn sync_folder(&self, folder: &Path) -> io::Result<()> {
            self.alive().and_then(|()| LocalDisk.sync_folder(folder))
        }
    }
    for case in cases() {
        for step in 0..case.steps {
            let faults = Faults::default();
            let disk = Dying(faults.clone(), Default::default());
            let folder = TempDir::new().unwrap();
            let mut store = Store::open_on(folder.path(), Box::new(disk)).unwrap();
            for state in &case.before {
                store.save(state.clone()).unwrap();
            }
            faults.set(Some((step, Fault::Death)));
            case.act(&mut store).unwrap_err();
            store.save(state(9)).unwrap_err();
            drop(store);
            // The new one may be there: a step was done, and its taking back failed. Never anything else.
            let there = loaded(&folder);
            let known = [json(case.before.last().unwrap()), json(&case.then)];
            assert!(known.contains(&there), "{}, step {step}: {there}", case.name);
        }
    }
}
