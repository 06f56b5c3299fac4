//! Reads of memory that is not ours: the helpers check every address.

use aya_ebpf::helpers::{bpf_probe_read_kernel, bpf_probe_read_user};

/// Reads from the memory of the process that runs. `None` if nothing is there now.
#[inline(always)]
pub fn user<T: Integers>(address: u64) -> Option<T> {
    // SAFETY: the helper checks the address, and every bit pattern is a value of integers.
    unsafe { bpf_probe_read_user(address as *const T).ok() }
}

/// Reads from the kernel's memory.
#[inline(always)]
pub fn kernel<T: Integers>(address: u64) -> Option<T> {
    // SAFETY: as for `user`.
    unsafe { bpf_probe_read_kernel(address as *const T).ok() }
}

/// Values that every bit pattern is one of.
///
/// # Safety
/// That must be so.
pub unsafe trait Integers: Copy {}

// SAFETY: an integer.
unsafe impl Integers for u16 {}
// SAFETY: an integer.
unsafe impl Integers for u32 {}
// SAFETY: an integer.
unsafe impl Integers for u64 {}
// SAFETY: integers.
unsafe impl Integers for [u16; 2] {}
// SAFETY: integers.
unsafe impl Integers for [u64; 2] {}
