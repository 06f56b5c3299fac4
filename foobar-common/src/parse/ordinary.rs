//! The ordinary packet: TCP or UDP in a whole datagram without options, extension headers or VLAN tags, of a kind that needs no second
//! look. Most packets are, so it is read with as few instructions as can be: one comparison with the end of the frame for all headers, one
//! look into a table for all TCP flags, no number turned into host byte order that is only compared.
//!
//! `None` says nothing but that: the other modules read the packet, sound or not. What is read here, they read alike.

use super::{
    Address6, Cursor, Header, protocol,
    transport::{Tcp, flag},
};
use crate::tables::{PORTS_TCP, PORTS_UDP};

/// In [`Ordinary::kind`]: it opens a TCP connection. One more than the counter of what a rule lets pass is that of attempts
/// ([`crate::counters::RULE_ATTEMPTS`]), so this is 1.
pub const OPENS: u64 = 1;
/// In [`Ordinary::kind`]: it ends a TCP connection.
pub const CLOSES: u64 = 2;
/// In [`Ordinary::kind`], always.
const SOUND: u64 = 4;

/// Bytes of the link layer without tags.
const LINK: usize = 14;
/// Bytes of the least header of each version of IP.
const IP4: usize = 20;
const IP6: usize = 40;
/// Bytes of the least TCP header.
const TCP: usize = 20;
/// Bytes of a UDP header.
const UDP: u64 = 8;
/// Bytes that are there of an ordinary IPv4 frame. No frame on a wire is shorter.
pub const BYTES4: usize = LINK + IP4 + TCP;
/// The same for IPv6. A shorter UDP datagram is read by the other modules.
pub const BYTES6: usize = LINK + IP6 + TCP;

/// Version 4 and five words of header.
pub const VERSION4: u8 = 0x45;
/// More fragments follow, or this is one that does not come first; of the flags, "do not fragment" alone may be set.
const FRAGMENT: u16 = 0xbfff;
/// Source and destination port of a DHCP reply (RFC 2131, RFC 8415), as they stand in the packet.
const DHCP4: u32 = u32::from_ne_bytes([0, 67, 0, 68]);
const DHCP6: u32 = u32::from_ne_bytes([2, 35, 2, 34]);

/// What the verdict on an ordinary packet depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ordinary<Address> {
    /// Network byte order.
    pub source: Address,
    /// Where the destination port stands in the port table ([`crate::tables::position_of_port`]).
    pub port: u64,
    /// [`OPENS`] and [`CLOSES`].
    pub kind: u64,
}

/// The flow of such a packet, and whether it is TCP. Ports are in network byte order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ends<Address> {
    pub source: Address,
    pub destination: Address,
    pub source_port: u16,
    pub destination_port: u16,
    pub protocol: u8,
}

/// A TCP segment, whatever its flags. Addresses and ports are in network byte order; an IPv4 address is in the first word alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    pub source: Address6,
    pub destination: Address6,
    pub source_port: u16,
    pub destination_port: u16,
    /// The low eight flags: [`flag`], and those of explicit congestion notification.
    pub flags: u8,
    pub sequence: u32,
    pub acknowledged: u32,
    /// Where its payload starts in the frame.
    pub offset: u32,
    /// Bytes of payload.
    pub length: u32,
}

/// [`Ordinary::kind`] of a TCP segment by its flags; 0 for combinations that need a second look: invalid ones, and answers to openings.
static KINDS: [u8; 256] = {
    let mut kinds = [0; 256];
    let mut flags = 0;
    while flags < kinds.len() {
        let tcp = Tcp { source_port: 0, destination_port: 0, flags: flags as u8 };
        if tcp.is_valid() && !tcp.accepts() {
            kinds[flags] = SOUND as u8;
            if tcp.opens() {
                kinds[flags] |= OPENS as u8;
            }
            if tcp.closes() {
                kinds[flags] |= CLOSES as u8;
            }
        }
        flags += 1;
    }
    kinds
};

const _: () = assert!(KINDS[flag::SYN as usize] as u64 == OPENS | SOUND);

/// Reads an IPv4 frame of so many readable bytes; the cursor stands at its first one, and its EtherType is known.
#[inline(always)]
pub fn ipv4(frame: Cursor, bytes: u64) -> Option<Ordinary<u32>> {
    let header = frame.peek::<BYTES4>().ok()?;
    let ip = header.part::<LINK, IP4>();
    let total = ip.u16::<2>() as u64;
    if ip.u8::<0>() != VERSION4
        || ip.u16_raw::<6>() & FRAGMENT.to_be() != 0
        || total + LINK as u64 > bytes
    {
        return None;
    }
    let fits = |length: u64| length + IP4 as u64 <= total;
    let transport = header.part::<{ LINK + IP4 }, TCP>();
    let (port, kind) = match ip.u8::<9>() {
        protocol::TCP => tcp(transport, fits)?,
        protocol::UDP => udp(transport, DHCP4, fits)?,
        _ => return None,
    };
    Some(Ordinary { source: ip.u32_raw::<12>(), port, kind })
}

