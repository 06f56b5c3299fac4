//! What is counted of the TLS and QUIC connections of one port: the map `TLS_STATS`, one element a slot and CPU.

use super::{
    alpn,
    flow::{Flow, failure},
    version,
};
use crate::observe::Histogram;

/// Buckets of the histogram of handshake times: upper bounds in microseconds. One more bucket holds the rest.
pub const HANDSHAKE_BOUNDS_US: [u64; 10] =
    [500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 1_000_000];

/// What hellos offer: the values of the label `alpn`.
pub const OFFERS: [&str; 5] = ["h2", "http/1.1", "other", "none", "unknown"];
/// Position of hellos that could not be read, in [`OFFERS`].
pub const OFFER_UNKNOWN: usize = 4;

/// Elements of the maps `TLS_NAMES` and `TLS_NAME_HELLOS`, a power of two: room for the few names of a configuration, spread thinly.
pub const NAMES: u32 = 256;
/// How many elements behind the one that its hash says a name may stand.
pub const PROBES: u32 = 8;

/// An element of `TLS_NAMES`: a server name of which hellos are counted, in the element of `TLS_NAME_HELLOS` with the same number.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct NameEntry {
    /// [`super::name::hash`].
    pub hash: u64,
    /// Slot of the port, and 1 above it; 0 if the element is free.
    pub slot: u64,
}

impl NameEntry {
    /// A name of the port with this slot.
    #[inline(always)]
    pub fn new(hash: u64, slot: u32) -> Self {
        NameEntry { hash, slot: slot as u64 | 1 << 32 }
    }

    /// Number of the `probe`th element in which it may stand.
    #[inline(always)]
    pub fn number(&self, probe: u32) -> u32 {
        ((self.hash >> 40) as u32).wrapping_add(probe) & (NAMES - 1)
    }
}

/// What is counted.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TlsStats {
    /// First hellos of connections, by the newest version that they offer ([`version`]).
    pub hellos: [u64; version::LEN],
    /// The same by what they offer to speak ([`OFFERS`]).
    pub offers: [u64; OFFERS.len()],
    /// The same, of those with a server name that is not configured.
    pub other_names: u64,
    /// The same, of those without a server name.
    pub no_name: u64,
    /// Of those, the ones that announce early data.
    pub early_data: u64,
    /// The server asked for another hello.
    pub retries: u64,
    /// Completed handshakes by version, full ones.
    pub full: [u64; version::LEN],
    /// Completed handshakes by version, resumed ones.
    pub resumed: [u64; version::LEN],
    /// [`super::flow::failure`].
    pub failures: [u64; failure::LEN],
    /// Connections that could not be followed.
    pub unparsed: u64,
    /// Request turns of HTTP/1.1 connections.
    pub turns: u64,
    /// Initial packets of new QUIC connections.
    pub quic_initials: u64,
    /// From the first byte of the hello to the handshake's end.
    pub duration: Histogram,
}

const _: () =
    assert!(size_of::<TlsStats>() == 8 * (4 + 5 + 4 + 8 + 8 + 3) + size_of::<Histogram>());

/// Position in [`OFFERS`]. HTTP/2 goes before HTTP/1.1, which browsers offer as well.
#[inline(always)]
pub fn offer(flow: &Flow) -> usize {
    if flow.offered & alpn::HTTP2 != 0 {
        0
    } else if flow.offered & alpn::HTTP11 != 0 {
        1
    } else if flow.offered & alpn::OTHER != 0 {
        2
    } else {
        3
    }
}

/// The bucket of a handshake time.
#[inline(always)]
pub fn bucket(us: u64) -> usize {
    let mut index = 0;
    while index < HANDSHAKE_BOUNDS_US.len() && us > HANDSHAKE_BOUNDS_US[index] {
        index += 1;
    }
    index
}
