//! What is counted of TCP connections, from the kernel's own state changes (`tp_btf/inet_sock_set_state` and others).
//!
//! One [`PortStats`] a named port, per CPU: the map `PORT_STATS` is indexed by [`crate::tables::PortEntry::slot`].

/// Named ports that are told apart; slot 0 is every other port.
pub const SLOTS: u32 = 64;

/// Buckets of the histogram of connection durations: upper bounds in microseconds. One more bucket holds the rest.
pub const DURATION_BOUNDS_US: [u64; 10] = [
    10_000,
    50_000,
    100_000,
    500_000,
    1_000_000,
    5_000_000,
    10_000_000,
    30_000_000,
    60_000_000,
    300_000_000,
];

/// Buckets of the histogram of handshake round-trip times: upper bounds in microseconds. One more bucket holds the rest.
pub const HANDSHAKE_BOUNDS_US: [u64; 10] =
    [100, 250, 500, 1_000, 2_500, 5_000, 10_000, 50_000, 250_000, 1_000_000];

/// A histogram: how many observations fell into each bucket (not cumulative), and their sum.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Histogram {
    pub buckets: [u64; 11],
    /// Sum of all observations, microseconds.
    pub sum_us: u64,
}

impl Histogram {
    /// Adds what was observed elsewhere.
    pub fn add(&mut self, more: &Histogram) {
        self.buckets.iter_mut().zip(more.buckets).for_each(|(sum, more)| *sum += more);
        self.sum_us += more.sum_us;
    }
}

/// What is counted of the TCP connections of one port.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PortStats {
    /// Handshakes completed (SYN_RECV to ESTABLISHED).
    pub accepted: u64,
    /// Connections that were counted in `accepted` and are over.
    pub closed: u64,
    /// Connections that were open before the programs were attached and are over.
    pub closed_earlier: u64,
    pub resets_received: u64,
    pub resets_sent: u64,
    pub retransmitted_segments: u64,
    pub duration: Histogram,
    pub handshake: Histogram,
}

const _: () = assert!(size_of::<PortStats>() == 6 * 8 + 2 * 96);

/// A TCP connection, seen from this server. IPv4 addresses stand in the first half of the first word, the others are 0.
///
/// In words of eight bytes, as the kernel compares keys: one that was stored in halves could not be forwarded to its loads.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct ConnectionKey {
    /// In network byte order, as all of it.
    pub local: [u64; 2],
    pub remote: [u64; 2],
    /// Local port in the low half of the low half, remote port in the high half of that.
    pub ports: u64,
}

const _: () = assert!(size_of::<ConnectionKey>() == 40);

/// Kept with each accepted socket.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ConnectionStart {
    /// `CLOCK_MONOTONIC` at ESTABLISHED, nanoseconds.
    pub time_ns: u64,
}

/// Where the fields of the running kernel's structures are, in bytes from the start of the structure; from its BTF. The
/// constant `SOCK_OFFSETS`, set before load.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SockOffsets {
    /// `struct sock_common.skc_num`: local port, host byte order; 0 once the socket has given it back.
    pub local_port: u32,
    /// `struct inet_sock.inet_sport`: local port, network byte order, also of a socket that is closed.
    pub source_port: u32,
    /// `struct sock_common.skc_family`.
    pub family: u32,
    /// `struct sock_common.skc_net.net`.
    pub net: u32,
    /// `struct net.ns.inum`.
    pub net_inum: u32,
    /// `struct tcp_sock.srtt_us`: smoothed round-trip time times 8, microseconds.
    pub srtt_us: u32,
    /// `struct sock_common.skc_state`.
    pub state: u32,
    /// `struct sock_common.skc_daddr`: the other side's IPv4 address, network byte order; of IPv6 sockets only where it is mapped.
    pub remote_address: u32,
}

/// The loopback address that foobar's own connections to this server's ports come from (certificates, status pages). They are not
/// counted: an administrator asks for what clients do. Nobody else takes an address from the middle of 127.0.0.0/8 by chance.
pub const OWN_SOURCE: [u8; 4] = [127, 102, 98, 1];
