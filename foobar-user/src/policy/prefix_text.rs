//! Prefixes as text, many of them: the same as [`Prefix`] itself prints, in a fraction of the time. A list of a million entries is
//! written to disk while somebody waits for the change.

use super::prefix::Prefix;

const HEX: &[u8; 16] = b"0123456789abcdef";

/// Appends a prefix.
pub fn push(text: &mut String, prefix: &Prefix) {
    match prefix {
        Prefix::V4(net) => {
            for (at, byte) in net.address.to_be_bytes().into_iter().enumerate() {
                if at > 0 {
                    text.push('.');
                }
                number(text, byte);
            }
        }
        Prefix::V6(net) => address6(text, net.address),
    }
    text.push('/');
    number(text, prefix.length());
}

/// A decimal number.
fn number(text: &mut String, number: u8) {
    if number >= 100 {
        text.push(char::from(b'0' + number / 100));
    }
    if number >= 10 {
        text.push(char::from(b'0' + number / 10 % 10));
    }
    text.push(char::from(b'0' + number % 10));
}

/// An IPv6 address in its canonical form (RFC 5952): the first of the longest runs of zeros is left out, if it is longer than one
/// group.
fn address6(text: &mut String, address: u128) {
    let groups: [u16; 8] = std::array::from_fn(|at| (address >> (112 - 16 * at)) as u16);
    // IPv4-mapped addresses (and no others) end with a dotted quad in the canonical form.
    if address >> 32 == 0xffff {
        use std::fmt::Write as _;
        // Writing to a String does not fail.
        let _ = write!(text, "{}", std::net::Ipv6Addr::from_bits(address));
        return;
    }
    let (mut from, mut length) = (8, 1);
    let mut run = 0;
    for (at, group) in groups.iter().enumerate() {
        run = if *group == 0 { run + 1 } else { 0 };
        if run > length {
            (from, length) = (at + 1 - run, run);
        }
    }
    let mut at = 0;
    while at < 8 {
        if at == from {
            text.push_str("::");
            at += length;
            continue;
        }
        if at > 0 && at != from + length {
            text.push(':');
        }
        group(text, groups[at]);
        at += 1;
    }
}

/// Up to four hexadecimal digits.
fn group(text: &mut String, group: u16) {
    let digits = (4 - group.leading_zeros() / 4).max(1);
    for digit in (0..digits).rev() {
        text.push(char::from(HEX[usize::from(group >> (4 * digit) & 15)]));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::net::Net;

    #[test]
    fn the_same_as_a_prefix_prints_itself() {
        let mut state = 1u64;
        let mut random = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state
        };
        let check = |prefix: Prefix| {
            let mut text = String::new();
            push(&mut text, &prefix);
            assert_eq!(text, prefix.to_string());
        };
        for round in 0..100_000u64 {
            check(Prefix::V4(Net::holding(random() as u32, (round % 33) as u8)));
            // Groups of zeros are what matters.
            let address = u128::from(random()) << 64 | u128::from(random());
            let holes = random();
            let mask = (0..8).fold(0u128, |mask, group| {
                let kept = if holes >> group & 1 == 0 { 0xffff } else { 0 };
                mask << 16 | kept
            });
            let narrow =
                if round % 3 == 0 { 0x000f_000f_000f_000f_000f_000f_000f_000f } else { !0 };
            let length = (round % 129) as u8;
            check(Prefix::V6(Net::holding(address & mask & narrow, length)));
        }
        for address in [0, 1, 0xffff_0102_0304, 0x0102_0304, u128::MAX, 1 << 127, 0x64_ff9b << 96] {
            check(Prefix::V6(Net::holding(address, 128)));
        }
    }
}
