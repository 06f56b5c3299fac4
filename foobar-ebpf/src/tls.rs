//! TLS and QUIC on observed ports: what arrives and what leaves. See [`crate::observe`] for how a segment gets here, and
//! [`foobar_common::tls`] for how it is read.
//!
//! A connection is remembered from its first client data on, not from its SYN, so a flood of SYNs makes nothing. That these data
//! are the first is known by their sequence number, which the SYN+ACK acknowledged.

use aya_ebpf::{
    bindings::__sk_buff,
    helpers::{bpf_ktime_get_ns, generated::bpf_skb_load_bytes},
};
use foobar_common::{
    failures,
    observe::{ConnectionKey, Histogram},
    parse::transport::flag,
    tls::{
        Bytes, Flow, OPENINGS,
        flow::{Anchor, CLOSED, SETTLED, event},
        record,
        stats::{HANDSHAKE_BOUNDS_US, NameEntry, OFFER_UNKNOWN, PROBES, TlsStats, offer},
        version,
    },
};

use crate::{
    failures::count as count_failure,
    maps::{TLS_FLOWS, TLS_NAME_HELLOS, TLS_NAMES, TLS_OPENINGS, TLS_STATS},
    segment::Segment,
};

/// How far behind the first byte a client's first segment to come by may be: segments change places on their way.
const WINDOW: u32 = 1 << 16;
/// Bytes by which a hello is known without its SYN+ACK.
const LOOK: u32 = 8;

/// The payload of a segment, from byte `offset` of the frame on.
pub struct Payload {
    pub skb: *mut __sk_buff,
    pub offset: u32,
}

impl Bytes for Payload {
    #[inline(always)]
    fn load(&self, offset: u32, count: u32) -> Option<u64> {
        let mut bytes = 0u64;
        // The verifier is to see it: 1 to 8.
        let count = ((count - 1) & 7) + 1;
        // SAFETY: the helper writes `count` bytes into a variable of eight, and checks the packet's bounds itself.
        let result = unsafe {
            bpf_skb_load_bytes(
                self.skb.cast(),
                self.offset + offset,
                (&raw mut bytes).cast(),
                count,
            )
        };
        if result == 0 { Some(u64::from_be(bytes) >> (64 - 8 * count)) } else { None }
    }
}

/// A segment from the client.
#[inline(always)]
pub fn arriving(skb: *mut __sk_buff, segment: &Segment) {
    if segment.length != 0
        && !segment.has(flag::SYN)
        && let Some(flow) = flow_of(skb, segment)
    {
        // SAFETY: an element of the table, which the kernel keeps while this program runs.
        follow::<true>(skb, segment, unsafe { &mut *flow });
    }
    if segment.has(flag::FIN | flag::RST) {
        ended::<true>(segment);
    }
}

/// A segment from this server.
#[inline(always)]
pub fn leaving(skb: *mut __sk_buff, segment: &Segment) {
    if segment.has(flag::SYN) {
        if let Some(opening) = TLS_OPENINGS.get_ptr_mut(opening_of(&segment.connection)) {
            // SAFETY: an element of the table; whoever writes last is remembered.
            unsafe { *opening = segment.acknowledged };
        }
        return;
    }
    if segment.length != 0
        && let Some(flow) = TLS_FLOWS.get_ptr_mut(&segment.connection)
    {
        // SAFETY: as above.
        let flow = unsafe { &mut *flow };
        if flow.is_read() {
            follow::<false>(skb, segment, flow);
        }
    }
    if segment.has(flag::FIN | flag::RST) {
        ended::<false>(segment);
    }
}

/// The state of the connection that client data belong to, if they are worth reading.
#[inline(always)]
fn flow_of(skb: *mut __sk_buff, segment: &Segment) -> Option<*mut Flow> {
    let known = TLS_FLOWS.get_ptr_mut(&segment.connection);
    let mut is_closed = true;
    if let Some(flow) = known {
        // SAFETY: an element of the table, which the kernel keeps while this program runs.
        let flow = unsafe { &mut *flow };
        is_closed = flow.state == CLOSED;
        if !is_closed && flow.client.next == segment.sequence {
            if flow.state == SETTLED {
                flow.client.next = segment.sequence.wrapping_add(segment.length);
                return None;
            }
            return Some(flow);
        }
    }
    let opening = TLS_OPENINGS.get_ptr_mut(opening_of(&segment.connection))?;
    // SAFETY: an element of the table.
    let start = unsafe { *opening };
    let whole = start != 0 && segment.sequence.wrapping_sub(start) < WINDOW;
    if !whole && (!is_closed || !looks_like_hello(skb, segment)) {
        let Some(flow) = known else {
            unknown(segment);
            return None;
        };
        // SAFETY: as above.
        let flow = unsafe { &mut *flow };
        if flow.state >= SETTLED {
            flow.client.next = segment.sequence.wrapping_add(segment.length);
            return None;
        }
        return Some(flow);
    }
    // SAFETY: an element of the table.
    unsafe { *opening = 0 };
    let (first, how) = if whole { (start, WHOLE) } else { (segment.sequence, PART) };
    if tls_remember(&segment.connection, first, segment.acknowledged, how) == 0 {
        return None;
    }
    TLS_FLOWS.get_ptr_mut(&segment.connection)
}

