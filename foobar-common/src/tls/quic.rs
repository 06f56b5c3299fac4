//! The first packet of a QUIC connection (RFC 9000 section 17.2, RFC 9369 for version 2), as far as it is in clear.
//!
//! A client's first datagrams hold an Initial packet and have 1200 bytes at least (RFC 9000 section 14.1). It sends several: again when one
//! is lost, with another destination after a Retry, with another version after Version Negotiation. All of them name the same source
//! connection ID.

use super::Bytes;

/// Bytes of a datagram with a client's Initial packet, at least.
pub const MIN_DATAGRAM: u32 = 1200;
/// Long header, fixed bit.
const LONG: u8 = 0b1100_0000;
/// Connection IDs are this long at most in the versions known here (RFC 9000 section 17.2).
const MAX_ID: u32 = 20;
const VERSION_1: u32 = 1;
const VERSION_2: u32 = 0x6b33_43cf;
/// Drafts 29 to 34 look like version 1.
const DRAFT_29: u32 = 0xff00_001d;
const DRAFT_34: u32 = 0xff00_0022;

/// Seconds of silence after which an Initial belongs to another connection. Clients that leave their connection ID empty may use
/// a port again; none goes on asking for so long.
pub const FORGET_SECONDS: u32 = 60;

/// Key of a connection.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct QuicKey {
    /// Addresses and ports in network byte order; an IPv4 address stands in the first word.
    pub local: [u32; 4],
    pub remote: [u32; 4],
    /// Local port in the low half, remote port in the high half.
    pub ports: u32,
    /// Length of the client's connection ID.
    pub length: u32,
    /// The connection ID as numbers of eight bytes, 0 behind its end.
    pub id: [u64; 3],
}

const _: () = assert!(size_of::<QuicKey>() == 64);

/// The client's connection ID, if the `length` bytes of UDP payload from `at` on start with an Initial packet of a known version.
#[inline(always)]
pub fn initial(bytes: &(impl Bytes + ?Sized), at: u32, length: u32) -> Option<(u32, [u64; 3])> {
    if length < MIN_DATAGRAM {
        return None;
    }
    // First byte, version, length of the destination's connection ID.
    let head = bytes.load(at, 6)?;
    let first = (head >> 40) as u8;
    let version = (head >> 8) as u32;
    // Version 2 numbers the types of packets otherwise (RFC 9369 section 3.2).
    let kind = match version {
        VERSION_1 | DRAFT_29..=DRAFT_34 => 0,
        VERSION_2 => 1,
        _ => return None,
    };
    if first & LONG != LONG || first >> 4 & 0b11 != kind {
        return None;
    }
    let destination = head as u32 & 0xff;
    if destination > MAX_ID {
        return None;
    }
    let at = at + 6 + destination;
    let length = bytes.load(at, 1)? as u32;
    if length > MAX_ID {
        return None;
    }
    let at = at + 1;
    let mut id = [0; 3];
    id[0] = part(bytes, at, length)?;
    id[1] = part(bytes, at + 8, length.saturating_sub(8))?;
    id[2] = part(bytes, at + 16, length.saturating_sub(16))?;
    Some((length, id))
}

#[inline(always)]
fn part(bytes: &(impl Bytes + ?Sized), at: u32, left: u32) -> Option<u64> {
    if left == 0 { Some(0) } else { bytes.load(at, left.min(8)) }
}
