//! Waiting until no running program can still see what was replaced.

use std::{
    io,
    os::fd::AsFd as _,
    thread::{self, JoinHandle},
};

use aya_obj::generated::bpf_map_type;

use super::map::{self, MapSpec};

/// linux/membarrier.h
const MEMBARRIER_CMD_QUERY: libc::c_int = 0;
/// linux/membarrier.h; kernel/sched/membarrier.c carries it out as synchronize_rcu().
const MEMBARRIER_CMD_GLOBAL: libc::c_int = 1;

/// A wait for programs to end, on a thread of its own: it takes 8 to 20 ms, in which the next change can be compiled and written to disk.
///
/// By default none has begun yet.
#[derive(Default)]
pub(in crate::kernel) struct Leaving(Option<JoinHandle<io::Result<()>>>);

impl Leaving {
    /// Begins to wait for every program that runs now.
    pub fn begin() -> Self {
        // Where no thread can be had, the wait begins with its end.
        let waiting = thread::Builder::new().name("wait".to_owned()).spawn(wait_for_programs);
        Leaving(waiting.ok())
    }

    /// Returns once all of them have ended.
    pub fn end(self) -> io::Result<()> {
        match self.0.map(JoinHandle::join) {
            Some(Ok(waited)) => waited,
            Some(Err(_)) | None => wait_for_programs(),
        }
    }
}

/// Returns once every BPF program that ran at the time of the call has ended: networking programs run in RCU read-side sections.
fn wait_for_programs() -> io::Result<()> {
    match membarrier(MEMBARRIER_CMD_GLOBAL) {
        // EINVAL with nohz_full CPUs, ENOSYS without CONFIG_MEMBARRIER.
        Err(error) if matches!(error.raw_os_error(), Some(libc::EINVAL | libc::ENOSYS)) => {
            wait_by_map()
        }
        result => result.map(drop),
    }
}

/// Whether this kernel waits for us by membarrier(2).
pub(in crate::kernel) fn has_membarrier() -> bool {
    membarrier(MEMBARRIER_CMD_QUERY)
        .is_ok_and(|commands| commands & i64::from(MEMBARRIER_CMD_GLOBAL) != 0)
}

fn membarrier(command: libc::c_int) -> io::Result<i64> {
    // SAFETY: membarrier(2) takes integers only.
    let result = unsafe { libc::syscall(libc::SYS_membarrier, command, 0, 0) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// Replacing a map within a map waits for all programs before it returns (maybe_wait_bpf_programs of kernel/bpf/syscall.c).
fn wait_by_map() -> io::Result<()> {
    let inner = map::create(&MapSpec::array(4, 1, 0), "wait", None)?;
    let spec = MapSpec {
        kind: bpf_map_type::BPF_MAP_TYPE_ARRAY_OF_MAPS as u32,
        ..MapSpec::array(4, 1, 0)
    };
    let outer = map::create(&spec, "wait", Some(inner.as_fd()))?;
    map::update_inner(outer.as_fd(), 0, inner.as_fd())
}
