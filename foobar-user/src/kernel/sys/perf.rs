//! Probes on functions of programs (uprobes), as perf events.

use std::{
    ffi::CString,
    fs, io,
    os::{
        fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd},
        raw::c_int,
    },
};

use aya_obj::generated::perf_event_attr;

/// The kernel's number for uprobes among its sources of events (CONFIG_UPROBE_EVENTS).
const SOURCE: &str = "/sys/bus/event_source/devices/uprobe/type";
/// linux/perf_event.h
const PERF_FLAG_FD_CLOEXEC: libc::c_ulong = 1 << 3;

/// A path that leads to this very file, whatever becomes of its name.
pub(super) fn path_of(file: BorrowedFd<'_>) -> io::Result<CString> {
    Ok(CString::new(format!("/proc/self/fd/{}", file.as_raw_fd()))?)
}

/// Makes a probe at a byte of a file, in all processes that run it or will. It is off until a program is attached.
pub(in crate::kernel) fn probe(file: BorrowedFd<'_>, offset: u64) -> io::Result<OwnedFd> {
    let source = fs::read_to_string(SOURCE).map_err(|error| {
        io::Error::new(error.kind(), format!("this kernel has no uprobes ({SOURCE}: {error})"))
    })?;
    let source = source.trim().parse().map_err(io::Error::other)?;
    let path = path_of(file)?;
    // SAFETY: a structure of integers, for which zero is valid.
    let mut attr: perf_event_attr = unsafe { std::mem::zeroed() };
    attr.type_ = source;
    attr.size = size_of::<perf_event_attr>() as u32;
    attr.__bindgen_anon_3.uprobe_path = path.as_ptr() as u64;
    attr.__bindgen_anon_4.probe_offset = offset;
    let (every_process, one_cpu, no_group): (c_int, c_int, c_int) = (-1, 0, -1);
    // SAFETY: the attributes have their size, and the path is a string that ends with zero and outlives the call. A program that is
    // attached runs on every CPU; the one named is where the event itself would be counted.
    let event = unsafe {
        libc::syscall(
            libc::SYS_perf_event_open,
            &raw const attr,
            every_process,
            one_cpu,
            no_group,
            PERF_FLAG_FD_CLOEXEC,
        )
    };
    if event < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just made this descriptor for us.
    Ok(unsafe { OwnedFd::from_raw_fd(event as c_int) })
}
