//! The C library's allocator.

/// Blocks from this size on go back to the kernel as soon as they are free.
#[cfg(target_env = "gnu")]
const LARGE: libc::c_int = 1 << 20;

/// Keeps large blocks apart from small ones for good. glibc takes each large block that was freed for a sign that such blocks come
/// often and from then on keeps them (mallopt(3), M_MMAP_THRESHOLD): a list of a million entries would leave its memory, several times
/// over, with a daemon that may run for months.
#[cfg(target_env = "gnu")]
pub(in crate::kernel) fn return_large_blocks() {
    // SAFETY: it takes two integers. A refusal, which is no error, leaves the allocator as it is.
    unsafe { libc::mallopt(libc::M_MMAP_THRESHOLD, LARGE) };
}

/// Other C libraries do so by themselves.
#[cfg(not(target_env = "gnu"))]
pub(in crate::kernel) fn return_large_blocks() {}
