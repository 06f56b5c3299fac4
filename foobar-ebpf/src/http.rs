//! HTTP in clear on observed ports. See [`crate::observe`] for how a segment gets here, and [`foobar_common::http`] for what is
//! made of its bytes.
//!
//! Of a connection nothing is known before its first piece of payload, so that a flood of SYNs fills no table. Payload is never in
//! the linear part of what leaves, so it is copied, 256 bytes at a time, and only where it is read: bodies are not.

use aya_ebpf::{
    bindings::__sk_buff,
    helpers::{bpf_ktime_get_ns, generated::bpf_skb_load_bytes},
};
use foobar_common::{
    event::RequestEvent,
    http::{
        flow::{Flow, Outside, units},
        read::{WINDOW, read_on, read_quickly},
        segment,
        stats::HttpStats,
    },
    observe::ConnectionKey,
    parse::transport::flag,
};

use crate::{
    events,
    maps::{HTTP_FLOWS, HTTP_STATS, HTTP_WINDOW, HttpWindow},
    segment::Segment,
    window::Bytes,
};

/// Pieces that one segment is read in at most: 64 KiB of nothing but headers, and more of small chunks.
const PIECES: u32 = 300;
/// Steps that read a piece of ordinary headers to its end; what is left is in the next piece.
const STEPS: u32 = 40;

/// A segment from the client.
#[inline(always)]
pub fn arriving(skb: *mut __sk_buff, segment: &Segment) {
    let Some(stats) = HTTP_STATS.get_ptr_mut(segment.slot) else {
        return;
    };
    let mut known = HTTP_FLOWS.get_ptr_mut(&segment.connection);
    if segment.has(flag::SYN) {
        // Another connection with the same ports.
        if let Some(flow) = known {
            end(segment, flow, stats);
        }
        return;
    }
    if known.is_none() && segment.length != 0 && !segment.has(flag::RST) {
        if http_begin(&segment.connection, segment.sequence, segment.acknowledged) == 0 {
            // SAFETY: this CPU's own element.
            unsafe { (*stats).refused += 1 };
            return;
        }
        known = HTTP_FLOWS.get_ptr_mut(&segment.connection);
    }
    let Some(flow) = known else { return };
    // SAFETY: the entry of the table is not freed while the program runs; of its fields this side writes its own, and the statistics
    // are this CPU's own.
    let (state, counts) = unsafe { (&mut *flow, &mut *stats) };
    if segment.has(flag::ACK) {
        segment::acknowledges(state, segment.acknowledged, counts);
    }
    if segment.length != 0
        && let Some(from) =
            segment::arrives(state, segment.sequence, segment.acknowledged, segment.length, counts)
    {
        payload::<false>(skb, flow, stats, segment, from);
    }
    if segment.has(flag::RST) {
        end(segment, flow, stats);
    } else if segment.has(flag::FIN) {
        segment::client_ends(state);
        if segment::is_over(state) {
            end(segment, flow, stats);
        }
    }
}

/// A segment from this server.
#[inline(always)]
pub fn leaving(skb: *mut __sk_buff, segment: &Segment) {
    let (Some(flow), Some(stats)) =
        (HTTP_FLOWS.get_ptr_mut(&segment.connection), HTTP_STATS.get_ptr_mut(segment.slot))
    else {
        return;
    };
    // SAFETY: as above.
    let (state, counts) = unsafe { (&mut *flow, &mut *stats) };
    if segment.length != 0
        && let Some(from) = segment::leaves(state, segment.sequence, segment.length, counts)
    {
        payload::<true>(skb, flow, stats, segment, from);
    }
    if segment.has(flag::RST) {
        // It is forgotten when the client ends, when its ports are used again, or when it was silent for longest.
        segment::server_resets(state, counts);
    } else if segment.has(flag::FIN) {
        let sequence = segment.sequence.wrapping_add(segment.length);
        segment::server_ends(state, sequence, counts);
        if segment::is_over(state) {
            end(segment, flow, stats);
        }
    }
}

