//! TCP segments as observers see them.

use aya_ebpf::bindings::__sk_buff;
use foobar_common::{
    observe::ConnectionKey,
    parse::{Address6, ethernet, ordinary, protocol, transport::flag},
    tables::{PORTS_TCP, PortEntry},
};

use crate::{frame::Leaving, policy::Policy};

/// IPv4: more fragments, or an offset (RFC 791).
const FRAGMENTED: u16 = 0x3fff;
/// IPv6: hop-by-hop options (RFC 8200), in which the kernel's own large segments carry their length.
const HOP_BY_HOP: u8 = 0;

/// A TCP segment.
#[repr(C)]
#[derive(Default)]
pub struct Segment {
    /// The connection, seen from this server.
    pub connection: ConnectionKey,
    /// Where the statistics of its port are.
    pub slot: u32,
    /// What its port means: [`PortEntry::flags`].
    pub port: u32,
    /// Low eight flags of the TCP header.
    pub flags: u32,
    /// Sequence number of the first byte of the payload (of the SYN in a segment that opens).
    pub sequence: u32,
    /// The next byte that its sender expects; without meaning if ACK is not set.
    pub acknowledged: u32,
    /// Where the payload starts in the frame.
    pub offset: u32,
    /// Bytes of payload; a large segment that the network card is to cut has up to 64 KiB and more.
    pub length: u32,
}

impl Segment {
    /// The segment that was found in a packet; `port` is that of this server.
    #[inline(always)]
    pub fn of(found: &ordinary::Segment, arrives: bool, port: &PortEntry) -> Self {
        let (from, to) = (found.source_port as u64, found.destination_port as u64);
        let connection = if arrives {
            ConnectionKey { local: found.destination, remote: found.source, ports: to | from << 16 }
        } else {
            ConnectionKey { local: found.source, remote: found.destination, ports: from | to << 16 }
        };
        Segment {
            connection,
            slot: port.slot as u32,
            port: port.flags as u32,
            flags: found.flags as u32,
            sequence: found.sequence,
            acknowledged: found.acknowledged,
            offset: found.offset,
            length: found.length,
        }
    }

    /// Whether it has something to tell, and its port is observed so: [`foobar_common::tables::PORT_HTTP`] or
    /// [`foobar_common::tables::PORT_TLS`].
    #[inline(always)]
    pub fn tells(&self, observed: u8) -> bool {
        self.port & observed as u32 != 0
            && (self.length != 0 || self.has(flag::SYN | flag::FIN | flag::RST))
    }

    /// Whether one of these TCP flags is set.
    #[inline(always)]
    pub fn has(&self, flags: u8) -> bool {
        self.flags & flags as u32 != 0
    }
}

/// Reads the headers of what arrives; `None` for what is no TCP segment.
#[inline(always)]
pub fn arriving(skb: *mut __sk_buff) -> Option<Segment> {
    let frame = Leaving::as_it_is(skb);
    if let Some(found) = frame.ordinary_segment() {
        let policy = Policy::current();
        let port = policy.port_of(PORTS_TCP as u64 + found.destination_port as u64);
        return Some(Segment::of(&found, true, port));
    }
    odd(skb, true)
}

/// Reads the headers of what is not ordinary; `arrives`: whose addresses are this server's.
#[inline(always)]
pub fn odd(skb: *mut __sk_buff, arrives: bool) -> Option<Segment> {
    if Leaving::as_it_is(skb).is_plain_udp() {
        return None;
    }
    let mut odd = Segment::default();
    if odd_segment(skb, &mut odd, arrives as u32) != 0 { Some(odd) } else { None }
}

/// Reads a segment that is not ordinary. Gives back whether there is one, 0 or 1. A global function: the kernel verifies it once, and the usual way
/// stays short.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn odd_segment(skb: *mut __sk_buff, segment: *mut Segment, arrives: u32) -> u32 {
    if segment.is_null() {
        return 0;
    }
    let Some(found) = any(skb, arrives != 0) else { return 0 };
    // SAFETY: the caller passes a segment of its own; the verifier knows its size by the type.
    unsafe { *segment = found };
    1
}

/// Any segment, also behind VLAN tags, IP options, or hop-by-hop options.
#[inline(always)]
fn any(skb: *mut __sk_buff, arrives: bool) -> Option<Segment> {
    let frame = Leaving::new(skb);
    let mut cursor = frame.cursor();
    let start = cursor.position();
    let link = ethernet::ethernet(&mut cursor).ok()?;
    let (source, destination): (Address6, Address6);
    // Bytes of the frame up to the end of the datagram, so that padding of short frames does not count as payload.
    let end;
    match link.protocol {
        ethernet::IPV4 => {
            let at = cursor.position() - start;
            let header = cursor.take::<20>().ok()?;
            let header_bytes = (header.u8::<0>() & 0x0f) as u32 * 4;
            if header.u8::<9>() != protocol::TCP
                || header.u16::<6>() & FRAGMENTED != 0
                || header_bytes < 20
            {
                return None;
            }
            cursor.skip(header_bytes - 20);
            end = datagram_end(at as u32, header.u16::<2>() as u32, frame.bytes);
            source = [header.u32_raw::<12>() as u64, 0];
            destination = [header.u32_raw::<16>() as u64, 0];
        }
        ethernet::IPV6 => {
            let header = cursor.take::<40>().ok()?;
            let mut next = header.u8::<6>();
            let at = cursor.position() - start;
            if next == HOP_BY_HOP {
                let options = cursor.take::<8>().ok()?;
                if options.u8::<1>() != 0 {
                    return None;
                }
                next = options.u8::<0>();
            }
            if next != protocol::TCP {
                return None;
            }
            end = datagram_end(at as u32, header.u16::<4>() as u32, frame.bytes);
            source = header.address6::<8>();
            destination = header.address6::<24>();
        }
        _ => return None,
    }
    let tcp_at = (cursor.position() - start) as u32;
    let tcp = cursor.peek::<20>().ok()?;
    let found = ordinary::segment(source, destination, tcp, tcp_at, end)?;
    let local = if arrives { found.destination_port } else { found.source_port };
    let policy = Policy::current();
    Some(Segment::of(&found, arrives, policy.port_of(PORTS_TCP as u64 + local as u64)))
}

/// The end of a datagram that starts at `at`, by its own length field; large segments of the kernel's own have 0 there.
#[inline(always)]
fn datagram_end(at: u32, length: u32, frame: u32) -> u32 {
    let end = at + length;
    if length == 0 || end > frame { frame } else { end }
}