/// The same for IPv6.
#[inline(always)]
pub fn ipv6(frame: Cursor, bytes: u64) -> Option<Ordinary<Address6>> {
    let header = frame.peek::<BYTES6>().ok()?;
    let ip = header.part::<LINK, IP6>();
    let payload = ip.u16::<4>() as u64;
    if ip.u8::<0>() >> 4 != 6 || payload + (LINK + IP6) as u64 > bytes {
        return None;
    }
    let fits = |length: u64| length <= payload;
    let transport = header.part::<{ LINK + IP6 }, TCP>();
    let (port, kind) = match ip.u8::<6>() {
        protocol::TCP => tcp(transport, fits)?,
        protocol::UDP => udp(transport, DHCP6, fits)?,
        _ => return None,
    };
    Some(Ordinary { source: ip.address6::<8>(), port, kind })
}

/// The flow of a frame that [`ipv4`] read.
#[inline(always)]
pub fn ends4(frame: Cursor) -> Option<Ends<u32>> {
    let header = frame.peek::<BYTES4>().ok()?;
    let (ip, transport) = (header.part::<LINK, IP4>(), header.part::<{ LINK + IP4 }, TCP>());
    Some(Ends {
        source: ip.u32_raw::<12>(),
        destination: ip.u32_raw::<16>(),
        source_port: transport.u16_raw::<0>(),
        destination_port: transport.u16_raw::<2>(),
        protocol: ip.u8::<9>(),
    })
}

/// The flow of a frame that [`ipv6`] read.
#[inline(always)]
pub fn ends6(frame: Cursor) -> Option<Ends<Address6>> {
    let header = frame.peek::<BYTES6>().ok()?;
    let (ip, transport) = (header.part::<LINK, IP6>(), header.part::<{ LINK + IP6 }, TCP>());
    Some(Ends {
        source: ip.address6::<8>(),
        destination: ip.address6::<24>(),
        source_port: transport.u16_raw::<0>(),
        destination_port: transport.u16_raw::<2>(),
        protocol: ip.u8::<6>(),
    })
}

/// Reads the segment in an IPv4 frame of so many bytes, of which at least the headers are readable; the cursor stands at its first one, and
/// its EtherType is known.
#[inline(always)]
pub fn segment4(frame: Cursor, bytes: u32) -> Option<Segment> {
    let header = frame.peek::<BYTES4>().ok()?;
    let ip = header.part::<LINK, IP4>();
    let end = ip.u16::<2>() as u32 + LINK as u32;
    if ip.u8::<0>() != VERSION4
        || ip.u8::<9>() != protocol::TCP
        || ip.u16_raw::<6>() & FRAGMENT.to_be() != 0
        || end > bytes
    {
        return None;
    }
    let (source, destination) = (ip.u32_raw::<12>() as u64, ip.u32_raw::<16>() as u64);
    let transport = header.part::<{ LINK + IP4 }, TCP>();
    segment([source, 0], [destination, 0], transport, (LINK + IP4) as u32, end)
}

/// The same for IPv6.
#[inline(always)]
pub fn segment6(frame: Cursor, bytes: u32) -> Option<Segment> {
    let header = frame.peek::<BYTES6>().ok()?;
    let ip = header.part::<LINK, IP6>();
    let end = ip.u16::<4>() as u32 + (LINK + IP6) as u32;
    if ip.u8::<0>() >> 4 != 6 || ip.u8::<6>() != protocol::TCP || end > bytes {
        return None;
    }
    let (source, destination) = (ip.address6::<8>(), ip.address6::<24>());
    let transport = header.part::<{ LINK + IP6 }, TCP>();
    segment(source, destination, transport, (LINK + IP6) as u32, end)
}

/// The segment whose header is `at` bytes behind the start of the frame, in a datagram that ends at `end`; `None` if its header does not fit.
#[inline(always)]
pub fn segment(
    source: Address6,
    destination: Address6,
    header: Header<TCP>,
    at: u32,
    end: u32,
) -> Option<Segment> {
    let words = (header.u8::<12>() >> 4) as u32;
    let offset = at + words * 4;
    if words < 5 || offset > end {
        return None;
    }
    Some(Segment {
        source,
        destination,
        source_port: header.u16_raw::<0>(),
        destination_port: header.u16_raw::<2>(),
        flags: header.u8::<13>(),
        sequence: u32::from_be(header.u32_raw::<4>()),
        acknowledged: u32::from_be(header.u32_raw::<8>()),
        offset,
        length: end - offset,
    })
}

#[inline(always)]
fn tcp(header: Header<TCP>, fits: impl Fn(u64) -> bool) -> Option<(u64, u64)> {
    // The length in words stands in the upper four bits. The lower ones are reserved, and a segment with one of them set may look up to
    // three bytes longer than it is: then it is not ordinary.
    let length = header.u8::<12>() as u64;
    if length < 5 << 4 || !fits(length >> 2) {
        return None;
    }
    let kind = KINDS[header.u8::<13>() as usize] as u64;
    if kind == 0 {
        return None;
    }
    Some((PORTS_TCP as u64 + header.u16_raw::<2>() as u64, kind))
}

#[inline(always)]
fn udp(header: Header<TCP>, dhcp: u32, fits: impl Fn(u64) -> bool) -> Option<(u64, u64)> {
    let length = header.u16::<4>() as u64;
    if length < UDP || !fits(length) || header.u32_raw::<0>() == dhcp {
        return None;
    }
    Some((PORTS_UDP as u64 + header.u16_raw::<2>() as u64, SOUND))
}
