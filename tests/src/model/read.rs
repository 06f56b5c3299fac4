//! A frame, read by etherparse header by header.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use etherparse::{
    Ethernet2HeaderSlice, IpAuthHeaderSlice, Ipv4HeaderSlice, Ipv6FragmentHeaderSlice,
    Ipv6HeaderSlice, Ipv6RawExtHeaderSlice, SingleVlanHeaderSlice,
};

/// Why a frame is dropped before anybody asks the policy: the name of the reason.
pub(super) type Refusal = &'static str;

/// Extension headers that are walked.
const DEPTH: usize = 8;

/// What a frame carries.
#[derive(Debug)]
pub(super) enum Content<'a> {
    /// ARP.
    Arp,
    /// Neither ARP nor IP, to an address that bridges do not forward.
    LinkControl,
    /// Anything else that is not IP.
    Other,
    /// An IP datagram.
    Ip(Datagram<'a>),
}

/// An IP datagram down to its transport header.
#[derive(Debug)]
pub(super) struct Datagram<'a> {
    pub source: IpAddr,
    pub destination: IpAddr,
    pub hop_limit: u8,
    /// Of the transport header.
    pub protocol: u8,
    pub fragment: Fragment,
    /// IPv4 options, or extension headers that a policy may refuse.
    pub has_options: bool,
    pub source_routed: bool,
    /// From the transport header to the end of the datagram.
    pub payload: &'a [u8],
}

/// Its place in a fragmented datagram.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Fragment {
    pub identification: u32,
    /// In bytes.
    pub offset: u32,
    pub more: bool,
    /// The protocol that the IP or fragment header names.
    pub protocol: u8,
}

impl Fragment {
    pub fn is_whole(self) -> bool {
        self.offset == 0 && !self.more
    }
}

impl Datagram<'_> {
    pub fn is_v6(&self) -> bool {
        self.source.is_ipv6()
    }

    pub fn icmp(&self) -> u8 {
        if self.is_v6() { 58 } else { 1 }
    }

    /// The reason where the transport header is not all there.
    pub fn too_short(&self) -> Refusal {
        if self.fragment.is_whole() { "malformed" } else { "fragment_short" }
    }
}

/// Reads a frame.
pub(super) fn read(frame: &[u8]) -> Result<Content<'_>, Refusal> {
    let ethernet = Ethernet2HeaderSlice::from_slice(frame).map_err(|_| "truncated")?;
    let mut rest = &frame[ethernet.slice().len()..];
    let mut ether_type = ethernet.ether_type().0;
    let mut tags = 0;
    while ether_type == 0x8100 || ether_type == 0x88a8 {
        if tags == 2 {
            return Err("vlan_depth");
        }
        let tag = SingleVlanHeaderSlice::from_slice(rest).map_err(|_| "truncated")?;
        ether_type = tag.ether_type().0;
        rest = &rest[tag.slice().len()..];
        tags += 1;
    }
    match ether_type {
        0x0800 => read_v4(rest).map(Content::Ip),
        0x86dd => read_v6(rest).map(Content::Ip),
        0x0806 => Ok(Content::Arp),
        _ => {
            let destination = ethernet.destination();
            let is_link_local = destination[..5] == [0x01, 0x80, 0xc2, 0, 0] && destination[5] < 16;
            Ok(if is_link_local { Content::LinkControl } else { Content::Other })
        }
    }
}

fn read_v4(bytes: &[u8]) -> Result<Datagram<'_>, Refusal> {
    if bytes.len() < 20 {
        return Err("truncated");
    }
    let header = Ipv4HeaderSlice::from_slice(bytes).map_err(|_| "malformed")?;
    let header_bytes = header.slice().len();
    let total = usize::from(header.total_len());
    if total < header_bytes || total > bytes.len() {
        return Err("malformed");
    }
    let mut datagram = Datagram {
        source: header.source_addr().into(),
        destination: header.destination_addr().into(),
        hop_limit: header.ttl(),
        protocol: header.protocol().0,
        fragment: Fragment {
            identification: header.identification().into(),
            offset: header.fragments_offset().value() as u32 * 8,
            more: header.more_fragments(),
            protocol: header.protocol().0,
        },
        has_options: !header.options().is_empty(),
        source_routed: has_source_route(header.options())?,
        payload: &bytes[header_bytes..total],
    };
    if datagram.protocol == 51 && datagram.fragment.offset == 0 {
        if datagram.payload.len() < 12 {
            return Err(datagram.too_short());
        }
        let authentication =
            IpAuthHeaderSlice::from_slice(datagram.payload).map_err(|_| datagram.too_short())?;
        datagram.protocol = authentication.next_header().0;
        datagram.payload = &datagram.payload[authentication.slice().len()..];
    }
    Ok(datagram)
}

fn has_source_route(mut options: &[u8]) -> Result<bool, Refusal> {
    while let Some(kind) = options.first() {
        let length = match kind {
            0 => return Ok(false),
            1 => 1,
            131 | 137 => return Ok(true),
            _ => options
                .get(1)
                .copied()
                .map(usize::from)
                .filter(|length| *length >= 2)
                .ok_or("malformed")?,
        };
        options = options.get(length..).ok_or("malformed")?;
    }
    Ok(false)
}

