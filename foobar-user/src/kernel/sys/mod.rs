//! bpf(2) and its neighbours: what aya 0.14 has no call for, each as a small safe function.

pub(super) mod allocator;
pub(super) mod driver;
pub(super) mod link;
pub(super) mod map;
pub(super) mod memory;
pub(super) mod ntp;
pub(super) mod object;
pub(super) mod perf;
pub(super) mod plain;
pub(super) mod program;
pub(super) mod rcu;
pub(super) mod run;

use std::{
    io,
    os::fd::{FromRawFd as _, OwnedFd},
};

use aya_obj::generated::{bpf_attr, bpf_cmd};

/// An attribute block of zeros, which bpf(2) takes as "default" in every field.
pub(super) fn attributes() -> bpf_attr {
    // SAFETY: the union has only integer fields, for which zero is valid.
    unsafe { std::mem::zeroed() }
}

/// Calls bpf(2).
///
/// # Safety
/// Every pointer in `attr` that `command` reads or writes must be valid for the lengths that stand beside it.
pub(super) unsafe fn bpf(command: bpf_cmd, attr: &mut bpf_attr) -> io::Result<i64> {
    // SAFETY: `attr` is valid for its own size, and what it points to is the caller's promise.
    let result = unsafe {
        libc::syscall(libc::SYS_bpf, command as u32, &raw mut *attr, size_of::<bpf_attr>())
    };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// Calls bpf(2) with a command that returns a new file descriptor.
///
/// # Safety
/// As for [`bpf`], and `command` must be one that returns a descriptor.
pub(super) unsafe fn bpf_descriptor(command: bpf_cmd, attr: &mut bpf_attr) -> io::Result<OwnedFd> {
    // SAFETY: the caller's promise.
    let fd = unsafe { bpf(command, attr) }?;
    let fd = i32::try_from(fd).map_err(io::Error::other)?;
    // SAFETY: the kernel has just made this descriptor for us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Lifts RLIMIT_MEMLOCK, which only kernels before 5.11 charge BPF memory to. That it may fail is no error: newer kernels do
/// not ask, and an older one answers with its own error later.
pub(super) fn lift_memlock() {
    let unlimited = libc::rlimit { rlim_cur: libc::RLIM_INFINITY, rlim_max: libc::RLIM_INFINITY };
    // SAFETY: setrlimit(2) only reads the structure.
    unsafe { libc::setrlimit(libc::RLIMIT_MEMLOCK, &unlimited) };
}