/// Client data of a connection whose beginning was not seen, and which will not be read.
#[inline(always)]
fn unknown(segment: &Segment) {
    let next = segment.sequence.wrapping_add(segment.length);
    if tls_remember(&segment.connection, next, 0, UNREAD) != 0
        && let Some(stats) = stats(segment.slot)
    {
        stats.unparsed += 1;
    }
}

// How a connection is remembered.

/// From its first byte on.
const WHOLE: u32 = 0;
/// From its hello on, of which it is not known whether it comes first.
const PART: u32 = 1;
/// As one that is not read.
const UNREAD: u32 = 2;

/// Remembers a connection of which the client's next byte has the number `sequence`, and the server's `acknowledged`. Returns 0 if that
/// fails. A function of its own, so that what it needs of the stack does not add to what the others need.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn tls_remember(
    connection: *const ConnectionKey,
    sequence: u32,
    acknowledged: u32,
    how: u32,
) -> u32 {
    if connection.is_null() {
        return 0;
    }
    // SAFETY: the caller passes a key; the verifier knows its size by the type.
    let connection = unsafe { *connection };
    let mut flow = Flow::default();
    flow.open(sequence, acknowledged, how == WHOLE);
    if how == UNREAD {
        flow.state = SETTLED;
    }
    // SAFETY: a helper without arguments.
    flow.started_ns = unsafe { bpf_ktime_get_ns() };
    if TLS_FLOWS.insert(&connection, &flow, 0).is_err() {
        count_failure(failures::TLS_FLOWS);
        return 0;
    }
    1
}

#[inline(always)]
fn looks_like_hello(skb: *mut __sk_buff, segment: &Segment) -> bool {
    let payload = Payload { skb, offset: segment.offset };
    segment.length >= LOOK && payload.load(0, LOOK).is_some_and(record::looks_like_hello)
}

/// Where the connection's first sequence number is remembered.
#[inline(always)]
fn opening_of(connection: &ConnectionKey) -> u32 {
    let [upper, lower] = connection.remote;
    let folded = upper ^ lower.rotate_left(8);
    let mut hash = (folded as u32 ^ (folded >> 32) as u32).wrapping_mul(0x9e37_79b1);
    hash = (hash ^ connection.ports as u32).wrapping_mul(0x85eb_ca6b);
    (hash ^ hash >> 15) & (OPENINGS - 1)
}

/// Reads a segment, unit by unit, and counts what came of it.
#[inline(always)]
fn follow<const CLIENT: bool>(skb: *mut __sk_buff, segment: &Segment, flow: &mut Flow) {
    let length = segment.length;
    let Anchor::At(mut at) = flow.anchor::<CLIENT>(segment.sequence, segment.acknowledged, length)
    else {
        return;
    };
    let payload = Payload { skb, offset: segment.offset };
    if at == 0 && record::whole::<CLIENT>(flow, &payload, length) {
        return count(flow, segment.slot);
    }
    for _ in 0..record::MAX_STEPS {
        if at >= length {
            break;
        }
        at = if CLIENT {
            tls_step_arriving(skb, flow, segment.offset, at, length)
        } else {
            tls_step_leaving(skb, flow, segment.offset, at, length)
        };
    }
    if at < length {
        flow.give_up::<CLIENT>();
    }
    count(flow, segment.slot);
}

// Global functions: the kernel verifies each once, for any arguments, and not again in each turn of the loop above.

/// [`record::step`] for a segment that arrives; its payload starts `offset` bytes from the start of the frame.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn tls_step_arriving(
    skb: *mut __sk_buff,
    flow: *mut Flow,
    offset: u32,
    at: u32,
    end: u32,
) -> u32 {
    step::<true>(skb, flow, offset, at, end)
}

