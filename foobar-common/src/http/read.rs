//! From pieces to events: what is done around the automaton.

use super::{
    flow::{Flow, Outside},
    quick,
    stats::HttpStats,
    step::{Window, event, step},
};

/// Bytes of a [`Piece`].
pub const WINDOW: u32 = 256;

/// Payload that was copied, to be read in the kernel.
#[repr(C, align(8))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    /// [`WINDOW`] bytes, and room to read a word behind their end.
    pub bytes: [u8; WINDOW as usize + 8],
    /// Where it is read; of no meaning to anybody else.
    pub at: u64,
}

/// Reads on at `at`, which is below `end`, the number of bytes in the window, by the quick way; `REPLIES`: what leaves. Gives back where it
/// came to, which is `at` if [`read_on`] is needed.
#[inline(always)]
pub fn read_quickly<const REPLIES: bool>(
    flow: &mut Flow,
    stats: &mut HttpStats,
    outside: &impl Outside,
    window: &impl Window,
    at: u32,
    end: u32,
) -> u32 {
    let side = if REPLIES { &mut flow.leaving } else { &mut flow.arriving };
    let (mut at, end) = (at as u64, end as u64);
    let (next, found) = quick::start::<REPLIES>(side, window, at, end);
    if found {
        at = next;
        if REPLIES {
            flow.response(stats, outside);
        } else {
            flow.request(outside);
        }
    }
    let side = if REPLIES { &mut flow.leaving } else { &mut flow.arriving };
    at = quick::lines::<REPLIES>(side, window, at, end);
    if side.skips() && at < end {
        let bytes = side.left.min(end - at);
        side.skip(bytes);
        at += bytes;
    }
    at as u32
}

/// Reads on where [`read_quickly`] did not, by at least one byte.
#[inline(always)]
pub fn read_on<const REPLIES: bool>(
    flow: &mut Flow,
    stats: &mut HttpStats,
    outside: &impl Outside,
    window: &impl Window,
    at: u32,
    end: u32,
) -> u32 {
    let side = if REPLIES { &mut flow.leaving } else { &mut flow.arriving };
    if side.is_opaque() {
        return end;
    }
    let (next, found) = step::<REPLIES>(side, window, at, end);
    if found != event::NONE {
        if REPLIES {
            flow.left(found, stats, outside);
        } else {
            flow.arrived(found, stats, outside);
        }
    }
    next
}
