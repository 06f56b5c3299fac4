//! The bounded cursor: the only place that reads packet bytes.
#![allow(
    unsafe_code,
    reason = "reads raw packet memory; every access is bounds-checked here, once, for all parsers"
)]

use super::Address6;
use crate::reason::Reason;

/// A position in a frame, and where its readable bytes end.
///
/// In the kernel the end is that of the frame's linear part, which holds all headers that the stack would accept.
#[derive(Clone, Copy, Debug)]
pub struct Cursor {
    position: usize,
    end: usize,
}

impl Cursor {
    /// A cursor over the bytes from address `start` up to address `end`.
    ///
    /// # Safety
    /// The bytes must stay readable for as long as the cursor and the headers taken from it are used.
    #[inline(always)]
    pub unsafe fn new(start: usize, end: usize) -> Self {
        Cursor { position: start, end }
    }

    /// Takes the next `N` bytes.
    ///
    /// # Errors
    /// [`Reason::Truncated`] if fewer are there.
    #[inline(always)]
    pub fn take<const N: usize>(&mut self) -> Result<Header<N>, Reason> {
        let header = self.peek::<N>()?;
        self.position += N;
        Ok(header)
    }

    /// Looks at the next `N` bytes without moving.
    ///
    /// # Errors
    /// [`Reason::Truncated`] if fewer are there.
    #[inline(always)]
    pub fn peek<const N: usize>(&self) -> Result<Header<N>, Reason> {
        if self.position + N > self.end {
            return Err(Reason::Truncated);
        }
        Ok(Header { at: self.position })
    }

    /// Moves on by a length that was read from the packet; it may lead past the end, then the next read fails.
    #[inline(always)]
    pub fn skip(&mut self, bytes: u32) {
        self.position += bytes as usize;
    }

    /// Moves to one byte before where [`Self::skip`] leads; `bytes` is not 0.
    ///
    /// The verifier of Linux 6.1 does not learn from a test for 0 that one less is no huge number. So the one is taken off the address,
    /// hidden from the compiler, which would take it off the length again.
    #[inline(always)]
    pub fn skip_to_before(&mut self, bytes: u32) {
        self.position = core::hint::black_box(self.position + bytes as usize) - 1;
    }

    /// Address of the next byte.
    #[inline(always)]
    pub fn position(&self) -> usize {
        self.position
    }

    /// Whether so many bytes are there; the position must not be behind the end.
    ///
    /// Compared as lengths: from addresses the compiler would conclude more than the verifier can follow, and leave later checks out.
    #[inline(always)]
    pub fn holds(&self, bytes: u32) -> bool {
        bytes as usize <= self.end.wrapping_sub(self.position)
    }

    /// Bytes between the position and the end.
    #[inline(always)]
    pub fn available(&self) -> usize {
        self.end.saturating_sub(self.position)
    }
}

/// `N` bytes whose bounds were checked. Fields are read by their offset in the header.
#[derive(Clone, Copy, Debug)]
pub struct Header<const N: usize> {
    at: usize,
}

impl<const N: usize> Header<N> {
    /// The byte at `OFFSET`.
    #[inline(always)]
    pub fn u8<const OFFSET: usize>(&self) -> u8 {
        self.load::<u8, OFFSET>()
    }

    /// Two bytes at `OFFSET` as a number.
    #[inline(always)]
    pub fn u16<const OFFSET: usize>(&self) -> u16 {
        u16::from_be(self.load::<u16, OFFSET>())
    }

    /// Two bytes at `OFFSET` as they are: in network byte order.
    #[inline(always)]
    pub fn u16_raw<const OFFSET: usize>(&self) -> u16 {
        self.load::<u16, OFFSET>()
    }

    /// Four bytes at `OFFSET` as they are: in network byte order.
    #[inline(always)]
    pub fn u32_raw<const OFFSET: usize>(&self) -> u32 {
        self.load::<u32, OFFSET>()
    }

    /// Sixteen bytes at `OFFSET` as they are: in network byte order.
    #[inline(always)]
    pub fn address6<const OFFSET: usize>(&self) -> Address6 {
        const { assert!(OFFSET + 16 <= N) }
        // SAFETY: `peek` checked N bytes from `at` on, and the constant assertion keeps the field within them.
        unsafe { [load(self.at + OFFSET), load(self.at + OFFSET + 8)] }
    }

    /// `M` of the bytes, from `OFFSET` on.
    #[inline(always)]
    pub fn part<const OFFSET: usize, const M: usize>(&self) -> Header<M> {
        const { assert!(OFFSET + M <= N) }
        Header { at: self.at + OFFSET }
    }

    #[inline(always)]
    fn load<T: Copy, const OFFSET: usize>(&self) -> T {
        const { assert!(OFFSET + size_of::<T>() <= N) }
        // SAFETY: `peek` checked N bytes from `at` on, and the constant assertion keeps the field within them.
        unsafe { load(self.at + OFFSET) }
    }
}

/// Reads a value that need not be aligned.
///
/// # Safety
/// The bytes must be readable, and any bit pattern valid for `T`.
#[inline(always)]
unsafe fn load<T: Copy>(address: usize) -> T {
    let pointer = address as *const T;
    // The BPF target has no flag for "unaligned loads are fine", so an unaligned read becomes one load for each byte. The
    // kernel's own JITs do them in one on the machines that we support (CONFIG_HAVE_EFFICIENT_UNALIGNED_ACCESS), and the
    // verifier refuses the program elsewhere.
    #[cfg(target_arch = "bpf")]
    // SAFETY: as the caller promises; alignment is no concern of the BPF machine, see above.
    return unsafe { pointer.read() };
    #[cfg(not(target_arch = "bpf"))]
    // SAFETY: as the caller promises.
    return unsafe { pointer.read_unaligned() };
}
