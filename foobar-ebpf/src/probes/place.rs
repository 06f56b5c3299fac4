//! Whose requests count: those of servers in the daemon's own network namespace, on ports that ask for it.

use aya_ebpf::helpers::bpf_get_current_task;
use foobar_common::probes::{PORT_APACHE, PORTS_ROW, ProbeSettings};

use crate::{
    maps::{PROBE_SETTINGS, PROBED_PORTS},
    memory,
};

/// What the daemon has set, if this process is in its network namespace: the same program may serve others in containers.
#[inline(always)]
pub fn settings() -> Option<&'static ProbeSettings> {
    let settings = PROBE_SETTINGS.get(0)?;
    // SAFETY: the helper has no preconditions.
    let task = unsafe { bpf_get_current_task() };
    let proxy: u64 = memory::kernel(task + settings.task_nsproxy as u64)?;
    let net: u64 = memory::kernel(proxy + settings.nsproxy_net as u64)?;
    let number: u32 = memory::kernel(net + settings.net_inum as u64)?;
    (number == settings.namespace).then_some(settings)
}

/// The slot of a port that this kind of server is observed on: 0 for nginx, [`PORT_APACHE`].
#[inline(always)]
pub fn slot(port: u16, kind: u8) -> Option<u32> {
    let (row, column) = (port as usize / PORTS_ROW, port as usize % PORTS_ROW);
    let entry = *PROBED_PORTS.get(row as u32)?.get(column)?;
    let slot = entry & !PORT_APACHE;
    (slot != 0 && entry & PORT_APACHE == kind).then(|| slot as u32 - 1)
}
