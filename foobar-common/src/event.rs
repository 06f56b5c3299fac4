//! What is told of single packets and requests: sampled events, and the outcome of a traced run.

/// Bytes of an address in an event; IPv4 stands in the first four.
pub const ADDRESS_BYTES: usize = 16;

/// A sampled packet, as the ring buffer `EVENTS` carries it.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PacketEvent {
    /// `CLOCK_MONOTONIC`, nanoseconds (coarse).
    pub time_ns: u64,
    pub source: [u8; ADDRESS_BYTES],
    pub destination: [u8; ADDRESS_BYTES],
    /// Length of the frame in bytes.
    pub length: u32,
    /// Interface index.
    pub interface: u32,
    /// Number of the policy's generation, low 32 bits.
    pub generation: u32,
    /// Number of the counter, which names rule, reason and port.
    pub counter: u16,
    pub source_port: u16,
    pub destination_port: u16,
    /// 4 or 6; 0 if the frame is not IP or could not be read that far.
    pub ip_version: u8,
    /// IP protocol number.
    pub protocol: u8,
    /// TCP flags (RFC 9293), 0 for others.
    pub tcp_flags: u8,
    /// 0 ingress, 1 egress.
    pub direction: u8,
    /// 1 if the mode was audit and the packet passed although the reason is one to drop.
    pub audited: u8,
    pub padding: [u8; 5],
}

const _: () = assert!(size_of::<PacketEvent>() == 72);

/// Whether and how many packets and requests are sampled: the one element of the map `SAMPLING`, refilled by the daemon, so that the
/// kernel side needs no clock. All zero (nobody watches) costs one load a packet.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sampling {
    /// Dropped packets that may still be told of.
    pub drops: u32,
    /// Passed packets that may still be told of.
    pub passes: u32,
    /// Only packets to this destination port (network byte order), 0 is any.
    pub port: u16,
    /// Only requests to this port (network byte order), 0 is any.
    pub request_port: u16,
    /// Requests that may still be told of.
    pub requests: u32,
}

const _: () = assert!(size_of::<Sampling>() == 16);

/// A sampled request, as the ring buffer `EVENTS` carries it: told when its final response begins. It says nothing of who asked for
/// what.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RequestEvent {
    /// `CLOCK_MONOTONIC`, nanoseconds (coarse).
    pub time_ns: u64,
    /// From the first byte of the request to the first byte of its final response, microseconds; [`NO_TIME`] if that is not known.
    pub first_byte_us: u32,
    /// The method: a number of [`crate::http::step::method`], or its first four letters, the first in the lowest byte; 0 is unknown.
    pub method: u32,
    /// The server's port, network byte order.
    pub port: u16,
    /// HTTP/1: the status code. 0 is unknown.
    pub status: u16,
    /// The class of the status: an index into [`crate::http::stats::CLASSES`].
    pub class: u8,
    /// An index into [`crate::http::stats::VERSIONS`].
    pub version: u8,
    pub padding: [u8; 2],
}

const _: () = assert!(size_of::<RequestEvent>() == 24);

/// In [`RequestEvent::first_byte_us`]: not known.
pub const NO_TIME: u32 = u32::MAX;

/// A run of the programs on behalf of `explain` or `replay` carries this in front of the frame, in the metadata area of the
/// packet (`xdp_md.data_meta`, which BPF_PROG_TEST_RUN can set and a network driver leaves empty). The program writes its
/// finding there.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Trace {
    /// [`TRACE_MAGIC`].
    pub magic: u32,
    /// [`TRACE_READ_ONLY`].
    pub flags: u32,
    /// The time to assume, in jiffies; 0 is now.
    pub jiffies: u64,
    /// Out: number of the counter that was or would have been incremented.
    pub counter: u16,
    /// Out: source class of the address that was looked up, [`TRACE_NO_CLASS`] if none was.
    pub source_class: u16,
    /// Out: 1 once the program has written.
    pub done: u8,
    /// Out: 1 if the mode was audit and the packet passed although the reason is one to drop.
    pub audited: u8,
    pub padding: [u8; 2],
}

const _: () = assert!(size_of::<Trace>() == 24);

/// First word of a [`Trace`].
pub const TRACE_MAGIC: u32 = 0x666f_6f62;
/// Change nothing: no counter, no flow, no token, no event.
pub const TRACE_READ_ONLY: u32 = 1;
/// No source was looked up.
pub const TRACE_NO_CLASS: u16 = 0xffff;
