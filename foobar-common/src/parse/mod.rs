//! How a frame is read: one bounded cursor over Ethernet, VLAN tags, IPv4 or IPv6, and the transport header.
//!
//! `Err` carries the reason to drop; the entry points of the kernel programs alone turn it into a verdict. Nothing behind
//! the datagram's own length is ever taken for a header, whatever the frame holds there.
//!
//! - [`cursor`]: the only place that reads bytes.
//! - [`ethernet`]: the link layer and up to two VLAN tags.
//! - [`ipv4`], [`ipv6`]: the network layer down to the transport header.
//! - [`ordinary`]: what most packets are, in one look.
//! - [`transport`]: TCP, UDP, ICMP, and the packet that an ICMP error quotes.
//! - [`summary`]: all of it in one call, for events, logs and tests.

pub mod cursor;
pub mod ethernet;
pub mod ipv4;
pub mod ipv6;
pub mod ordinary;
pub mod summary;
pub mod transport;

#[cfg(test)]
mod tests;

pub use cursor::{Cursor, Header};

/// IP protocol numbers (IANA "Assigned Internet Protocol Numbers").
pub mod protocol {
    pub const ICMP: u8 = 1;
    pub const TCP: u8 = 6;
    pub const UDP: u8 = 17;
    pub const ICMPV6: u8 = 58;
}

/// A frame, for what the cursor over its linear part cannot tell or should not do itself.
///
/// The kernel's verifier follows every path through a program. Steps over options and extension headers, taken by few packets,
/// multiply those paths, so the kernel programs run each step as a function that is verified on its own.
pub trait Frame {
    /// Bytes of the frame from `position` on, those outside its linear part included. Asked only where the linear part is
    /// shorter than the datagram.
    fn bytes_from(&mut self, position: usize) -> usize;

    /// Runs [`ipv4::option_step`] for the options that start at the cursor.
    #[inline(always)]
    fn option_step(&mut self, options: Cursor, at: u32, left: u32) -> u32 {
        ipv4::option_step(options, at, left)
    }

    /// Runs [`ipv6::extension_step`] for the chain that starts at the cursor.
    #[inline(always)]
    fn extension_step(&mut self, chain: Cursor, remaining: u32, state: u64) -> u64 {
        ipv6::extension_step(chain, 0, remaining, state)
    }
}

/// A frame that is linear as a whole, as on the host: its end address.
pub struct Linear {
    /// Address behind the last byte.
    pub end: usize,
}

impl Frame for Linear {
    fn bytes_from(&mut self, position: usize) -> usize {
        self.end.saturating_sub(position)
    }
}

/// An IPv6 address as it stands in a packet: two words of eight bytes, each in network byte order. The BPF machine has few registers
/// of this width, so addresses are not taken apart further.
pub type Address6 = [u64; 2];

/// The same as words of four bytes.
#[inline(always)]
pub fn words(address: Address6) -> [u32; 4] {
    let [[a, b, c, d, e, f, g, h], [i, j, k, l, m, n, o, p]] = address.map(u64::to_ne_bytes);
    [[a, b, c, d], [e, f, g, h], [i, j, k, l], [m, n, o, p]].map(u32::from_ne_bytes)
}

/// Where a datagram stands in a fragmented one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fragment {
    /// Offset of this fragment in units of 8 bytes.
    pub offset: u16,
    /// More fragments follow.
    pub more: bool,
    /// Identification, in network byte order.
    pub identification: u32,
    /// The protocol that the first fragment's IP or fragment header names: all fragments of a datagram agree on it.
    pub protocol: u8,
}

impl Fragment {
    /// Not a fragment: the whole datagram is here. An IPv6 "atomic fragment" (RFC 6946) is whole as well.
    #[inline(always)]
    pub fn is_whole(&self) -> bool {
        self.offset == 0 && !self.more
    }

    /// A fragment without the transport header.
    #[inline(always)]
    pub fn is_tail(&self) -> bool {
        self.offset != 0
    }
}

/// An IP datagram, read down to its transport header.
#[derive(Clone, Copy, Debug)]
pub struct Datagram<Address> {
    /// Network byte order, as all addresses here.
    pub source: Address,
    pub destination: Address,
    /// The protocol of the transport header: behind extension headers in IPv6.
    pub protocol: u8,
    /// TTL or hop limit.
    pub hop_limit: u8,
    pub fragment: Fragment,
    /// IPv4 options, or extension headers other than a fragment header or a leading hop-by-hop header.
    pub has_options: bool,
    /// An IPv4 source route, or an IPv6 routing header with segments left or of type 0.
    pub source_routed: bool,
    /// At the transport header.
    pub cursor: Cursor,
    /// Bytes of the datagram from the transport header on, by its own length field.
    pub remaining: u32,
}
