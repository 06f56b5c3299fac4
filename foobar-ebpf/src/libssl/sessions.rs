//! What is remembered of threads and connections. Pinned as the other maps.

use aya_ebpf::{
    macros::map,
    maps::{Array, LruHashMap},
};
use foobar_common::probes::{Call, Session, SessionKey};

/// By thread. Threads that ended make room for others.
#[map]
pub static CALLS: LruHashMap<u64, Call> = LruHashMap::with_max_entries(4096, 0);
/// What processes leave behind that are killed makes room for others, as what was silent for longest does.
#[map]
pub static SESSIONS: LruHashMap<SessionKey, Session> = LruHashMap::with_max_entries(16384, 0);
/// A session of which nothing is known yet: too large for the stack.
#[map]
pub static BLANK: Array<Session> = Array::with_max_entries(1, 0);
