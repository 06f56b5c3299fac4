//! The ordinary packet: TCP or UDP in a whole datagram without options, extension headers or VLAN tags.
//!
//! It is judged by the same rules as any other, but within the entry program: where the kernel guards returns against speculation
//! (Retbleed, SRSO), calling a function that is verified on its own costs as much as three look-ups. Little is kept while it
//! is judged, since the stack of this program adds to that of the functions for all other packets.

use aya_ebpf::bindings::xdp_md;
use foobar_common::{
    counters::{RULE_ATTEMPTS, Transport},
    parse::{
        ethernet,
        ordinary::{BYTES4, CLOSES, OPENS},
    },
    reason::Reason,
    tables::{Cell, PORT_UNIFORM, PORTS_UDP, feature},
};

use crate::{
    conclusion::{self, transport_of},
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

/// The verdict; `None` for a packet that is not ordinary.
#[inline(always)]
pub fn judge(run: &Run, policy: &Policy, frame: &Arriving) -> Option<Cell> {
    let protocol = frame.cursor().peek::<BYTES4>().ok()?.u16_raw::<{ ethernet::HEADER - 2 }>();
    if protocol == ethernet::IPV4.to_be() {
        return judge_datagram::<V4>(run, policy, frame);
    }
    if protocol != ethernet::IPV6.to_be() {
        return None;
    }
    judge_datagram::<V6>(run, policy, frame)
}

/// The same for a traced run, with the work in functions of their own: the stack of its program adds to that of the live one.
#[inline(always)]
pub fn judge_traced(run: &Run, policy: &Policy, frame: &Arriving) -> Option<Cell> {
    let protocol = frame.cursor().peek::<BYTES4>().ok()?.u16_raw::<{ ethernet::HEADER - 2 }>();
    let (flags, jiffies) = run.parts();
    let what = policy.active() | flags << 8;
    let packed = if protocol == ethernet::IPV4.to_be() {
        judge_ordinary4(frame.context, what, jiffies)
    } else if protocol == ethernet::IPV6.to_be() {
        judge_ordinary6(frame.context, what, jiffies)
    } else {
        NOT_ORDINARY
    };
    if packed == NOT_ORDINARY { None } else { Some(run.unpack(packed)) }
}

/// An untagged IPv4 datagram of a traced run; otherwise like [`judge_ordinary6`].
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn judge_ordinary4(context: *mut xdp_md, what: u32, jiffies: u64) -> u64 {
    let run = Run::traced(what >> 8, jiffies);
    match judge_datagram::<V4>(&run, &Policy::of(what), &Arriving::new(context)) {
        Some(cell) => run.pack(cell),
        None => NOT_ORDINARY,
    }
}

/// An untagged IPv6 datagram of a traced run, in the generation (bit 0) and with the flags of the run (bits 8 to 31) that `what` holds. Returns
/// [`Run::pack`], or [`NOT_ORDINARY`]. A global function: the kernel verifies it once.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn judge_ordinary6(context: *mut xdp_md, what: u32, jiffies: u64) -> u64 {
    let run = Run::traced(what >> 8, jiffies);
    match judge_datagram::<V6>(&run, &Policy::of(what), &Arriving::new(context)) {
        Some(cell) => run.pack(cell),
        None => NOT_ORDINARY,
    }
}

#[inline(always)]
fn judge_datagram<F: Family>(run: &Run, policy: &Policy, frame: &Arriving) -> Option<Cell> {
    let packet = F::ordinary(frame.cursor(), frame.bytes)?;
    if F::is_martian(packet.source) {
        return None;
    }
    let opens = packet.kind & OPENS != 0;
    let entry = policy.port_of(packet.port);
    let cell = if entry.flags & PORT_UNIFORM != 0 {
        entry.cell
    } else {
        let class = F::class_here(policy, packet.source)?;
        run.found_class(class as u32);
        policy.cell(entry.class, class)?
    };
    if cell.passes() {
        // What only some policies need stands behind the question whether this one does: else it would be worked out for all.
        if settings::has(feature::LIMITS) {
            let (is_udp, transport) = transport(packet.port);
            let cell =
                ports::within_limit::<F>(run, policy, packet.source, cell, opens || is_udp, opens);
            return Some(conclusion::within_packet_limit::<F>(
                run,
                policy,
                packet.source,
                transport,
                cell,
            ));
        }
        return Some(Cell(cell.0 + (packet.kind & OPENS) as u32 * RULE_ATTEMPTS as u32));
    }
    if opens || !flows::port_was_used(run, packet.port) {
        return Some(cell);
    }
    // What is blocked gets no reply through, which takes another look.
    if settings::has(feature::BLOCKED) {
        return None;
    }
    let ends = F::ends(frame.cursor())?;
    let tuple = Tuple {
        local: ends.destination,
        remote: ends.source,
        local_port: ends.destination_port,
        remote_port: ends.source_port,
        protocol: ends.protocol,
    };
    if !flows::is_reply_here::<F>(run, policy, &tuple, packet.kind & CLOSES != 0) {
        return Some(cell);
    }
    let transport = transport_of::<F>(ends.protocol);
    let cell = because(Reason::Reply, transport);
    Some(conclusion::within_packet_limit::<F>(run, policy, packet.source, transport, cell))
}

/// Whether a position in the port table is that of a UDP port, and its transport.
#[inline(always)]
fn transport(position: u64) -> (bool, Transport) {
    let is_udp = position >= PORTS_UDP as u64;
    (is_udp, if is_udp { Transport::Udp } else { Transport::Tcp })
}
