//! Cells of reasons that no rule gave.

use foobar_common::{
    counters::{Transport, fixed},
    reason::{Reason, Verdict},
    tables::Cell,
};

/// The cell of a reason: its verdict and its counter.
#[inline(always)]
pub const fn because(reason: Reason, transport: Transport) -> Cell {
    match reason.verdict() {
        Verdict::Pass => Cell::pass(fixed(reason, transport), 0),
        Verdict::Drop => Cell::drop(fixed(reason, transport)),
    }
}
