//! Every map that outlives an instance of the programs, or serves one alone; those of the policy are in [`crate::tables`]. Sizes that
//! depend on the configuration are set by the loader; those given here are the least.

use aya_ebpf::{
    bindings::BPF_F_MMAPABLE,
    btf_maps::SkStorage,
    macros::{btf_map, map},
    maps::{Array, LruHashMap, PerCpuArray, RingBuf},
};
use foobar_common::{
    counters::Counter,
    event::Sampling,
    failures,
    flow::{Bucket, BucketKey, Flow, FlowKey4, FlowKey6, FragmentEntry, FragmentKey},
    http::{flow::Flow as HttpFlow, read::Piece, stats::HttpStats},
    observe::{ConnectionKey, ConnectionStart, PortStats, SLOTS},
    tls::{
        self,
        quic::QuicKey,
        stats::{NameEntry, TlsStats},
    },
};

/// Bytes of a [`COUNTER_LABELS`] record.
const LABEL_BYTES: usize = 128;

#[map]
pub static COUNTERS: PerCpuArray<Counter> = PerCpuArray::with_max_entries(1, 0);
#[map]
pub static EGRESS_COUNTERS: PerCpuArray<Counter> = PerCpuArray::with_max_entries(1, 0);
/// What each counter stands for. Only user space reads and writes it; it is a map so that it lives as long as the counters.
#[map]
pub static COUNTER_LABELS: Array<[u8; LABEL_BYTES]> = Array::with_max_entries(1, 0);
/// Which port each slot of [`PORT_STATS`] stands for, 0 is none. Only user space reads and writes it.
#[map]
pub static SLOT_PORTS: Array<u32> = Array::with_max_entries(SLOTS, 0);
#[map]
pub static FLOWS4: LruHashMap<FlowKey4, Flow> = LruHashMap::with_max_entries(65536, 0);
#[map]
pub static FLOWS6: LruHashMap<FlowKey6, Flow> = LruHashMap::with_max_entries(65536, 0);
#[map]
pub static FRAGMENTS: LruHashMap<FragmentKey, FragmentEntry> =
    LruHashMap::with_max_entries(8192, 0);
#[map]
pub static BUCKETS: LruHashMap<BucketKey, Bucket> = LruHashMap::with_max_entries(65536, 0);
#[map]
pub static EVENTS: RingBuf = RingBuf::with_byte_size(1 << 18, 0);
#[map]
pub static SAMPLING: Array<Sampling> = Array::with_max_entries(1, BPF_F_MMAPABLE);
#[map]
pub static PORT_STATS: PerCpuArray<PortStats> = PerCpuArray::with_max_entries(SLOTS, 0);
/// Connections to ports where HTTP is read; the least recently used one makes room.
#[map]
pub static HTTP_FLOWS: LruHashMap<ConnectionKey, HttpFlow> = LruHashMap::with_max_entries(16384, 0);
/// The payload that is being read.
#[map]
pub static HTTP_WINDOW: PerCpuArray<HttpWindow> = PerCpuArray::with_max_entries(1, 0);
#[map]
pub static HTTP_STATS: PerCpuArray<HttpStats> = PerCpuArray::with_max_entries(SLOTS, 0);
/// What could not be written, by the indexes of [`failures`].
#[map]
pub static UPDATE_FAILURES: PerCpuArray<u64> = PerCpuArray::with_max_entries(failures::LEN, 0);
#[map]
pub static TLS_FLOWS: LruHashMap<ConnectionKey, tls::Flow> = LruHashMap::with_max_entries(65536, 0);
/// The sequence number of the first byte that a client will send, by a hash of its connection; 0 is none. Connections write over each
/// other, so that a flood of them costs neither memory nor the state of others.
#[map]
pub static TLS_OPENINGS: Array<u32> = Array::with_max_entries(tls::OPENINGS, 0);
#[map]
pub static TLS_STATS: PerCpuArray<TlsStats> = PerCpuArray::with_max_entries(SLOTS, 0);
/// The server names of which hellos are counted.
#[map]
pub static TLS_NAMES: Array<NameEntry> = Array::with_max_entries(tls::stats::NAMES, 0);
/// First hellos with these names.
#[map]
pub static TLS_NAME_HELLOS: PerCpuArray<u64> = PerCpuArray::with_max_entries(tls::stats::NAMES, 0);
/// QUIC connections of late, and the second in which each was last heard.
#[map]
pub static QUIC_CLIENTS: LruHashMap<QuicKey, u32> = LruHashMap::with_max_entries(16384, 0);
#[btf_map]
pub static CONNECTIONS: SkStorage<ConnectionStart> = SkStorage::new();

/// The value of [`HTTP_WINDOW`].
#[repr(C)]
pub struct HttpWindow {
    pub piece: Piece,
    /// When the segment left, by `CLOCK_MONOTONIC`; 0 if it is not known.
    pub left_ns: u64,
    /// A connection on its way into [`HTTP_FLOWS`]: too large for the stack.
    pub begun: HttpFlow,
}
