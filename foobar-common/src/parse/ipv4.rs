//! IPv4 (RFC 791) down to the transport header.

use super::{Cursor, Datagram, Fragment, Frame, protocol};
use crate::reason::Reason;

const HEADER: u32 = 20;
const MORE_FRAGMENTS: u16 = 0x2000;
const OFFSET: u16 = 0x1fff;

/// Option numbers (RFC 791, section 3.1).
const END_OF_OPTIONS: u8 = 0;
const NO_OPERATION: u8 = 1;
const LOOSE_SOURCE_ROUTE: u8 = 131;
const STRICT_SOURCE_ROUTE: u8 = 137;
const MAX_OPTION_BYTES: u32 = 40;
/// Mask of an offset in a frame that still lies in the options: keeps the verifier informed.
const MAX_OFFSET: u32 = 0xff;

/// IP authentication header (RFC 4302).
pub(super) const AUTHENTICATION: u8 = 51;
/// Its fixed part (RFC 4302, section 2).
pub(super) const AUTHENTICATION_BYTES: u32 = 12;

/// What [`option_step`] finds instead of an option's length.
const OPTION_END: u32 = 0;
const OPTION_SOURCE_ROUTE: u32 = 0x100;
const OPTION_MALFORMED: u32 = 0x101;

/// Reads the header, its options and an authentication header.
///
/// # Errors
/// [`Reason::Truncated`] or [`Reason::Malformed`]; [`Reason::FragmentShort`] where a first fragment ends inside the headers.
#[inline(always)]
pub fn ipv4(mut cursor: Cursor, frame: &mut impl Frame) -> Result<Datagram<u32>, Reason> {
    let start = cursor.position();
    let available = cursor.available();
    let header = cursor.take::<20>()?;
    let version_and_length = header.u8::<0>();
    let header_bytes = ((version_and_length & 0x0f) as u32) * 4;
    let total = header.u16::<2>() as u32;
    if version_and_length >> 4 != 4 || header_bytes < HEADER || total < header_bytes {
        return Err(Reason::Malformed);
    }
    if total as usize > available && total as usize > frame.bytes_from(start) {
        return Err(Reason::Malformed);
    }

    let flags_and_offset = header.u16::<6>();
    let fragment = Fragment {
        offset: flags_and_offset & OFFSET,
        more: flags_and_offset & MORE_FRAGMENTS != 0,
        identification: header.u16_raw::<4>() as u32,
        protocol: header.u8::<9>(),
    };
    let has_options = header_bytes > HEADER;
    let mut source_routed = false;
    if has_options {
        source_routed = has_source_route(cursor, header_bytes - HEADER, frame)?;
        cursor.skip(header_bytes - HEADER);
    }

    let mut datagram = Datagram {
        source: header.u32_raw::<12>(),
        destination: header.u32_raw::<16>(),
        protocol: fragment.protocol,
        hop_limit: header.u8::<8>(),
        fragment,
        has_options,
        source_routed,
        cursor,
        remaining: total - header_bytes,
    };
    if datagram.protocol == AUTHENTICATION && !fragment.is_tail() {
        skip_authentication(&mut datagram)?;
    }
    Ok(datagram)
}

/// Whether the options hold a source route.
#[inline(always)]
fn has_source_route(options: Cursor, bytes: u32, frame: &mut impl Frame) -> Result<bool, Reason> {
    let mut at = 0;
    for _ in 0..MAX_OPTION_BYTES {
        if at >= bytes {
            break;
        }
        match frame.option_step(options, at, bytes - at) {
            OPTION_END => break,
            OPTION_SOURCE_ROUTE => return Ok(true),
            length if length < OPTION_SOURCE_ROUTE => at += length,
            _ => return Err(Reason::Malformed),
        }
    }
    Ok(false)
}

/// Looks at the option `at` bytes behind the cursor and returns its length, 0 at the end of the options, or one of the numbers
/// above. `left` bytes of options are left.
#[inline(always)]
pub fn option_step(mut cursor: Cursor, at: u32, left: u32) -> u32 {
    cursor.skip(at & MAX_OFFSET);
    // Two bytes even where one would do: behind the options there is always more, or the datagram is worth nothing.
    let Ok(option) = cursor.peek::<2>() else {
        return OPTION_MALFORMED;
    };
    let length = option.u8::<1>() as u32;
    match option.u8::<0>() {
        END_OF_OPTIONS => OPTION_END,
        NO_OPERATION => 1,
        LOOSE_SOURCE_ROUTE | STRICT_SOURCE_ROUTE => OPTION_SOURCE_ROUTE,
        _ if length < 2 || length > left => OPTION_MALFORMED,
        _ => length,
    }
}

/// Steps over one authentication header, whose length counts in units of 4 bytes less 2 (RFC 4302, section 2.2).
#[inline(always)]
fn skip_authentication(datagram: &mut Datagram<u32>) -> Result<(), Reason> {
    let header = datagram.cursor.peek::<12>()?;
    let bytes = (header.u8::<1>() as u32 + 2) * 4;
    if bytes > datagram.remaining {
        return Err(if datagram.fragment.more { Reason::FragmentShort } else { Reason::Malformed });
    }
    if bytes < AUTHENTICATION_BYTES {
        return Err(Reason::Malformed);
    }
    datagram.protocol = header.u8::<0>();
    datagram.cursor.skip(bytes);
    datagram.remaining -= bytes;
    Ok(())
}

/// The packet that an ICMP error quotes: protocol, destination of that packet, and its ports.
///
/// # Errors
/// [`Reason::IcmpUnrelated`] if it is no IPv4 packet from `local` that shows its ports.
#[inline(always)]
pub fn quoted(
    mut cursor: Cursor,
    remaining: u32,
    local: u32,
) -> Result<super::transport::Quoted<u32>, Reason> {
    let header = cursor.take::<20>().map_err(|_| Reason::IcmpUnrelated)?;
    let header_bytes = ((header.u8::<0>() & 0x0f) as u32) * 4;
    let is_first = header.u16::<6>() & OFFSET == 0;
    let from_here = header.u32_raw::<12>() == local;
    if header.u8::<0>() >> 4 != 4
        || header_bytes < HEADER
        || remaining < header_bytes + 8
        || !is_first
        || !from_here
    {
        return Err(Reason::IcmpUnrelated);
    }
    cursor.skip(header_bytes - HEADER);
    super::transport::quoted(cursor, header.u8::<9>(), header.u32_raw::<16>(), protocol::ICMP)
}
