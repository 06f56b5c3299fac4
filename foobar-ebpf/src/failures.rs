//! What could not be written: counted, and where the stack allows told to the daemon's log, so that nobody has to guess.

use aya_log_ebpf::warn;

use crate::maps::UPDATE_FAILURES;

/// Of lost events, the first on each CPU is logged and then each of this many: under a flood they come by the million.
const LOGGED_EVERY: u64 = 1 << 16;

/// Counts a failure; `what` is one of [`foobar_common::failures`]. Returns how many there were on this CPU.
#[inline(always)]
pub fn count(what: u32) -> u64 {
    let Some(failures) = UPDATE_FAILURES.get_ptr_mut(what) else {
        return 0;
    };
    // SAFETY: this CPU's own element, and the program is not interrupted by itself.
    unsafe {
        *failures += 1;
        *failures
    }
}

/// Tells that a sampled packet was lost because nobody reads; `count` as [`count`] returned it.
///
/// A global function: the kernel verifies it once. A line of aya-log takes some 200 bytes of the 512 that all functions on the way
/// to it share: the functions that judge are four deep and cannot say anything, so their failures are only counted.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn tell_lost_event(count: u64) -> u32 {
    if count % LOGGED_EVERY == 1 {
        warn!(
            (),
            "sampled packets are lost because nobody reads them: number {} of this CPU", count
        );
    }
    0
}
