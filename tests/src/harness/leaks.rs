//! A check that a test leaves no namespace, pin or process behind.

use std::{fs, path::Path, process::Command, thread, time::Duration};

use nix::{sys::signal::Signal, unistd::Pid};

use super::tag::{Owner, bpf_dirs_of, namespaces_of, processes_of};

/// When dropped, asserts that nothing is left of what this process made and gave up. Make it first in a test, so that it is
/// dropped last.
#[derive(Debug)]
#[must_use = "it checks when it is dropped"]
pub struct Leaks(());

impl Leaks {
    /// Starts watching.
    pub fn watch() -> Self {
        Leaks(())
    }

    /// What is left: namespaces, folders with pins, processes.
    pub fn found() -> Vec<String> {
        let namespaces = namespaces_of(Owner::Dropped).into_iter();
        let folders = bpf_dirs_of(Owner::Dropped).into_iter();
        let processes = processes_of(Owner::Dropped).into_iter();
        namespaces
            .map(|name| format!("namespace {name}"))
            .chain(folders.map(|folder| format!("pins in {}", folder.display())))
            .chain(processes.map(|(id, name)| format!("process {id} ({name})")))
            .collect()
    }
}

impl Drop for Leaks {
    fn drop(&mut self) {
        let mut left = Leaks::found();
        // A process that was killed a moment ago needs a moment to go.
        for _ in 0..100 {
            if left.is_empty() || thread::panicking() {
                return;
            }
            thread::sleep(Duration::from_millis(10));
            left = Leaks::found();
        }
        assert!(left.is_empty(), "this test left behind: {}", left.join(", "));
    }
}

/// Removes what tests left behind that were killed, and so could not clean up. Tests that run are left alone.
pub(super) fn sweep() {
    for (id, _) in processes_of(Owner::Gone) {
        let _ = nix::sys::signal::kill(Pid::from_raw(id), Signal::SIGKILL);
    }
    for name in namespaces_of(Owner::Gone) {
        let _ = Command::new("ip").args(["netns", "delete", &name]).output();
    }
    for folder in bpf_dirs_of(Owner::Gone) {
        unpin(&folder);
    }
}

/// Removes a folder of pins. `remove_dir_all` will do on a BPF file system: a pin is a file there.
pub(super) fn unpin(folder: &Path) {
    let _ = fs::remove_dir_all(folder);
}
