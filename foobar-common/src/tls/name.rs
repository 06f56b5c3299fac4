//! The hash by which server names are compared: the kernel has no room for names.
//!
//! It is no secret and stops nobody from making a name that hashes like a configured one; such a client could as well send that name.

/// The hash of no bytes.
pub const START: u64 = 0x243f_6a88_85a3_08d3; // The fraction of pi.
/// Odd, and its bits are spread (the golden ratio).
const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;

/// Adds up to eight bytes, as a number with the first of them uppermost. All but the last are eight.
#[inline(always)]
pub const fn add(hash: u64, bytes: u64) -> u64 {
    let mixed = (hash ^ lower(bytes)).wrapping_mul(FACTOR);
    mixed ^ mixed >> 29
}

/// The hash of a name, whatever the case of its letters.
pub fn hash(name: &[u8]) -> u64 {
    name.chunks(8).fold(START, |hash, chunk| {
        add(hash, chunk.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    })
}

/// Eight letters in lower case at once: host names are compared without regard to case (RFC 6066 section 3).
#[inline(always)]
const fn lower(bytes: u64) -> u64 {
    const EACH: u64 = 0x0101_0101_0101_0101;
    let low = bytes & (0x7f * EACH);
    let from_a = low + (0x80 - b'A' as u64) * EACH;
    let behind_z = low + (0x7f - b'Z' as u64) * EACH;
    let upper = from_a & !behind_z & !bytes & (0x80 * EACH);
    bytes | upper >> 2
}
