//! Sampled packets and requests, for `watch` and the log. The daemon hands out a budget, so a flood of packets is no flood of events.

use aya_ebpf::{
    bindings::{__sk_buff, BPF_RB_NO_WAKEUP, xdp_md},
    helpers::bpf_ktime_get_coarse_ns,
};
use foobar_common::{
    event::{PacketEvent, RequestEvent},
    failures::EVENTS as LOST,
    parse::{
        Cursor, Frame,
        summary::{Summary, fill},
    },
    tables::{Cell, SAMPLE_DROPS, SAMPLE_PASSES},
};

use crate::{
    failures,
    frame::{Arriving, Leaving},
    maps::{EVENTS, SAMPLING},
    policy::Policy,
};

/// [`PacketEvent::direction`].
const INGRESS: u8 = 0;
/// [`PacketEvent::direction`].
const EGRESS: u8 = 1;

/// What an event tells of the frame itself.
struct Seen {
    summary: Summary,
    bytes: u32,
    interface: u32,
    direction: u8,
}

/// Tells of an arriving packet if somebody wants to know and the budget allows. Reads the frame once more: this is the rare
/// way, and a function of its own, so that the usual way keeps its registers.
#[inline(never)]
pub fn sample_ingress(context: *mut xdp_md, cell: u32) -> u32 {
    sample(Cell(cell), || {
        let mut summary = Summary::default();
        let bytes = read_arriving(context, &mut summary);
        // SAFETY: the context is the one that the kernel passed.
        let interface = unsafe { (*context).ingress_ifindex };
        Seen { summary, bytes, interface, direction: INGRESS }
    })
}

/// Tells of a leaving packet. A global function: the kernel verifies it once, and not for each verdict.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn sample_egress(skb: *mut __sk_buff, cell: u32) -> u32 {
    sample(Cell(cell), || {
        let mut summary = Summary::default();
        let bytes = read_leaving(skb, &mut summary);
        // SAFETY: the context is the one that the kernel passed.
        let interface = unsafe { (*skb).ifindex };
        Seen { summary, bytes, interface, direction: EGRESS }
    })
}

/// Reads a frame that arrives. Gives back its bytes. A global function, as the next: it is verified apart from what is done with what it reads.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn read_arriving(context: *mut xdp_md, into: *mut Summary) -> u32 {
    let mut frame = Arriving::new(context);
    read(frame.cursor(), &mut frame, into);
    frame.whole() as u32
}

/// Reads a frame that leaves. Gives back its bytes.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn read_leaving(skb: *mut __sk_buff, into: *mut Summary) -> u32 {
    let mut frame = Leaving::new(skb);
    read(frame.cursor(), &mut frame, into);
    frame.bytes
}

#[inline(always)]
fn read(cursor: Cursor, frame: &mut impl Frame, into: *mut Summary) {
    if !into.is_null() {
        // As far as it can be read. SAFETY: the caller passes a summary; the verifier knows its size by the type.
        let _ = fill(unsafe { &mut *into }, cursor, frame);
    }
}

/// Tells of a request that was answered, if somebody wants to know and the budget allows; else it is not even looked at.
#[inline(always)]
pub fn sample_request(look: impl FnOnce() -> RequestEvent) {
    let Some(sampling) = SAMPLING.get_ptr(0) else {
        return;
    };
    // SAFETY: the element of an array map lives as long as the map.
    if unsafe { (*sampling).requests } != 0 {
        // SAFETY: both are 24 plain bytes.
        let [_, first, second]: [u64; 3] = unsafe { core::mem::transmute(look()) };
        tell_request(first, second);
    }
}

/// Tells of this request: what [`RequestEvent`] holds behind the time. A function of its own, so that the usual way is short.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn tell_request(first: u64, second: u64) -> u32 {
    let Some(sampling) = SAMPLING.get_ptr_mut(0) else {
        return 0;
    };
    // SAFETY: as above; a helper without arguments; 24 plain bytes.
    let (sampling, request) = unsafe {
        let words = [bpf_ktime_get_coarse_ns(), first, second];
        (&mut *sampling, core::mem::transmute::<[u64; 3], RequestEvent>(words))
    };
    if sampling.request_port != 0 && sampling.request_port != request.port {
        return 0;
    }
    let Some(mut slot) = EVENTS.reserve::<RequestEvent>(0) else {
        failures::tell_lost_event(failures::count(LOST));
        return 0;
    };
    // Two CPUs may take the same token: the budget is a bound for the reader, not an account. But it must not wrap around.
    sampling.requests = sampling.requests.saturating_sub(1);
    slot.write(request);
    slot.submit(BPF_RB_NO_WAKEUP as u64);
    1
}

#[inline(always)]
fn sample(cell: Cell, look: impl FnOnce() -> Seen) -> u32 {
    let policy = Policy::current();
    let wanted = if cell.passes() { SAMPLE_PASSES } else { SAMPLE_DROPS };
    let Some(sampling) = SAMPLING.get_ptr_mut(0) else {
        return 0;
    };
    // SAFETY: the element of an array map lives as long as the map.
    let sampling = unsafe { &mut *sampling };
    let budget = if cell.passes() { &mut sampling.passes } else { &mut sampling.drops };
    if policy.sampled() & wanted == 0 || *budget == 0 {
        return 0;
    }
    let seen = look();
    if sampling.port != 0 && sampling.port != seen.summary.destination_port {
        return 0;
    }
    let Some(mut slot) = EVENTS.reserve::<PacketEvent>(0) else {
        failures::tell_lost_event(failures::count(LOST));
        return 0;
    };
    // As above.
    *budget = budget.saturating_sub(1);
    slot.write(event(&policy, &seen, cell));
    slot.submit(BPF_RB_NO_WAKEUP as u64);
    1
}

#[inline(always)]
fn event(policy: &Policy, seen: &Seen, cell: Cell) -> PacketEvent {
    PacketEvent {
        // SAFETY: a helper without arguments.
        time_ns: unsafe { bpf_ktime_get_coarse_ns() },
        source: bytes(seen.summary.source),
        destination: bytes(seen.summary.destination),
        length: seen.bytes,
        interface: seen.interface,
        generation: policy.generation().number as u32,
        counter: cell.counter(),
        source_port: seen.summary.source_port,
        destination_port: seen.summary.destination_port,
        ip_version: seen.summary.ip_version,
        protocol: seen.summary.protocol,
        tcp_flags: seen.summary.tcp_flags,
        direction: seen.direction,
        audited: (!cell.passes() && policy.audits()) as u8,
        padding: [0; 5],
    }
}

#[inline(always)]
fn bytes(words: [u32; 4]) -> [u8; 16] {
    // SAFETY: both are sixteen plain bytes.
    unsafe { core::mem::transmute(words) }
}
