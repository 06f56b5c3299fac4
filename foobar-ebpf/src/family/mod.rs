//! What differs between IPv4 and IPv6: how an address is classified, which sources cannot exist, how keys are built.

mod v4;
mod v6;

use foobar_common::{
    flow::{Flow, FragmentKey},
    parse::{
        Cursor, Datagram,
        ordinary::{Ends, Ordinary},
        transport::Quoted,
    },
    reason::Reason,
};

pub use self::{v4::V4, v6::V6};
use crate::policy::Policy;

/// A flow, seen from this server. Ports are in network byte order.
#[derive(Clone, Copy)]
pub struct Tuple<Address> {
    pub local: Address,
    pub remote: Address,
    pub local_port: u16,
    pub remote_port: u16,
    pub protocol: u8,
}

/// A version of IP.
pub trait Family {
    /// An address in network byte order.
    type Address: Copy;
    /// Protocol number of its ICMP.
    const ICMP: u8;

    /// Reads an ordinary datagram: [`crate::ordinary`].
    fn ordinary(frame: Cursor, bytes: u64) -> Option<Ordinary<Self::Address>>;
    /// The flow of an ordinary datagram.
    fn ends(frame: Cursor) -> Option<Ends<Self::Address>>;
    /// The class of a source, found within the calling function; `None` if that is too much work for it.
    fn class_here(policy: &Policy, address: Self::Address) -> Option<u64>;
    /// The class of a source. Verified on its own.
    fn class(policy: &Policy, address: Self::Address) -> u32;
    /// Whether no packet on the wire may come from this address.
    fn is_martian(address: Self::Address) -> bool;
    /// Whether the address is valid on its own link only.
    fn is_link_local(address: Self::Address) -> bool;
    /// Whether it is the address of one who has none yet.
    fn is_unspecified(address: Self::Address) -> bool;
    /// Whether one who has no address yet may ask for one by this protocol.
    fn asks_without_address(protocol: u8) -> bool;
    /// Whether one who has no address yet may ask for one at this UDP port (host byte order).
    fn asks_without_address_at(destination_port: u16) -> bool;
    /// Looks for the flow and judges the entry: [`crate::flows::find`]. Verified on its own.
    fn find(tuple: &Tuple<Self::Address>, flags: u32, jiffies: u64) -> bool;
    /// The same within the calling function, if it is not too much work for it.
    fn find_here(tuple: &Tuple<Self::Address>, epoch: u16, flags: u32, jiffies: u64) -> bool;
    /// The remembered flow.
    fn flow(tuple: &Tuple<Self::Address>) -> Option<*mut Flow>;
    /// Remembers a flow.
    fn remember(tuple: &Tuple<Self::Address>, flow: &Flow);
    /// The flow that an ICMP error quotes, sent from `local`.
    fn quoted(
        cursor: Cursor,
        remaining: u32,
        local: Self::Address,
    ) -> Result<Quoted<Self::Address>, Reason>;
    /// Key of a fragmented datagram.
    fn fragment_key(datagram: &Datagram<Self::Address>) -> FragmentKey;
    /// The part of the address that has a token bucket of its own, and the IP version.
    fn bucket_source(address: Self::Address) -> ([u32; 2], u32);
    /// Whether these UDP ports (host byte order) are those of a DHCP reply to this destination.
    fn is_dhcp_reply(source_port: u16, destination_port: u16, destination: Self::Address) -> bool;
}

/// Two words of four bytes as one of eight, the first in front.
#[inline(always)]
fn pair(first: u32, second: u32) -> u64 {
    if cfg!(target_endian = "little") {
        first as u64 | (second as u64) << 32
    } else {
        (first as u64) << 32 | second as u64
    }
}

/// Two ports as one word, the local one in front.
#[inline(always)]
fn ports(local: u16, remote: u16) -> u32 {
    if cfg!(target_endian = "little") {
        local as u32 | (remote as u32) << 16
    } else {
        (local as u32) << 16 | remote as u32
    }
}

/// Takes them apart again.
#[inline(always)]
fn parts(ports: u32) -> (u16, u16) {
    let (low, high) = (ports as u16, (ports >> 16) as u16);
    if cfg!(target_endian = "little") { (low, high) } else { (high, low) }
}
