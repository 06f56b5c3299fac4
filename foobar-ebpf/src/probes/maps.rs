//! The maps that all probes have. All are pinned, so that counting goes on while no daemon runs.

use aya_ebpf::{
    bindings::BPF_F_MMAPABLE,
    macros::map,
    maps::{Array, PerCpuArray},
};
use foobar_common::probes::{PORTS, PORTS_ROW, ProbeSettings, ProbeStats, SLOTS, TARGETS, Target};

/// The slot of each port and the kind of its server ([`foobar_common::probes::PORT_APACHE`]); 0 where nothing is counted.
#[map]
pub static PROBED_PORTS: Array<[u8; PORTS_ROW]> =
    Array::with_max_entries((PORTS / PORTS_ROW) as u32, BPF_F_MMAPABLE);
/// By slot, of which the first is 1.
#[map]
pub static PROBE_STATS: PerCpuArray<ProbeStats> = PerCpuArray::with_max_entries(SLOTS, 0);
#[map]
pub static PROBE_SETTINGS: Array<ProbeSettings> = Array::with_max_entries(1, BPF_F_MMAPABLE);
/// By cookie.
#[map]
pub static PROBE_TARGETS: Array<Target> = Array::with_max_entries(TARGETS, BPF_F_MMAPABLE);
