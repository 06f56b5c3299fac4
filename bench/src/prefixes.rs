//! Lists of any size, the same in every run.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use foobar_user::policy::{Prefix, PrefixSet};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// Prefix lengths of published lists: mostly /24 and single addresses. One is drawn for each prefix.
const LENGTHS4: [u8; 8] = [24, 24, 24, 24, 32, 32, 22, 20];
const LENGTHS6: [u8; 8] = [48, 48, 48, 48, 64, 64, 40, 32];

/// So many different prefixes of IPv4, drawn from 1.0.0.0 to 222.255.255.255.
pub fn v4(count: usize) -> Vec<IpNet> {
    v4_of(count, 4)
}

/// Others, for each seed.
pub fn v4_of(count: usize, seed: u64) -> Vec<IpNet> {
    let mut random = fastrand::Rng::with_seed(seed);
    unique(count, || {
        let address = Ipv4Addr::from_bits(random.u32(1 << 24..223 << 24));
        let length = LENGTHS4[random.usize(..LENGTHS4.len())];
        (!address.is_loopback()).then(|| Ipv4Net::new_assert(address, length).trunc().into())
    })
}

/// So many different prefixes of IPv6, drawn from 2000::/3.
pub fn v6(count: usize) -> Vec<IpNet> {
    v6_of(count, 6)
}

/// Others, for each seed.
pub fn v6_of(count: usize, seed: u64) -> Vec<IpNet> {
    let mut random = fastrand::Rng::with_seed(seed);
    unique(count, || {
        let address = Ipv6Addr::from_bits(random.u128(..) >> 3 | 1 << 125);
        let length = LENGTHS6[random.usize(..LENGTHS6.len())];
        Some(Ipv6Net::new_assert(address, length).trunc().into())
    })
}

fn unique(count: usize, mut draw: impl FnMut() -> Option<IpNet>) -> Vec<IpNet> {
    let mut seen = std::collections::HashSet::with_capacity(count);
    let mut list = Vec::with_capacity(count);
    while list.len() < count {
        list.extend(draw().filter(|prefix| seen.insert(*prefix)));
    }
    list
}

/// An address in the middle of the list, which is neither its first nor its last range.
pub fn member(list: &[IpNet]) -> IpAddr {
    let mut sorted = list.to_vec();
    sorted.sort_unstable();
    sorted[sorted.len() / 2].network()
}

/// The same as the policy holds it.
pub fn set(list: &[IpNet]) -> PrefixSet {
    list.iter().map(|prefix| prefix.to_string().parse::<Prefix>().expect("a prefix")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_as_long_as_asked_and_the_same_each_time() {
        for list in [v4, v6] {
            let (one, other) = (list(1000), list(1000));
            assert_eq!(one, other);
            assert_eq!(set(&one).len(), 1000);
            assert!(one.iter().any(|prefix| prefix.contains(&member(&one))));
        }
    }
}
