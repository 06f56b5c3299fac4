//! Where things are pinned:
//!
//! ```text
//! BPF_DIR/v1/maps/NAME                       what survives an instance: counters, flows, labels
//! BPF_DIR/v1/instances/N/{maps,programs}/NAME   one load of the programs with its policy tables
//! BPF_DIR/v1/loading/NAME                    tables, while the programs are loaded
//! BPF_DIR/v1/links/{ingress,egress}-IFINDEX  a program attached to an interface
//! BPF_DIR/v1/links/NAME                      an attached tracing program
//! BPF_DIR/v1/probes/{maps,programs,links}/NAME  probes on functions of web servers
//! ```
//!
//! Names hold no dot: bpffs reserves it.

use std::{
    fs::{self, DirBuilder, File, Permissions},
    io,
    os::{
        fd::AsRawFd as _,
        unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _},
    },
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use foobar_common::LAYOUT_VERSION;

use super::{
    bpffs,
    error::{ErrorKind, KernelError},
};

/// Only we may look inside: who opens a pin holds the object.
const OURS_ALONE: u32 = 0o700;

/// The folders of one daemon, locked for as long as this value lives.
pub(super) struct Folders {
    root: PathBuf,
    version: PathBuf,
    /// Keeps the lock; released by the kernel, whatever ends the process.
    _lock: File,
}

impl Folders {
    /// Creates what is missing, and makes sure that no other process works with these folders.
    pub fn open(root: &Path) -> Result<Self, KernelError> {
        if let Some(name) = root.iter().find(|part| part.to_string_lossy().contains('.')) {
            return Err(KernelError::new(
                ErrorKind::NoBpffs,
                format!(
                    "cannot pin below {}: a BPF file system takes no name with a dot ({})",
                    root.display(),
                    name.display()
                ),
            )
            .advise("choose another --bpf-dir"));
        }
        bpffs::ensure(root)?;
        let lock = loop {
            make(root)?;
            let lock = lock(root)?;
            // Another process may have removed the folder between the two steps; its lock would guard nothing.
            if fs::metadata(root)
                .is_ok_and(|now| lock.metadata().is_ok_and(|ours| ours.ino() == now.ino()))
            {
                break lock;
            }
        };
        let version = root.join(format!("v{LAYOUT_VERSION}"));
        let folders = Folders { root: root.to_owned(), version, _lock: lock };
        for path in [&folders.version, &folders.maps(), &folders.instances(), &folders.links()] {
            make(path)?;
        }
        Ok(folders)
    }

    /// The same if the folder is there; changes nothing.
    pub fn open_existing(root: &Path) -> Result<Option<Self>, KernelError> {
        if !fs::exists(root).map_err(|error| {
            KernelError::call(format!("cannot look at {}", root.display()), error)
        })? {
            return Ok(None);
        }
        if !bpffs::is_one(root) {
            return Err(KernelError::new(
                ErrorKind::NoBpffs,
                format!("{} is not on a BPF file system", root.display()),
            )
            .advise("name the folder that the daemon pins to with --bpf-dir"));
        }
        let version = root.join(format!("v{LAYOUT_VERSION}"));
        Ok(Some(Folders { _lock: lock(root)?, root: root.to_owned(), version }))
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Pins of other layouts, left by other versions of the program.
    pub fn other_versions(&self) -> Vec<PathBuf> {
        entries(&self.root).into_iter().filter(|path| *path != self.version).collect()
    }

    pub fn maps(&self) -> PathBuf {
        self.version.join("maps")
    }

    pub fn instances(&self) -> PathBuf {
        self.version.join("instances")
    }

    pub fn links(&self) -> PathBuf {
        self.version.join("links")
    }

    /// For pins that are needed while programs are loaded.
    pub fn loading(&self) -> PathBuf {
        self.version.join("loading")
    }

    pub fn instance(&self, number: u32) -> PathBuf {
        self.instances().join(number.to_string())
    }

    /// The numbers of the instances that are pinned.
    pub fn instance_numbers(&self) -> Vec<u32> {
        entries(&self.instances())
            .iter()
            .filter_map(|path| path.file_name()?.to_str()?.parse().ok())
            .collect()
    }
}

/// Where the probes of an object are pinned.
pub(super) fn of_probes(root: &Path, object: &str) -> PathBuf {
    root.join(format!("v{LAYOUT_VERSION}")).join(object)
}

/// What is in a folder; nothing if it is not there.
pub(super) fn entries(folder: &Path) -> Vec<PathBuf> {
    let Ok(list) = fs::read_dir(folder) else { return Vec::new() };
    let mut found: Vec<_> = list.filter_map(|entry| Some(entry.ok()?.path())).collect();
    found.sort();
    found
}

/// Creates a folder for us alone, or makes one that is there so.
pub(super) fn make(path: &Path) -> Result<(), KernelError> {
    let failed =
        |error| KernelError::call(format!("cannot create the folder {}", path.display()), error);
    match DirBuilder::new().recursive(true).mode(OURS_ALONE).create(path) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(failed(error)),
    }
    let found = fs::symlink_metadata(path).map_err(failed)?;
    // SAFETY: geteuid(2) has no preconditions.
    if !found.is_dir() || found.uid() != unsafe { libc::geteuid() } {
        return Err(KernelError::new(
            ErrorKind::ForeignPin,
            format!("{} is not a folder of ours", path.display()),
        )
        .advise("remove it, or choose another --bpf-dir"));
    }
    if found.mode() & 0o777 != OURS_ALONE {
        fs::set_permissions(path, Permissions::from_mode(OURS_ALONE)).map_err(failed)?;
    }
    Ok(())
}

/// Waits a little: the last owner may be about to go, and a process that it has just forked holds the lock until it execs.
fn lock(root: &Path) -> Result<File, KernelError> {
    const PATIENCE: Duration = Duration::from_millis(500);
    let failed = |error| KernelError::call(format!("cannot lock {}", root.display()), error);
    let folder = File::open(root).map_err(failed)?;
    let start = Instant::now();
    // SAFETY: flock(2) takes a descriptor, which is open.
    while unsafe { libc::flock(folder.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) } != 0 {
        let error = io::Error::last_os_error();
        match error.kind() {
            io::ErrorKind::Interrupted => {}
            io::ErrorKind::WouldBlock if start.elapsed() < PATIENCE => thread::sleep(PATIENCE / 50),
            io::ErrorKind::WouldBlock => {
                let what = format!("another foobar works with the pins in {}", root.display());
                return Err(KernelError::new(ErrorKind::Busy, what)
                    .advise("stop that daemon first, or choose another --bpf-dir for this one"));
            }
            _ => return Err(failed(error)),
        }
    }
    Ok(folder)
}

/// Removes a folder with everything in it. Unpinning a map or program lets go of it, it does not disturb who else holds it.
pub(super) fn remove(folder: &Path) -> io::Result<()> {
    for path in entries(folder) {
        if fs::symlink_metadata(&path)?.is_dir() {
            remove(&path)?;
        } else {
            fs::remove_file(&path)?;
        }
    }
    match fs::remove_dir(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
