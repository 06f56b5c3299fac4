//! What could not be written, counted so that nobody has to guess.

use crate::maps::UPDATE_FAILURES;

/// Counts a failure; `what` is one of [`foobar_common::failures`].
#[inline(always)]
pub fn count(what: u32) {
    if let Some(failures) = UPDATE_FAILURES.get_ptr_mut(what) {
        // SAFETY: this CPU's own element, and the program is not interrupted by itself.
        unsafe { *failures += 1 };
    }
}
