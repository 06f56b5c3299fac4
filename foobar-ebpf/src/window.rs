//! Payload that was copied, as the automaton reads it.

use foobar_common::http::{
    read::{Piece, WINDOW},
    step,
};

/// The bytes of a piece.
pub struct Bytes(pub *mut Piece);

impl step::Window for Bytes {
    #[inline(always)]
    fn word(&self, at: u64) -> u64 {
        // SAFETY: the caller passed a piece; eight bytes from any of the first 256 on are within it. The BPF machine needs no alignment.
        unsafe {
            // By way of memory that the verifier does not follow, which then takes all ways to this place for one. It would tell them
            // apart by what it knows of the position, as an address is made of it.
            let place = &raw mut (*self.0).at;
            place.write_volatile(at);
            let at = place.read_volatile() & (WINDOW as u64 - 1);
            let bytes = (&raw const (*self.0).bytes).cast::<u8>();
            u64::from_le(bytes.add(at as usize).cast::<u64>().read())
        }
    }
}
