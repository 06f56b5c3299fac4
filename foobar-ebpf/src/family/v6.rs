//! IPv6.

use foobar_common::{
    failures::FLOWS6 as FAILED,
    flow::{Flow, FlowKey6, FragmentKey},
    parse::{
        Address6, Cursor, Datagram, ipv6,
        ordinary::{self, Ends, Ordinary},
        protocol,
        transport::Quoted,
        words,
    },
    reason::Reason,
};

use super::{Family, Tuple, pair, ports};
use crate::{failures, flows, maps::FLOWS6, policy::Policy};

/// DHCPv6 (RFC 8415, section 7.2).
const DHCP_SERVER: u16 = 547;
const DHCP_CLIENT: u16 = 546;

/// IPv6.
pub struct V6;

/// A key as it is written: in words of eight bytes, as in [`super::v4`].
type Key = [u64; 5];

const _: () = assert!(size_of::<Key>() == size_of::<FlowKey6>());

#[inline(always)]
fn key(tuple: &Tuple<Address6>) -> Key {
    let ([local, local_low], [remote, remote_low]) = (tuple.local, tuple.remote);
    let ports = ports(tuple.local_port, tuple.remote_port);
    [local, local_low, remote, remote_low, pair(ports, tuple.protocol as u32)]
}

/// The same as the map has it.
#[inline(always)]
fn in_map(key: &Key) -> &FlowKey6 {
    // SAFETY: a key is five such words, and aligned like those.
    unsafe { &*(&raw const *key).cast::<FlowKey6>() }
}

impl Family for V6 {
    type Address = Address6;
    const ICMP: u8 = protocol::ICMPV6;

    #[inline(always)]
    fn ordinary(frame: Cursor, bytes: u64) -> Option<Ordinary<Address6>> {
        ordinary::ipv6(frame, bytes)
    }

    #[inline(always)]
    fn ends(frame: Cursor) -> Option<Ends<Address6>> {
        ordinary::ends6(frame)
    }

    #[inline(always)]
    fn class_here(policy: &Policy, address: Address6) -> Option<u64> {
        policy.class6_of_upper(u64::from_be(address[0])).map(u64::from)
    }

    #[inline(always)]
    fn class(policy: &Policy, address: Address6) -> u32 {
        class_of6(policy.active(), u64::from_be(address[0]), u64::from_be(address[1]))
    }

    /// Multicast, and ::/64, which holds the unspecified address, loopback, and the IPv4-mapped and IPv4-compatible ones
    /// (RFC 4291, section 2.5): an IPv4 entry never speaks for an IPv6 source.
    #[inline(always)]
    fn is_martian(address: Address6) -> bool {
        u64::from_be(address[0]) >> 56 == 0xff || address[0] == 0
    }

    #[inline(always)]
    fn is_link_local(address: Address6) -> bool {
        u64::from_be(address[0]) >> 54 == 0xfe80 >> 6
    }

    #[inline(always)]
    fn is_unspecified(address: Address6) -> bool {
        address[0] | address[1] == 0
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
    fn find(tuple: &Tuple<Address6>, flags: u32, jiffies: u64) -> bool {
        find_flow6(in_map(&key(tuple)), flags, jiffies) != 0
    }

    #[inline(always)]
    fn find_here(tuple: &Tuple<Address6>, _epoch: u16, flags: u32, jiffies: u64) -> bool {
        Self::find(tuple, flags, jiffies)
    }

    #[inline(always)]
    fn flow(tuple: &Tuple<Address6>) -> Option<*mut Flow> {
        FLOWS6.get_ptr_mut(in_map(&key(tuple)))
    }

    #[inline(always)]
    fn remember(tuple: &Tuple<Address6>, flow: &Flow) {
        // An LRU map makes room by itself; the insertion fails only under a race that another CPU won.
        if FLOWS6.insert(in_map(&key(tuple)), flow, 0).is_err() {
            failures::count(FAILED);
        }
    }

    #[inline(always)]
    fn quoted(cursor: Cursor, remaining: u32, local: Address6) -> Result<Quoted<Address6>, Reason> {
        ipv6::quoted(cursor, remaining, local)
    }

    #[inline(always)]
    fn fragment_key(datagram: &Datagram<Address6>) -> FragmentKey {
        FragmentKey {
            source: words(datagram.source),
            destination: words(datagram.destination),
            identification: datagram.fragment.identification,
            // Reassembly goes by source, destination and identification alone (RFC 8200, section 4.5).
            protocol: 6 << 8,
        }
    }

    /// A /64, since that is what one subscriber has.
    #[inline(always)]
    fn bucket_source(address: Address6) -> ([u32; 2], u32) {
        ([words(address)[0], words(address)[1]], 6)
    }

    #[inline(always)]
    fn is_dhcp_reply(source_port: u16, destination_port: u16, destination: Address6) -> bool {
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
    // SAFETY: not null, and the kernel has checked its size.
    let (protocol, local_port) = unsafe { ((*key).protocol as u8, (*key).local_port) };
    // Onto this function's own stack: kernels before 6.2 take no other key of a map.
    // SAFETY: as above; a key is five words of eight bytes and aligned like those.
    let copy = unsafe { key.cast::<Key>().read_volatile() };
    let epoch = Policy::current().epoch();
    flows::find(|| FLOWS6.get_ptr_mut(in_map(&copy)), epoch, protocol, local_port, flags, jiffies)
        as u32
}

/// [`Policy::class6`] in the generation that the packet was given. A global function: the kernel verifies it once, for any
/// arguments.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn class_of6(active: u32, high: u64, low: u64) -> u32 {
    Policy::of(active).class6(high, low)
}