/// [`record::step`] for a segment that leaves; its payload starts `offset` bytes from the start of the frame.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn tls_step_leaving(
    skb: *mut __sk_buff,
    flow: *mut Flow,
    offset: u32,
    at: u32,
    end: u32,
) -> u32 {
    step::<false>(skb, flow, offset, at, end)
}

#[inline(always)]
fn step<const CLIENT: bool>(
    skb: *mut __sk_buff,
    flow: *mut Flow,
    offset: u32,
    at: u32,
    end: u32,
) -> u32 {
    if flow.is_null() {
        return end;
    }
    // SAFETY: the caller passes an element of the table; the verifier knows its size by the type.
    let flow = unsafe { &mut *flow };
    if !flow.is_read() {
        return end;
    }
    record::step::<CLIENT>(flow, &Payload { skb, offset }, at, end)
}

/// FIN or RST. What the segment carried has been read.
#[inline(always)]
fn ended<const CLIENT: bool>(segment: &Segment) {
    if let Some(flow) = TLS_FLOWS.get_ptr_mut(&segment.connection) {
        // SAFETY: an element of the table, which the kernel keeps while this program runs.
        let flow = unsafe { &mut *flow };
        flow.ended::<CLIENT>(segment.has(flag::RST), segment.acknowledged);
        count(flow, segment.slot);
    }
}

#[inline(always)]
fn stats(slot: u32) -> Option<&'static mut TlsStats> {
    let stats = TLS_STATS.get_ptr_mut(slot)?;
    // SAFETY: this CPU's own element.
    Some(unsafe { &mut *stats })
}

/// Counts what happened.
#[inline(always)]
fn count(flow: &mut Flow, slot: u32) {
    let (events, turns) = (flow.events, flow.turns);
    if events == 0 && turns == 0 {
        return;
    }
    flow.events = 0;
    flow.turns = 0;
    let Some(stats) = stats(slot) else { return };
    stats.turns += turns as u64;
    if events & event::HELLO != 0 {
        greeted(stats, flow, slot);
    }
    if events & event::HELLO_UNREAD != 0 {
        stats.hellos[version::UNKNOWN as usize] += 1;
        stats.offers[OFFER_UNKNOWN] += 1;
    }
    stats.retries += (events & event::RETRY != 0) as u64;
    stats.unparsed += (events & event::UNPARSED != 0) as u64;
    if events & event::COMPLETED != 0 {
        completed(stats, flow);
    }
    if events & event::FAILED != 0
        && let Some(failures) = stats.failures.get_mut(flow.failure as usize)
    {
        *failures += 1;
    }
}

#[inline(always)]
fn greeted(stats: &mut TlsStats, flow: &Flow, slot: u32) {
    if let Some(hellos) = stats.hellos.get_mut(flow.offered_version as usize) {
        *hellos += 1;
    }
    if let Some(offers) = stats.offers.get_mut(offer(flow)) {
        *offers += 1;
    }
    stats.early_data += flow.early as u64;
    if flow.named == 0 {
        stats.no_name += 1;
        return;
    }
    match hellos_of(NameEntry::new(flow.name, slot)) {
        // SAFETY: this CPU's own element.
        Some(hellos) => unsafe { *hellos += 1 },
        None => stats.other_names += 1,
    }
}

/// Where hellos with this name are counted, if it is configured.
#[inline(always)]
fn hellos_of(name: NameEntry) -> Option<*mut u64> {
    for probe in 0..PROBES {
        let number = name.number(probe);
        // SAFETY: an element of the table.
        if unsafe { *TLS_NAMES.get_ptr(number)? } == name {
            return TLS_NAME_HELLOS.get_ptr_mut(number);
        }
    }
    None
}

#[inline(always)]
fn completed(stats: &mut TlsStats, flow: &Flow) {
    let handshakes = if flow.resumed != 0 { &mut stats.resumed } else { &mut stats.full };
    if let Some(handshakes) = handshakes.get_mut(flow.version as usize) {
        *handshakes += 1;
    }
    // SAFETY: a helper without arguments.
    let elapsed_ns = unsafe { bpf_ktime_get_ns() }.wrapping_sub(flow.started_ns);
    observe(&mut stats.duration, elapsed_ns / 1000);
}

#[inline(always)]
fn observe(histogram: &mut Histogram, value_us: u64) {
    histogram.sum_us += value_us;
    let mut bucket = 0;
    for bound in &HANDSHAKE_BOUNDS_US {
        bucket += (value_us > *bound) as usize;
    }
    if let Some(count) = histogram.buckets.get_mut(bucket) {
        *count += 1;
    }
}
