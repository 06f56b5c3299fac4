//! The BPF file system: is it there, and if not, mount it where everybody expects it.

use std::{
    ffi::CString,
    fs::{self, File},
    io,
    os::{fd::AsRawFd as _, unix::ffi::OsStrExt as _},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
};

use super::error::{ErrorKind, KernelError};

/// linux/magic.h
const BPF_FS_MAGIC: libc::c_long = 0xcafe_4a11;
/// Where bpffs belongs.
const DEFAULT: &str = "/sys/fs/bpf";

/// Whether `path` lies on a BPF file system.
pub(super) fn is_one(path: &Path) -> bool {
    let Ok(name) = CString::new(path.as_os_str().as_bytes()) else { return false };
    // SAFETY: a structure of integers, for which zero is valid.
    let mut found: libc::statfs = unsafe { std::mem::zeroed() };
    // SAFETY: the path ends with zero, and the structure is writable.
    let result = unsafe { libc::statfs(name.as_ptr(), &raw mut found) };
    result == 0 && found.f_type == BPF_FS_MAGIC
}

/// Whether bpffs is mounted where it belongs.
pub(super) fn is_mounted() -> bool {
    is_one(Path::new(DEFAULT))
}

/// The name of a folder that nobody else uses, where bpffs belongs. It is not created.
pub(super) fn own_folder() -> Result<PathBuf, KernelError> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    ensure(Path::new(DEFAULT))?;
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    Ok(Path::new(DEFAULT).join(format!("foobar-sandbox-{}-{number}", std::process::id())))
}

/// Makes sure that `path`, which need not exist yet, is on a BPF file system. Mounts one if it is the usual place that lacks it.
pub(super) fn ensure(path: &Path) -> Result<(), KernelError> {
    let existing = path.ancestors().find(|ancestor| ancestor.exists()).unwrap_or(Path::new("/"));
    if is_one(existing) {
        return Ok(());
    }
    let missing = || {
        KernelError::new(
            ErrorKind::NoBpffs,
            format!("{} is not on a BPF file system", path.display()),
        )
    };
    if !path.starts_with(DEFAULT) {
        let place = path.parent().unwrap_or(path).display();
        return Err(missing().advise(format!(
            "mount one there: mount -t bpf bpf {place}, or choose a --bpf-dir below {DEFAULT}"
        )));
    }
    mount().map_err(|error| {
        missing().because(error).advise(format!("mount it: mount -t bpf bpf {DEFAULT}"))
    })
}

fn mount() -> io::Result<()> {
    // Two mounts over each other would hide the pins of who came first, so one at a time, and look again under the lock. The
    // lock is on what lies below the mount.
    let below = File::open(fs::canonicalize(DEFAULT)?)?;
    // SAFETY: flock(2) takes a descriptor, which is open.
    if unsafe { libc::flock(below.as_raw_fd(), libc::LOCK_EX) } != 0 {
        return Err(io::Error::last_os_error());
    }
    if is_mounted() {
        return Ok(());
    }
    let flags = libc::MS_NOSUID | libc::MS_NODEV | libc::MS_NOEXEC | libc::MS_RELATIME;
    let place = CString::new(DEFAULT)?;
    // SAFETY: all strings end with zero.
    let result = unsafe {
        libc::mount(
            c"bpf".as_ptr(),
            place.as_ptr(),
            c"bpf".as_ptr(),
            flags,
            c"mode=0700".as_ptr().cast(),
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