/// Remembers a connection of which the next bytes have these numbers. Returns 0 if that fails. The new entry is made in this CPU's window,
/// not on the stack, of which a chain of calls has 512 bytes.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn http_begin(
    connection: *const ConnectionKey,
    sequence: u32,
    acknowledged: u32,
) -> u32 {
    let Some(window) = HTTP_WINDOW.get_ptr_mut(0) else {
        return 0;
    };
    if connection.is_null() {
        return 0;
    }
    // SAFETY: the caller passes a key; the verifier knows its size by the type.
    let connection = unsafe { *connection };
    // SAFETY: the window is this CPU's own.
    let flow = unsafe { &mut (*window).begun };
    flow.begin(sequence, acknowledged);
    flow.port = connection.ports as u32 & 0xffff;
    HTTP_FLOWS.insert(&connection, &*flow, 0).is_ok() as u32
}

/// Forgets a connection.
#[inline(always)]
fn end(segment: &Segment, flow: *mut Flow, stats: *mut HttpStats) {
    // SAFETY: as above.
    unsafe { (*stats).aborted += (*flow).give_up() as u64 };
    // It may be gone already, if the other side ends at the same time.
    let _ = HTTP_FLOWS.remove(&segment.connection);
}

/// Reads the payload from its byte `from` on.
#[inline(always)]
fn payload<const REPLIES: bool>(
    skb: *mut __sk_buff,
    flow: *mut Flow,
    stats: *mut HttpStats,
    segment: &Segment,
    from: u32,
) {
    let mut at = from;
    for _ in 0..PIECES {
        if at >= segment.length {
            return;
        }
        let (offset, left) = (segment.offset + at, segment.length - at);
        let read = if REPLIES {
            http_piece_leaving(skb, flow, stats, offset, left)
        } else {
            http_piece_arriving(skb, flow, stats, offset, left)
        };
        if read == 0 {
            break;
        }
        at += read;
    }
    // SAFETY: as above.
    unsafe {
        if REPLIES {
            (*flow).lose_leaving(&mut *stats);
        } else {
            (*flow).lose_arriving(&mut *stats);
        }
    }
}

/// [`piece`] of what arrives. A global function, as those below: the kernel verifies it once, for any arguments.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn http_piece_arriving(
    skb: *mut __sk_buff,
    flow: *mut Flow,
    stats: *mut HttpStats,
    offset: u32,
    left: u32,
) -> u32 {
    piece::<false>(skb, flow, stats, offset, left)
}

/// [`piece`] of what leaves.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn http_piece_leaving(
    skb: *mut __sk_buff,
    flow: *mut Flow,
    stats: *mut HttpStats,
    offset: u32,
    left: u32,
) -> u32 {
    piece::<true>(skb, flow, stats, offset, left)
}

