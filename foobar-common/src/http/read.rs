//! From pieces to events: what is done around the automaton.

use super::{
    flow::{Flow, Outside},
    stats::HttpStats,
    step::{Window, event, step},
};

/// Bytes that a [`Window`] holds.
pub const WINDOW: u32 = 256;

/// Reads on at `at`, which is below `end`, the number of bytes in the window; `REPLIES`: what leaves. Gives back where it came to, which
/// is at least one byte further.
#[inline(always)]
pub fn read<const REPLIES: bool>(
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
