//! Requests counted by probes on functions of the web server (uprobes): what the programs and the daemon share.
//!
//! The programs are loaded apart from the filter's and have maps of their own, so that neither a reload of the policy nor a restart of
//! the daemon loses or doubles a count.

use crate::{
    http::{
        flow::Flow,
        read::Piece,
        stats::{CLASSES, HttpStats},
    },
    observe::Histogram,
};

/// Ports that can be counted this way: as many as are told apart. `PROBED_PORTS` gives each a slot, counted from 1.
pub const SLOTS: u32 = 16;

/// Files that can have probes at a time. `TARGETS` is indexed by the cookie of their links.
pub const TARGETS: u32 = 32;

/// In the entry of a port, beside its slot: Apache serves it; nginx otherwise.
pub const PORT_APACHE: u8 = 0x80;

/// Entries of `PROBED_PORTS`: one for each port.
pub const PORTS: usize = 1 << 16;

/// Of which so many are one element of the map: the verifier of Linux 6.1 forgets that a port is below 65,536 once its bytes were
/// swapped, but not what a mask leaves of it.
pub const PORTS_ROW: usize = 64;

/// Buckets of the histogram of request durations, those of the times to the first byte: upper bounds in microseconds.
pub const DURATION_BOUNDS_US: [u64; 10] = crate::http::stats::FIRST_BYTE_BOUNDS_US;

/// A request that takes longer has a start that is not true: the clock was set meanwhile.
pub const MAX_DURATION_US: u64 = 7 * 24 * 3600 * 1_000_000;

/// Number of the helper, which no kernel has, whose calls the loader replaces by an atomic addition of 64 bits.
pub const ATOMIC_ADD: u32 = 0x00ad_d064;

/// What is counted of a port, per CPU; every field is added to atomically, as a program may be preempted by another.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProbeStats {
    /// Requests that were answered, by [`CLASSES`].
    pub requests: [u64; CLASSES.len()],
    /// Requests of which the client never saw a byte of an answer.
    pub aborted: u64,
    /// From the server's own beginning of a request to its own end, of those of which both were seen.
    pub duration: Histogram,
    /// What was read of what a program hands to libssl.
    pub read: HttpStats,
}

const _: () = assert!(size_of::<ProbeStats>() == 7 * 8 + 96 + size_of::<HttpStats>());

impl ProbeStats {
    /// Requests answered, of all classes.
    pub fn answered(&self) -> u64 {
        self.requests.iter().sum::<u64>() + self.read.answered()
    }

    /// Requests that ended, as the server's own count has them.
    pub fn seen(&self) -> u64 {
        self.answered() + self.aborted + self.read.aborted
    }

    /// Adds what was counted elsewhere.
    pub fn add(&mut self, more: &ProbeStats) {
        self.requests.iter_mut().zip(more.requests).for_each(|(sum, more)| *sum += more);
        self.aborted += more.aborted;
        self.duration.add(&more.duration);
        self.read.add(&more.read);
    }
}

/// A file that has probes.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Target {
    /// Whether what its probes see counts: 1, else 0.
    pub counts: u32,
    /// Offset of the status within nginx's request, 0 where it is not known.
    pub status: u32,
    /// Offset of the status that an error gave it, 0 where it is not known.
    pub err_status: u32,
    pub reserved: u32,
    /// `CLOCK_MONOTONIC` when its probes last saw a request of an observed port, to a second, nanoseconds.
    pub last_seen_ns: u64,
    /// Which file it is: for the daemon alone.
    pub file: FileIdentity,
}

const _: () = assert!(size_of::<Target>() == 24 + 48);

/// Tells files and versions of a file apart.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FileIdentity {
    /// Hash of what is probed there: path and kind of server.
    pub program: u64,
    pub device: u64,
    pub inode: u64,
    pub size: u64,
    /// Last change of the content, seconds and nanoseconds.
    pub modified: [u64; 2],
}

/// What differs between kernels and namespaces; the only element of `PROBE_SETTINGS`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProbeSettings {
    /// `struct task_struct.nsproxy`.
    pub task_nsproxy: u32,
    /// `struct nsproxy.net_ns`.
    pub nsproxy_net: u32,
    /// `struct net.ns.inum`.
    pub net_inum: u32,
    /// Number of the network namespace whose servers are observed.
    pub namespace: u32,
    /// Seconds by which the kernel's TAI clock is ahead of UTC, as it was told.
    pub tai_ahead: i32,
    /// `struct sock_common.skc_num`: a socket's local port, host byte order.
    pub local_port: u32,
}

const _: () = assert!(size_of::<ProbeSettings>() == 24);

/// A request under way in nginx, whose end has the same key.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RequestKey {
    /// The worker process.
    pub process: u64,
    /// Address of its connection; of HTTP/2 that of the stream.
    pub connection: u64,
}

/// What a thread is about in libssl, by thread (bpf_get_current_pid_tgid).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Call {
    /// Address of the `SSL`; 0 between calls.
    pub session: u64,
    /// Where the bytes are that are written, or will be that are read.
    pub buffer: u64,
    /// Where their number will be (`size_t`).
    pub count: u64,
    /// Local port of a TCP socket that was read during the call; 0 if none was.
    pub port: u32,
    pub reserved: u32,
}

const _: () = assert!(size_of::<Call>() == 32);

/// A TLS connection of a process.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SessionKey {
    pub process: u64,
    /// Address of the `SSL`.
    pub session: u64,
}

/// In place of a slot: the port of a connection is not observed.
pub const NOT_OBSERVED: u32 = u32::MAX;

/// What is remembered of a TLS connection. One thread at a time uses it, as libssl demands.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Session {
    pub flow: Flow,
    /// What was counted and is not added to the port's counts yet, because the port is not known.
    pub counted: HttpStats,
    pub piece: Piece,
    /// The slot of its port, counted from 1; 0 where the port is not known yet; or [`NOT_OBSERVED`].
    pub slot: u32,
    pub reserved: u32,
}

const _: () = assert!(
    size_of::<Session>() == size_of::<Flow>() + size_of::<HttpStats>() + size_of::<Piece>() + 8
);
