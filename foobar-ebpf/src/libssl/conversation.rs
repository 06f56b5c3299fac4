//! The bytes of a connection, through the automaton that reads HTTP in clear off the wire.
//!
//! libssl hands on all bytes in their order. So both directions get numbers as TCP would give them, and what the automaton does where it
//! lost the thread (a connection that was open before the probes were there) it does here as well: it waits for the next turn.

use aya_ebpf::helpers::{bpf_ktime_get_ns, generated::bpf_probe_read_user};
use foobar_common::{
    http::{
        flow::{Outside, units},
        read::{WINDOW, read_on, read_quickly},
        segment,
    },
    probes::Session,
};

use crate::{maps::PROBE_STATS, target, window::Bytes};

/// Pieces that the bytes of one call are read in at most.
const PIECES: u32 = 300;
/// Steps that read a piece of ordinary headers to its end; what is left is in the next piece.
const STEPS: u32 = 40;
/// Words of what is counted.
const WORDS: usize = size_of::<foobar_common::http::stats::HttpStats>() / 8;

/// Reads `bytes` at `address` of the process; `WRITTEN`: the server wrote them.
#[inline(always)]
pub fn read<const WRITTEN: bool>(session: *mut Session, address: u64, bytes: u64) {
    // One call moves at most 2 GB: the argument is an `int`.
    let length = bytes as u32 & 0x7fff_ffff;
    if length == 0 {
        return;
    }
    // SAFETY: an entry of the table, which this thread alone uses now.
    let (flow, counted) = unsafe { (&mut (*session).flow, &mut (*session).counted) };
    let from = if WRITTEN {
        segment::leaves(flow, flow.leaving.next, length, counted)
    } else {
        segment::arrives(flow, flow.arriving.next, flow.leaving.next, length, counted)
    };
    let Some(mut at) = from else { return };
    for _ in 0..PIECES {
        if at >= length {
            return;
        }
        let taken = if WRITTEN {
            libssl_piece_written(session, address + at as u64, length - at)
        } else {
            libssl_piece_read(session, address + at as u64, length - at)
        };
        if taken == 0 {
            break;
        }
        at += taken;
    }
    // SAFETY: as above.
    let (flow, counted) = unsafe { (&mut (*session).flow, &mut (*session).counted) };
    if WRITTEN {
        flow.lose_leaving(counted);
    } else {
        flow.lose_arriving(counted);
    }
}

/// [`piece`] of what a client sent. A global function, as those below: the kernel verifies it once, for any arguments.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn libssl_piece_read(session: *mut Session, address: u64, left: u32) -> u32 {
    piece::<false>(session, address, left)
}

/// [`piece`] of what the server wrote.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn libssl_piece_written(session: *mut Session, address: u64, left: u32) -> u32 {
    piece::<true>(session, address, left)
}

/// Reads on at `address`, where `left` bytes are left, not 0. Gives back how many were read, 0 if they could not be copied. What is of no
/// interest is not copied.
#[inline(always)]
fn piece<const WRITTEN: bool>(session: *mut Session, address: u64, left: u32) -> u32 {
    if session.is_null() {
        return 0;
    }
    // SAFETY: an entry of the table, which this thread alone uses now.
    let side = unsafe {
        if WRITTEN { &mut (*session).flow.leaving } else { &mut (*session).flow.arriving }
    };
    if side.is_opaque() {
        return left;
    }
    if side.skips() {
        let bytes = if side.left < left as u64 { side.left as u32 } else { left };
        side.skip(bytes as u64);
        return bytes;
    }
    let wanted = if left < WINDOW { left } else { WINDOW };
    // The same for a number from 1 to 256, but the verifier sees that it is one.
    let bytes = (core::hint::black_box(wanted.wrapping_sub(1)) & (WINDOW - 1)) + 1;
    // SAFETY: the window holds more than `bytes`; the helper checks the address.
    let copied = unsafe {
        bpf_probe_read_user((&raw mut (*session).piece.bytes).cast(), bytes, address as *const _)
    };
    if copied != 0 {
        return 0;
    }
    let mut at = 0;
    for _ in 0..STEPS {
        let before = at;
        at = if WRITTEN {
            libssl_step_written(session, at, bytes)
        } else {
            libssl_step_read(session, at, bytes)
        };
        if at == before {
            at = if WRITTEN {
                libssl_written_on(session, at, bytes)
            } else {
                libssl_read_on(session, at, bytes)
            };
        }
        if at >= bytes {
            break;
        }
    }
    at
}

/// [`read_quickly`] what a client sent.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn libssl_step_read(session: *mut Session, at: u32, end: u32) -> u32 {
    one_step::<false, true>(session, at, end)
}

/// [`read_quickly`] what the server wrote.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn libssl_step_written(session: *mut Session, at: u32, end: u32) -> u32 {
    one_step::<true, true>(session, at, end)
}

/// [`read_on`] in what a client sent.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn libssl_read_on(session: *mut Session, at: u32, end: u32) -> u32 {
    one_step::<false, false>(session, at, end)
}

/// [`read_on`] in what the server wrote.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn libssl_written_on(session: *mut Session, at: u32, end: u32) -> u32 {
    one_step::<true, false>(session, at, end)
}

#[inline(always)]
fn one_step<const WRITTEN: bool, const QUICKLY: bool>(
    session: *mut Session,
    at: u32,
    end: u32,
) -> u32 {
    if session.is_null() {
        return end;
    }
    // SAFETY: as in `piece`; the window is not written meanwhile.
    let session = unsafe { &mut *session };
    let bytes = Bytes(&raw mut session.piece);
    let (flow, counted) = (&mut session.flow, &mut session.counted);
    if QUICKLY {
        read_quickly::<WRITTEN>(flow, counted, &Kernel, &bytes, at, end)
    } else {
        read_on::<WRITTEN>(flow, counted, &Kernel, &bytes, at, end)
    }
}

/// The kernel's clock.
struct Kernel;

impl Outside for Kernel {
    #[inline(always)]
    fn now(&self) -> u32 {
        // SAFETY: a helper without arguments.
        units(unsafe { bpf_ktime_get_ns() })
    }
}

/// Adds what a connection has counted to the counts of its port.
#[inline(always)]
pub fn hand_over(session: *mut Session, slot: u32) {
    let Some(stats) = PROBE_STATS.get_ptr_mut(slot) else { return };
    // SAFETY: both consist of words; those of the port are this CPU's own, and a program that preempts this one adds atomically as well.
    unsafe {
        let counted = (&raw mut (*session).counted).cast::<u64>();
        let sums = (&raw mut (*stats).read).cast::<u64>();
        for word in 0..WORDS {
            let more = *counted.add(word);
            if more != 0 {
                *counted.add(word) = 0;
                target::add(&mut *sums.add(word), more);
            }
        }
    }
}
