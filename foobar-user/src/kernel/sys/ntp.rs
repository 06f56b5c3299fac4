//! Whether the clock is set by somebody (adjtimex(2)).

/// linux/timex.h
const TIME_ERROR: libc::c_int = 5;
const STA_UNSYNC: libc::c_int = 0x40;

/// Whether a time service keeps the clock; `None` if the kernel does not tell.
pub fn clock_is_synchronised() -> Option<bool> {
    // SAFETY: the structure is all integers.
    let mut time: libc::timex = unsafe { std::mem::zeroed() };
    // SAFETY: with `modes` 0 the kernel only writes the structure.
    let state = unsafe { libc::adjtimex(&raw mut time) };
    if state < 0 {
        return None;
    }
    Some(state != TIME_ERROR && time.status & STA_UNSYNC == 0)
}
