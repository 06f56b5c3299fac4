//! Payload that was copied, as the automaton reads it.

use foobar_common::http::{read::WINDOW, step};

/// The bytes of a piece: as many as [`WINDOW`], and room to read a word behind their end.
pub struct Bytes(pub *const u8);

impl step::Window for Bytes {
    #[inline(always)]
    fn word(&self, at: u32) -> u64 {
        // The compiler knows that `at` is small and would leave the mask out, which the verifier needs.
        let at = core::hint::black_box(at) & (WINDOW - 1);
        // SAFETY: eight bytes from any of the first 256 on are within the buffer. The BPF machine needs no alignment.
        u64::from_le(unsafe { self.0.add(at as usize).cast::<u64>().read() })
    }
}
