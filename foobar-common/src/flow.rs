//! What the kernel programs remember: flows that the server opened, verdicts of first fragments, token buckets.
//!
//! Keys are written with "local" and "remote" instead of source and destination, so that the egress program, which makes an
//! entry, and the ingress program, which looks for it, build the same key. Addresses and ports are in network byte order.

/// A unit of [`Flow::last_seen`]: 2^6 jiffies, 64 to 640 ms. 32 bits of it last for eight years.
pub const TICK_SHIFT: u32 = 6;

/// Key of an IPv4 flow. For ICMP echo the local port is the identifier and the remote port is 0.
#[repr(C, align(8))]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct FlowKey4 {
    pub local: u32,
    pub remote: u32,
    pub local_port: u16,
    pub remote_port: u16,
    /// IP protocol number; 32 bits wide, so that the key has no padding.
    pub protocol: u32,
}

/// Key of an IPv6 flow. For ICMPv6 echo the local port is the identifier and the remote port is 0.
#[repr(C, align(8))]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct FlowKey6 {
    pub local: [u32; 4],
    pub remote: [u32; 4],
    pub local_port: u16,
    pub remote_port: u16,
    /// IP protocol number; 32 bits wide, so that the key has no padding.
    pub protocol: u32,
}

const _: () = assert!(size_of::<FlowKey4>() == 16);
const _: () = assert!(size_of::<FlowKey6>() == 40);

/// The flow is a TCP connection of which no answer was seen yet.
pub const FLOW_OPENING: u16 = 0;
/// Both sides were heard.
pub const FLOW_ESTABLISHED: u16 = 1;
/// This server sent a FIN or RST.
pub const FLOW_CLOSING: u16 = 2;
/// Marks a connection that an outsider opened while the mode was `audit`: it is no flow of ours, and does not become one.
pub const FLOW_FOREIGN: u16 = 3;

/// The other side sent a FIN or RST, or one who guessed the ports did: what this server sends afterwards proves that it lives.
pub const FLOW_CLOSED_BY_PEER: u16 = 4;

/// What is remembered of a flow.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flow {
    /// When a packet of it was last seen, in ticks ([`TICK_SHIFT`]) of the kernel's jiffies.
    pub last_seen: u32,
    /// Low 16 bits of the epoch of the policy under which it was made; those of another epoch do not count.
    pub epoch: u16,
    /// [`FLOW_OPENING`] and so on.
    pub state: u16,
}

const _: () = assert!(size_of::<Flow>() == 8);

/// How long a flow may be silent, in ticks. Set before load (`FLOW_TIMEOUTS`), from seconds and the kernel's tick rate.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FlowTimeouts {
    pub tcp_opening: u32,
    pub tcp_established: u32,
    pub tcp_closing: u32,
    pub udp: u32,
    pub icmp: u32,
    pub fragment: u32,
}

/// Key of a fragmented datagram. IPv4 addresses stand in the first word, the others are 0.
#[repr(C, align(8))]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct FragmentKey {
    pub source: [u32; 4],
    pub destination: [u32; 4],
    /// Identification field (RFC 791, RFC 8200), in network byte order.
    pub identification: u32,
    /// IP protocol number, and the IP version in the second byte.
    pub protocol: u32,
}

const _: () = assert!(size_of::<FragmentKey>() == 40);

/// The first fragment passed; its further fragments do so until the entry is too old.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FragmentEntry {
    /// When the first fragment came, in ticks.
    pub seen: u32,
    /// IP protocol number of the transport header that the first fragment shows.
    pub protocol: u32,
}

const _: () = assert!(size_of::<FragmentEntry>() == 8);

/// Key of a token bucket: one a source and limit.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct BucketKey {
    /// IPv4: the address in the second word, 0xffff in the first (network byte order does not matter here). IPv6: the /64.
    pub source: [u32; 2],
    /// Number of the limit in the low 16 bits, the IP version above.
    pub limit: u32,
}

const _: () = assert!(size_of::<BucketKey>() == 12);

/// A token bucket. Two CPUs may update one at the same time; then a few tokens more are handed out than the rate allows.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bucket {
    /// Scaled tokens left ([`crate::tables::Limit::SCALE`]).
    pub tokens: u64,
    /// Jiffies at the last refill.
    pub refilled: u64,
}

const _: () = assert!(size_of::<Bucket>() == 16);
