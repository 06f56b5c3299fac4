//! The file that a probe is in, and how what is seen there is added up.

use core::{mem::transmute, ptr::write_volatile};

use aya_ebpf::{
    EbpfContext as _,
    helpers::{bpf_ktime_get_ns, generated::bpf_get_attach_cookie},
    programs::ProbeContext,
};
use foobar_common::probes::{ATOMIC_ADD, Target};

use crate::maps::PROBE_TARGETS;

const SECOND_NS: u64 = 1_000_000_000;

/// The file whose probe was hit, if it counts.
#[inline(always)]
pub fn of(context: &ProbeContext) -> Option<&'static Target> {
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

/// Adds atomically: `lock *(u64 *)(r1 + 0) += r2`.
///
/// The stable compiler has neither atomic arithmetic nor assembly for this target. So the call of a helper that does not exist stands here,
/// with the number [`ATOMIC_ADD`], and the loader puts the instruction in its place, which is as long. It leaves more registers alone than
/// the compiler expects of a call.
#[inline(always)]
pub fn add(count: &mut u64, more: u64) {
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
