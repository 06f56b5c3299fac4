//! IPv6.

use foobar_common::{
    failures::FLOWS6 as FAILED,
    flow::{Flow, FlowKey6, FragmentKey},
    parse::{Cursor, Datagram, ipv6, protocol, transport::Quoted},
    reason::Reason,
};

use super::{Family, Tuple};
use crate::{failures, flows, maps::FLOWS6, policy::Policy};

/// DHCPv6 (RFC 8415, section 7.2).
const DHCP_SERVER: u16 = 547;
const DHCP_CLIENT: u16 = 546;

/// IPv6.
pub struct V6;

#[inline(always)]
fn key(tuple: &Tuple<[u32; 4]>) -> FlowKey6 {
    FlowKey6 {
        local: tuple.local,
        remote: tuple.remote,
        local_port: tuple.local_port,
        remote_port: tuple.remote_port,
        protocol: tuple.protocol as u32,
    }
}

/// Two words of an address as a number.
#[inline(always)]
fn number(first: u32, second: u32) -> u64 {
    (u32::from_be(first) as u64) << 32 | u32::from_be(second) as u64
}

impl Family for V6 {
    type Address = [u32; 4];
    const ICMP: u8 = protocol::ICMPV6;

    #[inline(always)]
    fn class(policy: &Policy, address: [u32; 4]) -> u32 {
        class_of6(policy.active(), number(address[0], address[1]), number(address[2], address[3]))
    }

    /// Multicast, and ::/64, which holds the unspecified address, loopback, and the IPv4-mapped and IPv4-compatible ones
    /// (RFC 4291, section 2.5): an IPv4 entry never speaks for an IPv6 source.
    #[inline(always)]
    fn is_martian(address: [u32; 4]) -> bool {
        u32::from_be(address[0]) >> 24 == 0xff || address[0] | address[1] == 0
    }

    #[inline(always)]
    fn is_link_local(address: [u32; 4]) -> bool {
        u32::from_be(address[0]) >> 22 == 0xfe80 >> 6
    }

    #[inline(always)]
    fn is_unspecified(address: [u32; 4]) -> bool {
        address[0] | address[1] | address[2] | address[3] == 0
    }

    /// Duplicate address detection and listener reports.
    #[inline(always)]
    fn asks_without_address(protocol: u8) -> bool {
        protocol == protocol::ICMPV6
    }

    #[inline(always)]
    fn asks_without_address_at(_destination_port: u16) -> bool {
        false
    }

    #[inline(always)]
    fn find(tuple: &Tuple<[u32; 4]>, flags: u32, jiffies: u64) -> bool {
        find_flow6(&key(tuple), flags, jiffies) != 0
    }

    #[inline(always)]
    fn flow(tuple: &Tuple<[u32; 4]>) -> Option<*mut Flow> {
        FLOWS6.get_ptr_mut(key(tuple))
    }

    #[inline(always)]
    fn remember(tuple: &Tuple<[u32; 4]>, flow: &Flow) {
        // An LRU map makes room by itself; the insertion fails only under a race that another CPU won.
        if FLOWS6.insert(key(tuple), flow, 0).is_err() {
            failures::count(FAILED);
        }
    }

    #[inline(always)]
    fn quoted(cursor: Cursor, remaining: u32, local: [u32; 4]) -> Result<Quoted<[u32; 4]>, Reason> {
        ipv6::quoted(cursor, remaining, local)
    }

    #[inline(always)]
    fn fragment_key(datagram: &Datagram<[u32; 4]>) -> FragmentKey {
        FragmentKey {
            source: datagram.source,
            destination: datagram.destination,
            identification: datagram.fragment.identification,
            // Reassembly goes by source, destination and identification alone (RFC 8200, section 4.5).
            protocol: 6 << 8,
        }
    }

    /// A /64, since that is what one subscriber has.
    #[inline(always)]
    fn bucket_source(address: [u32; 4]) -> ([u32; 2], u32) {
        ([address[0], address[1]], 6)
    }

    #[inline(always)]
    fn is_dhcp_reply(source_port: u16, destination_port: u16, destination: [u32; 4]) -> bool {
        source_port == DHCP_SERVER
            && destination_port == DHCP_CLIENT
            && Self::is_link_local(destination)
    }
}

/// [`flows::find`] in the table of IPv6 flows. A global function: the kernel verifies it once, for any arguments.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn find_flow6(key: *const FlowKey6, flags: u32, jiffies: u64) -> u32 {
    if key.is_null() {
        return 0;
    }
    // Onto this function's own stack: kernels before 6.2 take no other key of a map.
    // SAFETY: not null, and the kernel has checked its size.
    let key = unsafe { key.read_volatile() };
    flows::find(FLOWS6.get_ptr_mut(key), key.protocol as u8, key.local_port, flags, jiffies) as u32
}

/// [`Policy::class6`] in the generation that the packet was given. A global function: the kernel verifies it once, for any
/// arguments.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn class_of6(active: u32, high: u64, low: u64) -> u32 {
    match Policy::of(active) {
        Some(policy) => policy.class6(high, low),
        None => u32::MAX,
    }
}
