//! What is counted of a request at its end.

use foobar_common::probes::{DURATION_BOUNDS_US, MAX_DURATION_US, ProbeStats};

use crate::{maps::PROBE_STATS, target::add};

/// What became of a request.
pub enum Outcome {
    /// A status, or 0 where it is not known: for lack of an offset, or because the server's memory could not be read.
    Answered(u64),
    /// The client saw nothing of an answer.
    Aborted,
}

/// Counts a request. `duration_us` is `None` where its start was not seen.
#[inline(always)]
pub fn count(slot: u32, outcome: Outcome, duration_us: Option<u64>) {
    let Some(stats) = PROBE_STATS.get_ptr_mut(slot) else { return };
    // SAFETY: this CPU's own element; a program that preempts this one adds atomically as well.
    let stats = unsafe { &mut *stats };
    match outcome {
        Outcome::Answered(status) => add(class(stats, status), 1),
        Outcome::Aborted => add(&mut stats.aborted, 1),
    }
    if let Some(duration) = duration_us.filter(|&duration| duration < MAX_DURATION_US) {
        let mut bucket = 0;
        for bound in DURATION_BOUNDS_US {
            bucket += (duration > bound) as usize;
        }
        add(&mut stats.duration.sum_us, duration);
        if let Some(count) = stats.duration.buckets.get_mut(bucket) {
            add(count, 1);
        }
    }
}

/// The count of a status' class.
#[inline(always)]
fn class(stats: &mut ProbeStats, status: u64) -> &mut u64 {
    let [unknown, informational, successful, redirected, client, server] = &mut stats.requests;
    match status {
        100..=199 => informational,
        200..=299 => successful,
        300..=399 => redirected,
        400..=499 => client,
        500..=599 => server,
        _ => unknown,
    }
}
