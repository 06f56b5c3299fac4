//! What the kernel programs could not write, counted in the per-CPU array `UPDATE_FAILURES`: one `u64` for each of these.
//!
//! A table that makes room by itself (LRU) still refuses an insertion when two CPUs race for its last free element.

/// Failed insertions into the map `FLOWS4`.
pub const FLOWS4: u32 = 0;
/// Failed insertions into the map `FLOWS6`.
pub const FLOWS6: u32 = 1;
/// Failed insertions into the map `FRAGMENTS`.
pub const FRAGMENTS: u32 = 2;
/// Failed insertions into the map `BUCKETS`.
pub const BUCKETS: u32 = 3;
/// Events for which the ring buffer `EVENTS` had no room.
pub const EVENTS: u32 = 4;
/// Failed insertions into the map `TLS_FLOWS`.
pub const TLS_FLOWS: u32 = 5;
/// Failed insertions into the map `QUIC_CLIENTS`.
pub const QUIC_CLIENTS: u32 = 6;

/// Number of elements.
pub const LEN: u32 = 7;

/// The maps of all these but [`EVENTS`], as they are called in the label `map`.
pub const MAPS: [(u32, &str); 6] = [
    (FLOWS4, "flows4"),
    (FLOWS6, "flows6"),
    (FRAGMENTS, "fragments"),
    (BUCKETS, "buckets"),
    (TLS_FLOWS, "tls_flows"),
    (QUIC_CLIENTS, "quic_clients"),
];
