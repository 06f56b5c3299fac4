//! TCP (RFC 9293), UDP (RFC 768), ICMP (RFC 792) and ICMPv6 (RFC 4443) headers.

use super::{Cursor, Datagram, protocol};
use crate::reason::Reason;

/// TCP flags.
pub mod flag {
    pub const FIN: u8 = 0x01;
    pub const SYN: u8 = 0x02;
    pub const RST: u8 = 0x04;
    pub const PSH: u8 = 0x08;
    pub const ACK: u8 = 0x10;
    pub const URG: u8 = 0x20;
}

/// Combinations of FIN, SYN, RST, ACK and URG that some stack sends, as the kernel's connection tracking knows them
/// (`tcp_valid_flags` in net/netfilter/nf_conntrack_proto_tcp.c); PSH may be added to each. One bit for each combination of the low six flags.
const VALID_FLAGS: u64 = {
    use flag::*;
    let combinations =
        [SYN, SYN | URG, SYN | ACK, RST, RST | ACK, FIN | ACK, FIN | ACK | URG, ACK, ACK | URG];
    let mut bits = 0;
    let mut i = 0;
    while i < combinations.len() {
        bits |= 1 << combinations[i] | 1 << (combinations[i] | PSH);
        i += 1;
    }
    bits
};

/// What the filter needs of a TCP header. Ports are in network byte order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tcp {
    pub source_port: u16,
    pub destination_port: u16,
    /// The low eight flags: [`flag`], and those of explicit congestion notification.
    pub flags: u8,
}

impl Tcp {
    /// Opens a connection: SYN without ACK.
    #[inline(always)]
    pub const fn opens(&self) -> bool {
        self.flags & (flag::SYN | flag::ACK) == flag::SYN
    }

    /// Answers an opening: SYN with ACK.
    #[inline(always)]
    pub const fn accepts(&self) -> bool {
        self.flags & (flag::SYN | flag::ACK) == flag::SYN | flag::ACK
    }

    /// Ends a connection: FIN or RST.
    #[inline(always)]
    pub const fn closes(&self) -> bool {
        self.flags & (flag::FIN | flag::RST) != 0
    }

    /// A combination of flags that some stack sends.
    #[inline(always)]
    pub const fn is_valid(&self) -> bool {
        VALID_FLAGS >> (self.flags & 0x3f) & 1 != 0
    }
}

/// What the filter needs of a UDP header. Ports are in network byte order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Udp {
    pub source_port: u16,
    pub destination_port: u16,
}

/// What the filter needs of an ICMP or ICMPv6 header.
#[derive(Clone, Copy, Debug)]
pub struct Icmp {
    pub kind: u8,
    pub code: u8,
    /// Identifier of an echo request or reply, in network byte order.
    pub identifier: u16,
    /// Behind the first eight bytes: the packet that an error quotes.
    pub cursor: Cursor,
    /// Bytes of the datagram from there on.
    pub remaining: u32,
}

/// The part of a quoted packet that names its flow. Ports are in network byte order; an echo's identifier is its local port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quoted<Address> {
    pub remote: Address,
    pub protocol: u8,
    pub local_port: u16,
    pub remote_port: u16,
}

/// Reads a TCP header: 20 bytes of it must be there, in a first fragment as well (RFC 1858), and the rest within the datagram.
///
/// # Errors
/// [`Reason::Truncated`], [`Reason::Malformed`] or [`Reason::FragmentShort`].
#[inline(always)]
pub fn tcp<Address: Copy>(datagram: &Datagram<Address>) -> Result<Tcp, Reason> {
    if datagram.remaining < 20 {
        return Err(too_short(datagram));
    }
    let header = datagram.cursor.peek::<20>()?;
    let bytes = (header.u8::<12>() >> 4) as u32 * 4;
    if bytes < 20 || bytes > datagram.remaining && datagram.fragment.is_whole() {
        return Err(Reason::Malformed);
    }
    Ok(Tcp {
        source_port: header.u16_raw::<0>(),
        destination_port: header.u16_raw::<2>(),
        flags: header.u8::<13>(),
    })
}

/// Reads a UDP header, whose length must fit the datagram.
///
/// # Errors
/// [`Reason::Truncated`], [`Reason::Malformed`] or [`Reason::FragmentShort`].
#[inline(always)]
pub fn udp<Address: Copy>(datagram: &Datagram<Address>) -> Result<Udp, Reason> {
    if datagram.remaining < 8 {
        return Err(too_short(datagram));
    }
    let header = datagram.cursor.peek::<8>()?;
    let bytes = header.u16::<4>() as u32;
    if bytes < 8 || bytes > datagram.remaining && datagram.fragment.is_whole() {
        return Err(Reason::Malformed);
    }
    Ok(Udp { source_port: header.u16_raw::<0>(), destination_port: header.u16_raw::<2>() })
}

/// Source and destination port of a TCP or UDP header that was found sound before.
///
/// # Errors
/// [`Reason::Truncated`].
#[inline(always)]
pub fn ports<Address>(datagram: &Datagram<Address>) -> Result<(u16, u16), Reason> {
    let header = datagram.cursor.peek::<4>()?;
    Ok((header.u16_raw::<0>(), header.u16_raw::<2>()))
}

/// Reads the first eight bytes of an ICMP or ICMPv6 message.
///
/// # Errors
/// [`Reason::Truncated`], [`Reason::Malformed`] or [`Reason::FragmentShort`].
#[inline(always)]
pub fn icmp<Address: Copy>(datagram: &Datagram<Address>) -> Result<Icmp, Reason> {
    if datagram.remaining < 8 {
        return Err(too_short(datagram));
    }
    let mut cursor = datagram.cursor;
    let header = cursor.take::<8>()?;
    Ok(Icmp {
        kind: header.u8::<0>(),
        code: header.u8::<1>(),
        identifier: header.u16_raw::<4>(),
        cursor,
        remaining: datagram.remaining - 8,
    })
}

/// The datagram ends inside its transport header.
#[inline(always)]
fn too_short<Address: Copy>(datagram: &Datagram<Address>) -> Reason {
    if datagram.fragment.is_whole() { Reason::Malformed } else { Reason::FragmentShort }
}

/// Reads the transport header that an ICMP error quotes: 8 bytes of it are always there (RFC 792). `echo` is the protocol number of ICMP
/// in this version of IP, of which a request may be quoted.
#[inline(always)]
pub(super) fn quoted<Address>(
    cursor: Cursor,
    number: u8,
    remote: Address,
    echo: u8,
) -> Result<Quoted<Address>, Reason> {
    let header = cursor.peek::<8>().map_err(|_| Reason::IcmpUnrelated)?;
    if number == protocol::TCP || number == protocol::UDP {
        Ok(Quoted {
            remote,
            protocol: number,
            local_port: header.u16_raw::<0>(),
            remote_port: header.u16_raw::<2>(),
        })
    } else if number == echo {
        Ok(Quoted { remote, protocol: number, local_port: header.u16_raw::<4>(), remote_port: 0 })
    } else {
        Err(Reason::IcmpUnrelated)
    }
}