/// Reads on at `offset` in a frame of which `left` bytes are left, not 0. Gives back how many bytes were read, 0 if they could not be
/// copied. What is of no interest is not copied.
#[inline(always)]
fn piece<const REPLIES: bool>(
    skb: *mut __sk_buff,
    flow: *mut Flow,
    stats: *mut HttpStats,
    offset: u32,
    left: u32,
) -> u32 {
    if flow.is_null() || stats.is_null() {
        return 0;
    }
    // SAFETY: an entry of a table, checked above; see [`arriving`] for who else writes it.
    let side = unsafe { if REPLIES { &mut (*flow).leaving } else { &mut (*flow).arriving } };
    if side.is_opaque() {
        return left;
    }
    if side.skips() {
        let bytes = if side.left < left as u64 { side.left as u32 } else { left };
        side.skip(bytes as u64);
        return bytes;
    }
    let Some(window) = HTTP_WINDOW.get_ptr_mut(0) else {
        return 0;
    };
    if REPLIES {
        // TCP has read the clock for it (`skb_set_delivery_time` in net/ipv4/tcp_output.c), which is dear.
        // SAFETY: the window is this CPU's own; the context is the one that the kernel passed.
        unsafe { (*window).left_ns = (*skb).tstamp };
    }
    let wanted = if left < WINDOW { left } else { WINDOW };
    // The same for a number from 1 to 256, but the verifier sees that it is one.
    let bytes = (core::hint::black_box(wanted.wrapping_sub(1)) & (WINDOW - 1)) + 1;
    // SAFETY: the window is this CPU's own and holds more than `bytes`; the helper checks the offset.
    if unsafe { bpf_skb_load_bytes(skb.cast(), offset, window.cast(), bytes) } != 0 {
        return 0;
    }
    let mut at = 0;
    for _ in 0..STEPS {
        let before = at;
        at = if REPLIES {
            http_leaving(flow, stats, window, at, bytes)
        } else {
            http_arriving(flow, stats, window, at, bytes)
        };
        if at == before {
            at = if REPLIES {
                http_leaving_on(flow, stats, window, at, bytes)
            } else {
                http_arriving_on(flow, stats, window, at, bytes)
            };
        }
        if at >= bytes {
            break;
        }
    }
    at
}

/// [`read_quickly`] what arrives.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn http_arriving(
    flow: *mut Flow,
    stats: *mut HttpStats,
    window: *mut HttpWindow,
    at: u32,
    end: u32,
) -> u32 {
    one_step::<false, true>(flow, stats, window, at, end)
}

/// [`read_quickly`] what leaves.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn http_leaving(
    flow: *mut Flow,
    stats: *mut HttpStats,
    window: *mut HttpWindow,
    at: u32,
    end: u32,
) -> u32 {
    one_step::<true, true>(flow, stats, window, at, end)
}

/// [`read_on`] in what arrives.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn http_arriving_on(
    flow: *mut Flow,
    stats: *mut HttpStats,
    window: *mut HttpWindow,
    at: u32,
    end: u32,
) -> u32 {
    one_step::<false, false>(flow, stats, window, at, end)
}

/// [`read_on`] in what leaves.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn http_leaving_on(
    flow: *mut Flow,
    stats: *mut HttpStats,
    window: *mut HttpWindow,
    at: u32,
    end: u32,
) -> u32 {
    one_step::<true, false>(flow, stats, window, at, end)
}

#[inline(always)]
fn one_step<const REPLIES: bool, const QUICKLY: bool>(
    flow: *mut Flow,
    stats: *mut HttpStats,
    window: *mut HttpWindow,
    at: u32,
    end: u32,
) -> u32 {
    if flow.is_null() || stats.is_null() || window.is_null() {
        return end;
    }
    // SAFETY: entries of tables, checked above; see [`arriving`] for who else writes them.
    let (flow, stats, window) = unsafe { (&mut *flow, &mut *stats, &mut *window) };
    let kernel = Kernel { left_ns: if REPLIES { window.left_ns } else { 0 } };
    let bytes = Bytes(&raw mut window.piece);
    if QUICKLY {
        read_quickly::<REPLIES>(flow, stats, &kernel, &bytes, at, end)
    } else {
        read_on::<REPLIES>(flow, stats, &kernel, &bytes, at, end)
    }
}

/// The kernel's clock, and whoever watches.
struct Kernel {
    /// When the segment left, if that is known.
    left_ns: u64,
}

impl Outside for Kernel {
    #[inline(always)]
    fn now(&self) -> u32 {
        // SAFETY: a helper without arguments.
        units(if self.left_ns != 0 { self.left_ns } else { unsafe { bpf_ktime_get_ns() } })
    }

    #[inline(always)]
    fn answered(&self, request: impl FnOnce() -> RequestEvent) {
        events::sample_request(request);
    }
}
