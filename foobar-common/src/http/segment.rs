//! TCP segments: in which order their bytes are read.
//!
//! What leaves is seen in the order in which TCP first sends it, whatever is lost on the way later; what was sent again has an old
//! sequence number. What arrives may have holes: they are no harm within a body. Elsewhere the side is lost until its next turn:
//! a piece that arrives after the client has acknowledged more of what the server sent, and that begins like a request.

use super::{
    flow::Flow,
    side::{Side, phase},
    stats::HttpStats,
};

/// How far a sequence number is ahead of another one (RFC 9293, section 3.4).
#[inline(always)]
const fn ahead(sequence: u32, of: u32) -> i32 {
    sequence.wrapping_sub(of) as i32
}

/// Which bytes of a segment are new.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum New {
    /// None: all of it was sent before.
    Nothing,
    /// Those from here on.
    From(u32),
    /// All of it, but something before it is missing.
    Hole,
}

/// Compares a segment with what was read of its side, which then expects what follows the segment.
#[inline(always)]
fn new_bytes(side: &mut Side, sequence: u32, length: u32) -> New {
    let gap = ahead(sequence, side.next);
    let end = sequence.wrapping_add(length);
    if ahead(end, side.next) <= 0 {
        return New::Nothing;
    }
    side.next = end;
    if gap <= 0 {
        return New::From(gap.unsigned_abs());
    }
    if side.is_opaque() {
        return New::From(0);
    }
    if side.phase == phase::SKIP && side.left >= gap as u64 {
        side.skip(gap as u64);
        return New::From(0);
    }
    New::Hole
}

/// A segment arrives. Gives back from which byte on it is to be read, if at all.
#[inline(always)]
pub fn arrives(
    flow: &mut Flow,
    sequence: u32,
    acknowledged: u32,
    length: u32,
    stats: &mut HttpStats,
) -> Option<u32> {
    let is_turn = acknowledged != flow.arriving.acknowledged;
    let was_lost = flow.arriving.phase == phase::LOST;
    match new_bytes(&mut flow.arriving, sequence, length) {
        New::Nothing => None,
        New::From(start) if !was_lost => {
            flow.arriving.acknowledged = acknowledged;
            Some(start)
        }
        New::From(_) | New::Hole => {
            flow.arriving.acknowledged = acknowledged;
            if !was_lost {
                // Counted only if it is not found again at once.
                flow.arriving.lose();
            }
            if !is_turn || flow.arriving.marks != 0 {
                stats.unparsed += !was_lost as u64;
                return None;
            }
            flow.arriving.restart();
            flow.arriving.marks = if was_lost { super::side::mark::AGAIN } else { 0 };
            Some(0)
        }
    }
}

/// The client has acknowledged this much. If it was never seen leaving, the server's answers take another way.
#[inline(always)]
pub fn acknowledges(flow: &mut Flow, acknowledged: u32, stats: &mut HttpStats) {
    if ahead(acknowledged, flow.leaving.next) > 0 && flow.leaving.phase != phase::LOST {
        flow.lose_leaving(stats);
    }
}

/// A segment leaves. Gives back from which byte on it is to be read, if at all.
#[inline(always)]
pub fn leaves(flow: &mut Flow, sequence: u32, length: u32, stats: &mut HttpStats) -> Option<u32> {
    match new_bytes(&mut flow.leaving, sequence, length) {
        New::Nothing => None,
        New::From(start) => Some(start),
        New::Hole => {
            flow.lose_leaving(stats);
            None
        }
    }
}

/// The client's side has ended in order; `sequence` is that of its FIN.
#[inline(always)]
pub fn client_ends(flow: &mut Flow) {
    flow.client_ended = 1;
}

/// The server's side has ended: what waits is not answered any more. A FIN takes a sequence number.
#[inline(always)]
pub fn server_ends(flow: &mut Flow, sequence: u32, stats: &mut HttpStats) {
    if sequence == flow.leaving.next {
        flow.leaving.next = sequence.wrapping_add(1);
    }
    if flow.server_ended == 0 {
        flow.server_ended = 1;
        stats.aborted += flow.give_up() as u64;
    }
}

/// The server has reset the connection: what waits is not answered any more. What the client had sent by then may still arrive, and is
/// no beginning of anything.
#[inline(always)]
pub fn server_resets(flow: &mut Flow, stats: &mut HttpStats) {
    flow.server_ended = 1;
    stats.aborted += flow.give_up() as u64;
    flow.arriving.enter(phase::TUNNEL);
}

/// Whether nothing more can come.
#[inline(always)]
pub fn is_over(flow: &Flow) -> bool {
    flow.client_ended != 0 && flow.server_ended != 0
}
