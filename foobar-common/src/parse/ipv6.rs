//! IPv6 (RFC 8200) with its extension headers, down to the transport header.

use super::ipv4::{AUTHENTICATION, AUTHENTICATION_BYTES};
use super::{Address6, Cursor, Datagram, Fragment, Frame, protocol};
use crate::reason::Reason;

/// Extension headers (IANA "IPv6 Extension Header Types").
const HOP_BY_HOP: u8 = 0;
const ROUTING: u8 = 43;
const FRAGMENT: u8 = 44;
const DESTINATION_OPTIONS: u8 = 60;

/// Extension headers that are walked; a deeper chain is dropped. RFC 8200 recommends at most seven in a packet.
const MAX_EXTENSIONS: usize = 8;

/// Reads the header and walks the extension headers.
///
/// # Errors
/// [`Reason::Truncated`], [`Reason::Malformed`] or [`Reason::ExtensionHeader`]; [`Reason::FragmentShort`] where a first
/// fragment ends inside the chain (RFC 7112).
#[inline(always)]
pub fn ipv6(mut cursor: Cursor, frame: &mut impl Frame) -> Result<Datagram<Address6>, Reason> {
    let start = cursor.position();
    let available = cursor.available();
    let header = cursor.take::<40>()?;
    let payload = header.u16::<4>() as u32;
    if header.u8::<0>() >> 4 != 6 {
        return Err(Reason::Malformed);
    }
    let total = payload as usize + 40;
    if total > available && total > frame.bytes_from(start) {
        return Err(Reason::Malformed);
    }
    let mut datagram = Datagram {
        source: header.address6::<8>(),
        destination: header.address6::<24>(),
        protocol: header.u8::<6>(),
        hop_limit: header.u8::<7>(),
        fragment: Fragment::default(),
        has_options: false,
        source_routed: false,
        cursor,
        remaining: payload,
    };
    if is_extension(datagram.protocol) {
        extensions(&mut datagram, frame)?;
    }
    Ok(datagram)
}

/// Whether this is a header that is stepped over to find the transport header.
#[inline(always)]
fn is_extension(next: u8) -> bool {
    matches!(next, HOP_BY_HOP | ROUTING | FRAGMENT | DESTINATION_OPTIONS | AUTHENTICATION)
}

#[inline(always)]
fn extensions(datagram: &mut Datagram<Address6>, frame: &mut impl Frame) -> Result<(), Reason> {
    let mut state = datagram.protocol as u64;
    for _ in 0..MAX_EXTENSIONS {
        state = frame.extension_step(datagram.cursor, datagram.remaining, state);
        if state & DONE != 0 {
            break;
        }
    }
    if state & (DONE | FAILED) != DONE {
        return Err(match state {
            TOO_SHORT => Reason::FragmentShort,
            TRUNCATED => Reason::Truncated,
            MALFORMED => Reason::Malformed,
            _ => Reason::ExtensionHeader,
        });
    }
    let fragment_at = (state >> FRAGMENT_AT & LENGTH) as u32;
    if fragment_at != 0 {
        let mut cursor = datagram.cursor;
        cursor.skip_to_before(fragment_at);
        datagram.fragment = fragment(&cursor.peek::<8>()?);
    }
    let bytes = (state >> BYTES & LENGTH) as u32;
    if bytes > datagram.remaining {
        return Err(Reason::Malformed);
    }
    datagram.protocol = state as u8;
    datagram.has_options = state & HAS_OPTIONS != 0;
    datagram.source_routed = state & SOURCE_ROUTED != 0;
    datagram.cursor.skip(bytes);
    datagram.remaining -= bytes;
    Ok(())
}

/// What a fragment header (RFC 8200, section 4.5) says.
#[inline(always)]
fn fragment(header: &super::Header<8>) -> Fragment {
    let offset_and_more = header.u16::<2>();
    Fragment {
        offset: offset_and_more >> 3,
        more: offset_and_more & 1 != 0,
        identification: header.u32_raw::<4>(),
        protocol: header.u8::<0>(),
    }
}

// How far the walk over the extension headers has come, as one number, since that is what a function can take and return that
// the kernel verifies on its own: the next header in the low 8 bits, then

