//! Names that no other test uses, and which of them are in use.

use std::{
    collections::BTreeSet,
    fmt, fs,
    path::{Path, PathBuf},
    process,
    sync::{
        Mutex,
        atomic::{AtomicU32, Ordering},
    },
};

/// What names of namespaces start with.
const NETNS_PREFIX: &str = "fbt-";
/// What names of folders below [`BPFFS`] start with.
const BPF_PREFIX: &str = "foobar-test-";
/// Where the BPF file system is mounted.
const BPFFS: &str = "/sys/fs/bpf";
/// Environment variable that marks every process that a test starts; its value is a [`Tag`].
pub(super) const MARK: &str = "FOOBAR_TEST_TAG";

static LIVE: Mutex<BTreeSet<u32>> = Mutex::new(BTreeSet::new());

/// A name that belongs to one object of one test: the test's process and a number. It is in use until it is dropped.
#[derive(Debug, PartialEq, Eq)]
pub struct Tag {
    number: u32,
}

impl Tag {
    /// A name that was not given out before.
    pub fn unique() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        LIVE.lock().expect("no test panics while it holds this").insert(number);
        Tag { number }
    }

    /// The name of a namespace: `fbt-PID-N`.
    pub fn netns(&self) -> String {
        format!("{NETNS_PREFIX}{self}")
    }

    /// A folder for pins in the BPF file system: `/sys/fs/bpf/foobar-test-PID-N`.
    pub fn bpf_dir(&self) -> PathBuf {
        Path::new(BPFFS).join(format!("{BPF_PREFIX}{self}"))
    }
}

impl Drop for Tag {
    fn drop(&mut self) {
        if let Ok(mut live) = LIVE.lock() {
            live.remove(&self.number);
        }
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}-{}", process::id(), self.number)
    }
}

/// Whose an object is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Owner {
    /// This process has it in use.
    Live,
    /// This process made it and gave up its name.
    Dropped,
    /// A process that runs made it.
    Other,
    /// A process that is gone made it.
    Gone,
}

/// Who made the object of this tag (`PID-N`); nothing if it is no tag.
pub(super) fn owner(tag: &str) -> Option<Owner> {
    let (process, number) = tag.split_once('-')?;
    let (process, number) = (process.parse::<u32>().ok()?, number.parse::<u32>().ok()?);
    Some(if process != process::id() {
        if Path::new(&format!("/proc/{process}")).exists() { Owner::Other } else { Owner::Gone }
    } else if LIVE.lock().expect("no test panics while it holds this").contains(&number) {
        Owner::Live
    } else {
        Owner::Dropped
    })
}

/// Names of the namespaces that tests made and that belong to this owner.
pub(super) fn namespaces_of(wanted: Owner) -> Vec<String> {
    entries_of("/run/netns", NETNS_PREFIX, wanted)
}

/// Folders for pins that tests made and that belong to this owner.
pub(super) fn bpf_dirs_of(wanted: Owner) -> Vec<PathBuf> {
    let names = entries_of(BPFFS, BPF_PREFIX, wanted);
    names.into_iter().map(|name| Path::new(BPFFS).join(name)).collect()
}

/// Processes that tests started and that belong to this owner, with their command names.
pub(super) fn processes_of(wanted: Owner) -> Vec<(i32, String)> {
    let mark = format!("{MARK}=");
    let processes = fs::read_dir("/proc").expect("/proc").flatten();
    processes
        .filter_map(|entry| {
            let id: i32 = entry.file_name().to_str()?.parse().ok()?;
            let environment = fs::read(entry.path().join("environ")).ok()?;
            let tag = environment
                .split(|byte| *byte == 0)
                .filter_map(|variable| std::str::from_utf8(variable).ok())
                .find_map(|variable| variable.strip_prefix(&mark))?;
            let name = fs::read_to_string(entry.path().join("comm")).unwrap_or_default();
            (owner(tag)? == wanted).then(|| (id, name.trim_end().to_owned()))
        })
        .collect()
}

fn entries_of(folder: &str, prefix: &str, wanted: Owner) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| name.strip_prefix(prefix).and_then(owner) == Some(wanted))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_unique_and_in_use_until_it_is_dropped() {
        let (one, two) = (Tag::unique(), Tag::unique());
        assert_ne!(one, two);
        let name = one.to_string();
        assert_eq!(owner(&name), Some(Owner::Live));
        drop(one);
        assert_eq!(owner(&name), Some(Owner::Dropped));
        assert_eq!(owner("1-0"), Some(Owner::Other));
        assert_eq!(owner(&format!("{}-0", u32::MAX)), Some(Owner::Gone));
        assert_eq!(owner("somebody"), None);
    }
}
