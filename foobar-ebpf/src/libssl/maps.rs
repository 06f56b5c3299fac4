//! The maps of the probes in libssl. All are pinned, so that counting goes on while no daemon runs.

use aya_ebpf::{
    bindings::BPF_F_MMAPABLE,
    macros::map,
    maps::{Array, LruHashMap, PerCpuArray},
};
use foobar_common::probes::{
    Call, PORTS, PORTS_ROW, ProbeSettings, ProbeStats, SLOTS, Session, SessionKey, TARGETS, Target,
};

/// As those of the probes on servers' functions.
#[map]
pub static PROBED_PORTS: Array<[u8; PORTS_ROW]> =
    Array::with_max_entries((PORTS / PORTS_ROW) as u32, BPF_F_MMAPABLE);
#[map]
pub static PROBE_STATS: PerCpuArray<ProbeStats> = PerCpuArray::with_max_entries(SLOTS, 0);
#[map]
pub static PROBE_SETTINGS: Array<ProbeSettings> = Array::with_max_entries(1, BPF_F_MMAPABLE);
#[map]
pub static PROBE_TARGETS: Array<Target> = Array::with_max_entries(TARGETS, BPF_F_MMAPABLE);
/// By thread. Threads that ended make room for others.
#[map]
pub static CALLS: LruHashMap<u64, Call> = LruHashMap::with_max_entries(4096, 0);
/// What processes leave behind that are killed makes room for others, as what was silent for longest does.
#[map]
pub static SESSIONS: LruHashMap<SessionKey, Session> = LruHashMap::with_max_entries(16384, 0);
/// A session of which nothing is known yet: too large for the stack.
#[map]
pub static BLANK: Array<Session> = Array::with_max_entries(1, 0);
