//! The ordinary packet: TCP or UDP in a whole datagram without options, extension headers or VLAN tags.
//!
//! It is judged by the same rules as any other, but within the entry program: where the kernel guards returns against speculation
//! (Retbleed, SRSO), calling a function that is verified on its own costs as much as three look-ups. Little is kept while it
//! is judged, since the stack of this program adds to that of the functions for all other packets.

use aya_ebpf::bindings::xdp_md;
use foobar_common::{
    counters::Transport,
    parse::{Cursor, Datagram, ethernet, protocol, transport},
    reason::Reason,
    tables::{Cell, PORT_UNIFORM, PORTS_TCP, PORTS_UDP, feature},
};

use crate::{
    conclusion,
    family::{Family, Tuple, V4, V6},
    flows,
    frame::Arriving,
    policy::Policy,
    ports,
    run::Run,
    settings,
    verdict::because,
};

/// What [`judge_ordinary6`] returns for a packet that is not ordinary.
const NOT_ORDINARY: u64 = u64::MAX;

/// What is asked of the policy: the index in the port table, and these marks.
type Request = u32;
/// It opens a TCP connection.
const OPENS: Request = 1 << 31;

/// The verdict; `None` for a packet that is not ordinary.
#[inline(always)]
pub fn judge(run: &Run, policy: &Policy, frame: &Arriving) -> Option<Cell> {
    let mut cursor = frame.cursor();
    let protocol = ethernet::untagged(&mut cursor)?;
    if protocol == ethernet::IPV4.to_be() {
        return judge_datagram::<V4>(run, policy, cursor);
    }
    if protocol != ethernet::IPV6.to_be() {
        return None;
    }
    let (flags, jiffies) = run.parts();
    match judge_ordinary6(frame.context, policy.active() | flags << 8, jiffies) {
        NOT_ORDINARY => None,
        packed => Some(run.unpack(packed)),
    }
}

/// An untagged IPv6 datagram, in the generation (bit 0) and with the flags of the run (bits 8 to 31) that `what` holds. Returns
/// [`Run::pack`], or [`NOT_ORDINARY`]. A global function: the kernel verifies it once, and addresses of 16 bytes take stack that the
/// entry program cannot spare.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn judge_ordinary6(context: *mut xdp_md, what: u32, jiffies: u64) -> u64 {
    let run = Run::traced(what >> 8, jiffies);
    let mut cursor = Arriving::new(context).cursor();
    if cursor.take::<{ ethernet::HEADER }>().is_err() {
        return NOT_ORDINARY;
    }
    match judge_datagram::<V6>(&run, &Policy::of(what), cursor) {
        Some(cell) => run.pack(cell),
        None => NOT_ORDINARY,
    }
}

#[inline(always)]
fn judge_datagram<F: Family>(run: &Run, policy: &Policy, cursor: Cursor) -> Option<Cell> {
    let datagram = F::ordinary(cursor)?;
    if F::is_martian(datagram.source) {
        return None;
    }
    let request = request::<F>(&datagram)?;
    let (index, opens) = (request & !OPENS, request & OPENS != 0);
    let transport = if index < PORTS_UDP { Transport::Tcp } else { Transport::Udp };
    let entry = policy.port(index);
    let mut cell = entry.cell;
    if entry.flags & PORT_UNIFORM == 0 {
        let class = F::class_here(policy, datagram.source)?;
        run.found_class(class);
        cell = policy.cell(entry.class, class)?;
    }
    if cell.passes() {
        let is_new = opens || index >= PORTS_UDP;
        cell = ports::within_limit::<F>(run, policy, datagram.source, cell, is_new, opens);
    } else if !opens && flows::port_was_used(run, index) {
        // What is blocked gets no reply through, which takes another look.
        if settings::has(feature::BLOCKED) {
            return None;
        }
        let (tuple, closes) = tuple::<F>(cursor)?;
        if flows::is_reply::<F>(run, &tuple, closes) {
            cell = because(Reason::Reply, transport);
        }
    }
    Some(conclusion::within_packet_limit::<F>(run, policy, datagram.source, transport, cell))
}

#[inline(always)]
fn request<F: Family>(datagram: &Datagram<F::Address>) -> Option<Request> {
    match datagram.protocol {
        protocol::TCP => {
            let tcp = transport::tcp(datagram).ok()?;
            if tcp.accepts() || !tcp.is_valid() {
                return None;
            }
            let mark = if tcp.opens() { OPENS } else { 0 };
            Some((PORTS_TCP + u16::from_be(tcp.destination_port) as u32) | mark)
        }
        protocol::UDP => {
            let udp = transport::udp(datagram).ok()?;
            let (from, to) = (u16::from_be(udp.source_port), u16::from_be(udp.destination_port));
            if F::is_dhcp_reply(from, to, datagram.destination) {
                None
            } else {
                Some(PORTS_UDP + to as u32)
            }
        }
        _ => None,
    }
}

/// The flow that the packet would belong to, and whether it ends a TCP connection. Reads the frame again.
#[inline(always)]
fn tuple<F: Family>(cursor: Cursor) -> Option<(Tuple<F::Address>, bool)> {
    let datagram = F::ordinary(cursor)?;
    let (remote_port, local_port) = transport::ports(&datagram).ok()?;
    let closes = datagram.protocol == protocol::TCP && transport::tcp(&datagram).ok()?.closes();
    let tuple = Tuple {
        local: datagram.destination,
        remote: datagram.source,
        local_port,
        remote_port,
        protocol: datagram.protocol,
    };
    Some((tuple, closes))
}