/// where the length of the headers so far stands,
const BYTES: u32 = 16;
/// where the position of the fragment header stands, plus 1; 0 is nowhere.
const FRAGMENT_AT: u32 = 32;
/// Mask of a length or position: eight headers are at most 2,048 bytes each.
const LENGTH: u64 = 0x7fff;
/// Mask of an offset in a frame that still lies in the chain: keeps the verifier informed.
const MAX_OFFSET: u32 = 0x7fff;
/// There were extension headers other than a fragment header or a leading hop-by-hop header.
const HAS_OPTIONS: u64 = 1 << 48;
/// There was a routing header with segments left or of type 0.
const SOURCE_ROUTED: u64 = 1 << 49;
/// The fragment header says that more fragments follow.
const FIRST_FRAGMENT: u64 = 1 << 50;
/// The walk is over.
const DONE: u64 = 1 << 62;
/// The walk failed.
const FAILED: u64 = 1 << 63;

const OUT_OF_ORDER: u64 = DONE | FAILED;
const MALFORMED: u64 = DONE | FAILED | 1;
const TOO_SHORT: u64 = DONE | FAILED | 2;
const TRUNCATED: u64 = DONE | FAILED | 3;

/// Steps over one extension header: takes and returns the state of the walk. The first extension header stands `at` bytes behind
/// the cursor, and the datagram has `remaining` bytes from there on.
#[inline(always)]
pub fn extension_step(mut cursor: Cursor, at: u32, remaining: u32, state: u64) -> u64 {
    let kind = state as u8;
    let before = (state >> BYTES & LENGTH) as u32;
    if kind == HOP_BY_HOP && before != 0 {
        return OUT_OF_ORDER;
    }
    let short = if state & FIRST_FRAGMENT != 0 { TOO_SHORT } else { MALFORMED };
    if before + 8 > remaining {
        return short;
    }
    cursor.skip((at + before) & MAX_OFFSET);
    let Ok(header) = cursor.peek::<8>() else {
        return TRUNCATED;
    };
    let units = header.u8::<1>() as u32;
    let mut bytes = (units + 1) * 8;
    let mut found = state & !0xff & !(LENGTH << BYTES);
    match kind {
        FRAGMENT => {
            if found >> FRAGMENT_AT & LENGTH != 0 {
                return OUT_OF_ORDER;
            }
            bytes = 8;
            found |= (before as u64 + 1) << FRAGMENT_AT;
            if header.u8::<3>() & 1 != 0 {
                found |= FIRST_FRAGMENT;
            }
            if header.u16::<2>() >> 3 != 0 {
                found |= DONE;
            }
        }
        AUTHENTICATION => {
            bytes = (units + 2) * 4;
            if bytes < AUTHENTICATION_BYTES {
                return MALFORMED;
            }
            found |= HAS_OPTIONS;
        }
        ROUTING => {
            found |= HAS_OPTIONS;
            // Type 0 is forbidden (RFC 5095); with segments left this host would have to forward the packet.
            if header.u8::<2>() == 0 || header.u8::<3>() != 0 {
                found |= SOURCE_ROUTED;
            }
        }
        DESTINATION_OPTIONS => found |= HAS_OPTIONS,
        _ => {}
    }
    if before + bytes > remaining {
        return short;
    }
    let next = header.u8::<0>();
    if !is_extension(next) {
        found |= DONE;
    }
    found | next as u64 | ((before + bytes) as u64 & LENGTH) << BYTES
}

/// The packet that an ICMPv6 error quotes: protocol, destination of that packet, and its ports.
///
/// # Errors
/// [`Reason::IcmpUnrelated`] if it is no IPv6 packet from `local` that shows its ports, at once or behind a fragment header.
#[inline(always)]
pub fn quoted(
    mut cursor: Cursor,
    remaining: u32,
    local: Address6,
) -> Result<super::transport::Quoted<Address6>, Reason> {
    let header = cursor.take::<40>().map_err(|_| Reason::IcmpUnrelated)?;
    if header.u8::<0>() >> 4 != 6 || remaining < 48 || header.address6::<8>() != local {
        return Err(Reason::IcmpUnrelated);
    }
    let mut next = header.u8::<6>();
    if next == FRAGMENT {
        let fragment = fragment(&cursor.take::<8>().map_err(|_| Reason::IcmpUnrelated)?);
        if remaining < 56 || fragment.is_tail() {
            return Err(Reason::IcmpUnrelated);
        }
        next = fragment.protocol;
    }
    super::transport::quoted(cursor, next, header.address6::<24>(), protocol::ICMPV6)
}