fn read_v6(bytes: &[u8]) -> Result<Datagram<'_>, Refusal> {
    if bytes.len() < 40 {
        return Err("truncated");
    }
    let header = Ipv6HeaderSlice::from_slice(bytes).map_err(|_| "malformed")?;
    let end = 40 + usize::from(header.payload_length());
    let payload = bytes.get(40..end).ok_or("malformed")?;
    let mut datagram = Datagram {
        source: header.source_addr().into(),
        destination: header.destination_addr().into(),
        hop_limit: header.hop_limit(),
        protocol: header.next_header().0,
        fragment: Fragment::default(),
        has_options: false,
        source_routed: false,
        payload,
    };
    walk(&mut datagram)?;
    Ok(datagram)
}

fn is_extension(number: u8) -> bool {
    matches!(number, 0 | 43 | 44 | 51 | 60)
}

fn walk(datagram: &mut Datagram<'_>) -> Result<(), Refusal> {
    let mut walked = 0;
    let mut seen_fragment = false;
    while is_extension(datagram.protocol) && datagram.fragment.offset == 0 {
        if walked == DEPTH {
            return Err("extension_header");
        }
        let too_short = if datagram.fragment.more { "fragment_short" } else { "malformed" };
        let (next, length) = match datagram.protocol {
            0 if walked > 0 => return Err("extension_header"),
            44 if seen_fragment => return Err("extension_header"),
            44 => {
                let header =
                    Ipv6FragmentHeaderSlice::from_slice(datagram.payload).map_err(|_| too_short)?;
                seen_fragment = true;
                datagram.fragment = Fragment {
                    identification: header.identification(),
                    offset: u32::from(header.fragment_offset().value()) * 8,
                    more: header.more_fragments(),
                    protocol: header.next_header().0,
                };
                (header.next_header(), 8)
            }
            51 => {
                let header =
                    IpAuthHeaderSlice::from_slice(datagram.payload).map_err(|_| too_short)?;
                datagram.has_options = true;
                (header.next_header(), header.slice().len())
            }
            number => {
                let header =
                    Ipv6RawExtHeaderSlice::from_slice(datagram.payload).map_err(|_| too_short)?;
                datagram.has_options |= number != 0;
                // Routing type and segments left are the first bytes behind the length.
                datagram.source_routed |=
                    number == 43 && (header.payload()[0] == 0 || header.payload()[1] != 0);
                (header.next_header(), header.slice().len())
            }
        };
        datagram.protocol = next.0;
        datagram.payload = &datagram.payload[length..];
        walked += 1;
    }
    Ok(())
}

/// The packet that an ICMP error quotes: its protocol, its destination, and its source and destination port (or identifier).
pub(super) struct Quoted {
    pub protocol: u8,
    pub remote: IpAddr,
    pub local_port: u16,
    pub remote_port: u16,
}

/// Reads the packet that an ICMP error quotes, which ends where the router cut it. Nothing if it is not from `local` or does
/// not show its ports.
pub(super) fn quoted(bytes: &[u8], local: IpAddr) -> Option<Quoted> {
    let (protocol, remote, rest) = match local {
        IpAddr::V4(local) => quoted_v4(bytes, local)?,
        IpAddr::V6(local) => quoted_v6(bytes, local)?,
    };
    let ports = rest.get(..8)?;
    let number = |at: usize| u16::from_be_bytes([ports[at], ports[at + 1]]);
    let (local_port, remote_port) = match protocol {
        6 | 17 => (number(0), number(2)),
        1 if local.is_ipv4() => (number(4), 0),
        58 if local.is_ipv6() => (number(4), 0),
        _ => return None,
    };
    Some(Quoted { protocol, remote, local_port, remote_port })
}

fn quoted_v4(bytes: &[u8], local: Ipv4Addr) -> Option<(u8, IpAddr, &[u8])> {
    let header = Ipv4HeaderSlice::from_slice(bytes).ok()?;
    let is_first = header.fragments_offset().value() == 0;
    let rest = &bytes[header.slice().len()..];
    (is_first && header.source_addr() == local)
        .then(|| (header.protocol().0, header.destination_addr().into(), rest))
}

/// This server sends no extension header but for fragments, so no other is looked behind.
fn quoted_v6(bytes: &[u8], local: Ipv6Addr) -> Option<(u8, IpAddr, &[u8])> {
    let header = Ipv6HeaderSlice::from_slice(bytes).ok()?;
    let remote = IpAddr::V6(header.destination_addr());
    let rest = &bytes[40..];
    if header.source_addr() != local {
        return None;
    }
    if header.next_header().0 != 44 {
        return Some((header.next_header().0, remote, rest));
    }
    let fragment = Ipv6FragmentHeaderSlice::from_slice(rest).ok()?;
    let is_first = fragment.fragment_offset().value() == 0;
    is_first.then_some((fragment.next_header().0, remote, &rest[8..]))
}
