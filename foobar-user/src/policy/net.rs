//! Prefixes over words of one width: whole IPv4 addresses, or halves of IPv6 addresses.

use std::{fmt, hash::Hash};

/// An unsigned integer that addresses, or halves of addresses, are made of.
pub trait Word: Copy + Ord + Eq + Hash + fmt::Debug + Default + Send + Sync + 'static {
    /// A single integer that sorts like `(address, length)`, so that sorting compares once.
    type Key: Ord;
    /// Width in bits.
    const WIDTH: u8;
    /// All bits set: the highest address.
    const MAX: Self;
    /// The `length` leading bits set.
    fn leading(length: u8) -> Self;
    /// Bitwise and.
    fn and(self, other: Self) -> Self;
    /// Bitwise or.
    fn or(self, other: Self) -> Self;
    /// Bitwise complement.
    fn not(self) -> Self;
    /// The next address; the highest one has none.
    fn next(self) -> Option<Self>;
    /// See [`Word::Key`].
    fn key(self, length: u8) -> Self::Key;
}

macro_rules! word {
    ($type:ty, $key:ty, $to_key:expr) => {
        impl Word for $type {
            type Key = $key;
            const WIDTH: u8 = <$type>::BITS as u8;
            const MAX: Self = <$type>::MAX;

            #[inline]
            fn leading(length: u8) -> Self {
                <$type>::MAX.checked_shl(u32::from(Self::WIDTH - length)).unwrap_or(0)
            }
            #[inline]
            fn and(self, other: Self) -> Self {
                self & other
            }
            #[inline]
            fn or(self, other: Self) -> Self {
                self | other
            }
            #[inline]
            fn not(self) -> Self {
                !self
            }
            #[inline]
            fn next(self) -> Option<Self> {
                self.checked_add(1)
            }
            #[inline]
            fn key(self, length: u8) -> $key {
                let to_key: fn($type, u8) -> $key = $to_key;
                to_key(self, length)
            }
        }
    };
}

word!(u32, u64, |address, length| u64::from(address) << 8 | u64::from(length));
word!(u64, u128, |address, length| u128::from(address) << 8 | u128::from(length));
word!(u128, (u128, u8), |address, length| (address, length));

/// A prefix over words of one width. The bits behind the first `length` are 0. Sorted by address, shorter prefixes (which hold
/// the longer ones of the same address) first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Net<W> {
    /// The lowest address in it.
    pub address: W,
    /// How many leading bits count: 0 to the width of `W`.
    pub length: u8,
}

impl<W: Word> Net<W> {
    /// The prefix of this length that holds `address`.
    #[inline]
    pub fn holding(address: W, length: u8) -> Self {
        Net { address: address.and(W::leading(length)), length }
    }

    /// The highest address in it.
    #[inline]
    pub fn last(self) -> W {
        self.address.or(W::leading(self.length).not())
    }

    /// Whether the address is in it.
    #[inline]
    pub fn contains(self, address: W) -> bool {
        address.and(W::leading(self.length)) == self.address
    }

    /// Whether all of `other` is in it.
    #[inline]
    pub fn covers(self, other: Self) -> bool {
        self.length <= other.length && self.contains(other.address)
    }

    /// Sorts like the prefix itself.
    #[inline]
    pub fn key(self) -> W::Key {
        self.address.key(self.length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_of_the_shortest_and_longest() {
        let all = Net::<u32>::holding(7, 0);
        assert_eq!((all.address, all.last()), (0, u32::MAX));
        let one = Net::<u64>::holding(u64::MAX, 64);
        assert_eq!((one.address, one.last()), (u64::MAX, u64::MAX));
        assert!(Net::<u128>::holding(1 << 127, 1).contains(u128::MAX));
        assert!(!Net::<u128>::holding(1 << 127, 1).contains(u128::MAX >> 1));
    }
}
