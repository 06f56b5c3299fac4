//! IPv4.

use foobar_common::{
    failures::FLOWS4 as FAILED,
    flow::{Flow, FlowKey4, FragmentKey},
    parse::{
        Cursor, Datagram, ipv4,
        ordinary::{self, Ends, Ordinary},
        protocol,
        transport::Quoted,
    },
    reason::Reason,
};

use super::{Family, Tuple, pair, parts, ports};
use crate::{failures, flows, maps::FLOWS4, policy::Policy};

/// DHCP (RFC 2131, section 4.1).
const DHCP_SERVER: u16 = 67;
const DHCP_CLIENT: u16 = 68;

/// IPv4.
pub struct V4;

/// A key as it is written: in words of eight bytes, for a word that was stored in parts holds up whoever reads it as a whole, as the kernel's
/// hash does (the processor forwards a store to a load only if it covers it).
type Key = [u64; 2];

const _: () = assert!(size_of::<Key>() == size_of::<FlowKey4>());

/// The key; `ports` has the local port in front.
#[inline(always)]
fn key(local: u32, remote: u32, ports: u32, protocol: u8) -> Key {
    [pair(local, remote), pair(ports, protocol as u32)]
}

#[inline(always)]
fn looked_up(key: &Key) -> Option<*mut Flow> {
    // SAFETY: a key is two such words, and aligned like those.
    FLOWS4.get_ptr_mut(unsafe { &*(&raw const *key).cast::<FlowKey4>() })
}

#[inline(always)]
fn key_of(tuple: &Tuple<u32>) -> Key {
    let ports = ports(tuple.local_port, tuple.remote_port);
    key(tuple.local, tuple.remote, ports, tuple.protocol)
}

impl Family for V4 {
    type Address = u32;
    const ICMP: u8 = protocol::ICMP;

    #[inline(always)]
    fn ordinary(frame: Cursor, bytes: u64) -> Option<Ordinary<u32>> {
        ordinary::ipv4(frame, bytes)
    }

    #[inline(always)]
    fn ends(frame: Cursor) -> Option<Ends<u32>> {
        ordinary::ends4(frame)
    }

    #[inline(always)]
    fn class_here(policy: &Policy, address: u32) -> Option<u64> {
        Some(policy.class4(u32::from_be(address)))
    }

    #[inline(always)]
    fn class(policy: &Policy, address: u32) -> u32 {
        class_of4(policy.active(), u32::from_be(address))
    }

    /// "This network" (RFC 791), loopback, multicast, reserved and broadcast (RFC 6890).
    #[inline(always)]
    fn is_martian(address: u32) -> bool {
        let first = (u32::from_be(address) >> 24) as u64;
        // 0 and 224 to 255 in one comparison.
        first.wrapping_sub(1) >= 223 || first == 127
    }

    #[inline(always)]
    fn is_link_local(address: u32) -> bool {
        u32::from_be(address) >> 16 == 0xa9fe
    }

    #[inline(always)]
    fn is_unspecified(address: u32) -> bool {
        address == 0
    }

    /// DHCP.
    #[inline(always)]
    fn asks_without_address(protocol: u8) -> bool {
        protocol == protocol::UDP
    }

    #[inline(always)]
    fn asks_without_address_at(destination_port: u16) -> bool {
        destination_port == DHCP_SERVER
    }

    #[inline(always)]
    fn find(tuple: &Tuple<u32>, flags: u32, jiffies: u64) -> bool {
        let ports = ports(tuple.local_port, tuple.remote_port);
        let what = tuple.protocol as u32 | flags << 8;
        find_flow4(tuple.local, tuple.remote, ports, what, jiffies) != 0
    }

    #[inline(always)]
    fn find_here(tuple: &Tuple<u32>, epoch: u16, flags: u32, jiffies: u64) -> bool {
        let key = key_of(tuple);
        flows::find(|| looked_up(&key), epoch, tuple.protocol, tuple.local_port, flags, jiffies)
    }

    #[inline(always)]
    fn flow(tuple: &Tuple<u32>) -> Option<*mut Flow> {
        looked_up(&key_of(tuple))
    }

    #[inline(always)]
    fn remember(tuple: &Tuple<u32>, flow: &Flow) {
        // An LRU map makes room by itself; the insertion fails only under a race that another CPU won.
        let key = key_of(tuple);
        // SAFETY: as in `looked_up`.
        let key = unsafe { &*(&raw const key).cast::<FlowKey4>() };
        if FLOWS4.insert(key, flow, 0).is_err() {
            failures::count(FAILED);
        }
    }

    #[inline(always)]
    fn quoted(cursor: Cursor, remaining: u32, local: u32) -> Result<Quoted<u32>, Reason> {
        ipv4::quoted(cursor, remaining, local)
    }

    #[inline(always)]
    fn fragment_key(datagram: &Datagram<u32>) -> FragmentKey {
        FragmentKey {
            source: [datagram.source, 0, 0, 0],
            destination: [datagram.destination, 0, 0, 0],
            identification: datagram.fragment.identification,
            protocol: datagram.fragment.protocol as u32 | 4 << 8,
        }
    }

    #[inline(always)]
    fn bucket_source(address: u32) -> ([u32; 2], u32) {
        ([0, address], 4)
    }

    #[inline(always)]
    fn is_dhcp_reply(source_port: u16, destination_port: u16, _destination: u32) -> bool {
        source_port == DHCP_SERVER && destination_port == DHCP_CLIENT
    }
}

/// [`flows::find`] in the table of IPv4 flows; `ports` has the local port in front, `what` the protocol in its low 8 bits and
/// the flags above. A global function: the kernel verifies it once, for any arguments. The key is not handed over as a whole:
/// it would take the caller's stack, and kernels before 6.2 take a key of a map from this function's own stack alone.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn find_flow4(local: u32, remote: u32, ports: u32, what: u32, jiffies: u64) -> u32 {
    let key = key(local, remote, ports, what as u8);
    let (local_port, _) = parts(ports);
    let epoch = Policy::current().epoch();
    flows::find(|| looked_up(&key), epoch, what as u8, local_port, what >> 8, jiffies) as u32
}

/// [`Policy::class4`] in the generation that the packet was given. A global function: the kernel verifies it once, for any
/// arguments.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn class_of4(active: u32, address: u32) -> u32 {
    Policy::of(active).class4(address) as u32
}
