//! Watching what goes through observed ports: two TCX programs, one for each way, attached only where a port is observed.
//!
//! They read as little as they can: a segment without payload that does not begin or end a connection is left alone, and so is
//! every port that the policy does not mark ([`PORT_HTTP`], [`PORT_TLS`]). They change no packet and always leave it to the next
//! program. What arrives was let in by the filter; what leaves is seen behind the segmentation of the sender's TCP, in its order.
//!
//! Each kind of observed traffic has a module with the functions `arriving` and `leaving`, which get a [`Segment`] and keep
//! a table of connections of their own: [`crate::http`], [`crate::tls`].

use aya_ebpf::{bindings::__sk_buff, programs::TcContext};
use foobar_common::{
    observe::ConnectionKey,
    parse::{Header, ethernet, protocol, transport::flag},
    tables::{PORT_HTTP, PORT_TLS, PORTS_TCP, feature, position_of_port},
};

use crate::{frame::Leaving, http, policy::Policy, quic, settings, tls};

/// Leave it to the next program (`TCX_NEXT`; for a classifier, "unspecified").
const NEXT: i32 = -1;
/// IPv4: more fragments, or an offset (RFC 791).
const FRAGMENTED: u16 = 0x3fff;
/// IPv6: hop-by-hop options (RFC 8200), in which the kernel's own large segments carry their length.
const HOP_BY_HOP: u8 = 0;

/// A TCP segment of an observed port.
pub struct Segment {
    /// The connection, seen from this server.
    pub connection: ConnectionKey,
    /// Where the port's statistics are.
    pub slot: u32,
    /// [`PORT_HTTP`], [`PORT_TLS`].
    pub observed: u8,
    /// Low eight flags of the TCP header.
    pub flags: u8,
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
    /// Whether one of these TCP flags is set.
    #[inline(always)]
    pub fn has(&self, flags: u8) -> bool {
        self.flags & flags != 0
    }
}

/// A segment that arrives.
#[inline(always)]
pub fn arriving(context: &TcContext) -> i32 {
    let skb = context.skb.skb;
    if let Some(segment) = segment(skb, true) {
        if settings::has(feature::HTTP) && segment.observed & PORT_HTTP != 0 {
            http::arriving(skb, &segment);
        }
        if settings::has(feature::TLS) && segment.observed & PORT_TLS != 0 {
            tls::arriving(skb, &segment);
        }
    } else if settings::has(feature::TLS) && quic::is_long_enough(skb) {
        quic::quic_arriving(skb);
    }
    NEXT
}

/// A segment that leaves.
#[inline(always)]
pub fn leaving(context: &TcContext) -> i32 {
    let skb = context.skb.skb;
    if let Some(segment) = segment(skb, false) {
        if settings::has(feature::HTTP) && segment.observed & PORT_HTTP != 0 {
            http::leaving(skb, &segment);
        }
        if settings::has(feature::TLS) && segment.observed & PORT_TLS != 0 {
            tls::leaving(skb, &segment);
        }
    }
    NEXT
}

/// Reads the headers; `None` for what is no TCP segment of an observed port, or has nothing to tell.
#[inline(always)]
fn segment(skb: *mut __sk_buff, arrives: bool) -> Option<Segment> {
    let frame = Leaving::new(skb);
    let mut cursor = frame.cursor();
    let start = cursor.position();
    let link = ethernet::ethernet(&mut cursor).ok()?;
    let mut connection = ConnectionKey::default();
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
            let (source, destination) = (header.u32_raw::<12>(), header.u32_raw::<16>());
            let (local, remote) =
                if arrives { (destination, source) } else { (source, destination) };
            connection.local[0] = local as u64;
            connection.remote[0] = remote as u64;
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
            let (source, destination) = (header.address6::<8>(), header.address6::<24>());
            let (local, remote) =
                if arrives { (destination, source) } else { (source, destination) };
            connection.local = local;
            connection.remote = remote;
        }
        _ => return None,
    }
    let tcp = cursor.peek::<20>().ok()?;
    let tcp_at = (cursor.position() - start) as u32;
    tcp_segment(&tcp, tcp_at, end, connection, arrives)
}

/// The end of a datagram that starts at `at`, by its own length field; large segments of the kernel's own have 0 there.
#[inline(always)]
fn datagram_end(at: u32, length: u32, frame: u32) -> u32 {
    let end = at + length;
    if length == 0 || end > frame { frame } else { end }
}

#[inline(always)]
fn tcp_segment(
    tcp: &Header<20>,
    at: u32,
    end: u32,
    mut connection: ConnectionKey,
    arrives: bool,
) -> Option<Segment> {
    let header_bytes = (tcp.u8::<12>() >> 4) as u32 * 4;
    let flags = tcp.u8::<13>();
    let offset = at + header_bytes;
    let length = end.checked_sub(offset)?;
    if header_bytes < 20 || length == 0 && flags & (flag::SYN | flag::FIN | flag::RST) == 0 {
        return None;
    }
    let (source, destination) = (tcp.u16_raw::<0>(), tcp.u16_raw::<2>());
    let (local, remote) = if arrives { (destination, source) } else { (source, destination) };
    let entry = Policy::current().port(position_of_port(PORTS_TCP, local));
    if entry.flags & (PORT_HTTP | PORT_TLS) == 0 {
        return None;
    }
    connection.ports = local as u64 | (remote as u64) << 16;
    Some(Segment {
        connection,
        slot: entry.slot as u32,
        observed: entry.flags,
        flags,
        sequence: u32::from_be(tcp.u32_raw::<4>()),
        acknowledged: u32::from_be(tcp.u32_raw::<8>()),
        offset,
        length,
    })
}
