//! What is counted of a request at its end.

use core::{mem::transmute, ptr::write_volatile};

use aya_ebpf::{
    EbpfContext as _,
    helpers::{bpf_ktime_get_ns, generated::bpf_get_attach_cookie},
    programs::ProbeContext,
};
use foobar_common::probes::{ATOMIC_ADD, DURATION_BOUNDS_US, MAX_DURATION_US, ProbeStats, Target};

use crate::maps::{PROBE_STATS, PROBE_TARGETS};

const SECOND_NS: u64 = 1_000_000_000;

/// What became of a request.
pub enum Outcome {
    /// A status, or 0 where it is not known: for lack of an offset, or because the server's memory could not be read.
    Answered(u64),
    /// The client saw nothing of an answer.
    Aborted,
}

/// The file whose probe was hit, if it counts.
#[inline(always)]
pub fn target(context: &ProbeContext) -> Option<&'static Target> {
    // SAFETY: the helper is handed the context of this program.
    let cookie = unsafe { bpf_get_attach_cookie(context.as_ptr()) };
    let target = PROBE_TARGETS.get_ptr_mut(cookie as u32)?;
    // SAFETY: an element of an array, of which only aligned words are written meanwhile.
    let seen = unsafe { &*target };
    if seen.counts == 0 {
        return None;
    }
    Some(seen)
}

/// Remembers that a file is in use. Once a second is enough, or all CPUs would fight for the line.
#[inline(always)]
pub fn seen(target: &'static Target, now: u64) {
    if now - target.last_seen_ns > SECOND_NS {
        // SAFETY: an aligned word of an element of an array, of which what another CPU writes is as good.
        unsafe { write_volatile((&raw const target.last_seen_ns).cast_mut(), now) };
    }
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

/// Adds atomically: `lock *(u64 *)(r1 + 0) += r2`.
///
/// The stable compiler has neither atomic arithmetic nor assembly for this target. So the call of a helper that does not exist stands here,
/// with the number [`ATOMIC_ADD`], and the loader puts the instruction in its place, which is as long. It leaves more registers alone than
/// the compiler expects of a call.
#[inline(always)]
fn add(count: &mut u64, more: u64) {
    // SAFETY: helpers are called by their numbers; this one becomes an instruction that takes both arguments where they are.
    unsafe {
        let add: unsafe extern "C" fn(*mut u64, u64) = transmute(ATOMIC_ADD as usize);
        add(count, more);
    }
}

/// Now, nanoseconds of `CLOCK_MONOTONIC`.
#[inline(always)]
pub fn now() -> u64 {
    // SAFETY: the helper has no preconditions.
    unsafe { bpf_ktime_get_ns() }
}
