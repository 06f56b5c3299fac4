//! A set of prefixes that stays small with a million of them: sorted vectors, 8 bytes an IPv4 prefix, 16 an IPv6 prefix up to
//! /64, 32 a longer one.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::{net::Net, prefix::Prefix, prefix_text};

/// An IPv6 prefix longer than /64: inside one /64, a prefix over the lower 64 bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Deep {
    /// The upper 64 bits.
    pub upper: u64,
    /// The prefix over the lower 64 bits, with a length from 1 to 64.
    pub low: Net<u64>,
}

/// A set of prefixes. They may nest; each stands for itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PrefixSet {
    v4: Vec<Net<u32>>,
    v6: Vec<Net<u64>>,
    deep: Vec<Deep>,
}

/// A prefix, sorted into the part of a set that holds its kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// IPv4.
    V4(Net<u32>),
    /// IPv6 up to /64, over the upper 64 bits.
    V6(Net<u64>),
    /// IPv6 longer than /64.
    Deep(Deep),
}

impl From<Prefix> for Part {
    fn from(prefix: Prefix) -> Self {
        match prefix {
            Prefix::V4(net) => Part::V4(net),
            Prefix::V6(net) => {
                let (upper, lower) = ((net.address >> 64) as u64, net.address as u64);
                match net.length.checked_sub(64) {
                    None | Some(0) => Part::V6(Net { address: upper, length: net.length }),
                    Some(length) => Part::Deep(Deep { upper, low: Net { address: lower, length } }),
                }
            }
        }
    }
}

impl From<Part> for Prefix {
    fn from(part: Part) -> Self {
        match part {
            Part::V4(net) => Prefix::V4(net),
            Part::V6(net) => {
                Prefix::V6(Net { address: u128::from(net.address) << 64, length: net.length })
            }
            Part::Deep(Deep { upper, low }) => Prefix::V6(Net {
                address: u128::from(upper) << 64 | u128::from(low.address),
                length: 64 + low.length,
            }),
        }
    }
}

impl PrefixSet {
    /// Number of prefixes.
    pub fn len(&self) -> usize {
        self.len4() + self.len6()
    }

    /// Number of IPv4 prefixes.
    pub fn len4(&self) -> usize {
        self.v4.len()
    }

    /// Number of IPv6 prefixes.
    pub fn len6(&self) -> usize {
        self.v6.len() + self.deep.len()
    }

    /// Whether it holds no prefix.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// IPv4 prefixes, sorted.
    pub fn v4(&self) -> &[Net<u32>] {
        &self.v4
    }

    /// IPv6 prefixes up to /64 over the upper 64 bits, sorted.
    pub fn v6(&self) -> &[Net<u64>] {
        &self.v6
    }

    /// IPv6 prefixes longer than /64, sorted.
    pub fn deep(&self) -> &[Deep] {
        &self.deep
    }

    /// Whether exactly this prefix is in it; a wider one that covers it does not count.
    pub fn contains(&self, prefix: &Prefix) -> bool {
        match Part::from(*prefix) {
            Part::V4(net) => self.v4.binary_search(&net).is_ok(),
            Part::V6(net) => self.v6.binary_search(&net).is_ok(),
            Part::Deep(deep) => self.deep.binary_search(&deep).is_ok(),
        }
    }

    /// All prefixes, IPv4 first, in the order of their addresses, shorter before longer.
    pub fn iter(&self) -> impl Iterator<Item = Prefix> + '_ {
        let v4 = self.v4.iter().map(|net| Prefix::V4(*net));
        v4.chain(merge6(self.v6.iter().copied(), self.deep.iter().copied()))
    }

    /// Adds a prefix; says whether it is new.
    pub fn insert(&mut self, prefix: &Prefix) -> bool {
        match Part::from(*prefix) {
            Part::V4(net) => insert(&mut self.v4, net),
            Part::V6(net) => insert(&mut self.v6, net),
            Part::Deep(deep) => insert(&mut self.deep, deep),
        }
    }

    /// Removes exactly this prefix; says whether it was there.
    pub fn remove(&mut self, prefix: &Prefix) -> bool {
        match Part::from(*prefix) {
            Part::V4(net) => remove(&mut self.v4, net),
            Part::V6(net) => remove(&mut self.v6, net),
            Part::Deep(deep) => remove(&mut self.deep, deep),
        }
    }

    /// Adds all prefixes of another set.
    pub fn extend(&mut self, other: &PrefixSet) {
        union(&mut self.v4, &other.v4);
        union(&mut self.v6, &other.v6);
        union(&mut self.deep, &other.deep);
    }

    /// Removes all prefixes of another set.
    pub fn subtract(&mut self, other: &PrefixSet) {
        difference(&mut self.v4, &other.v4);
        difference(&mut self.v6, &other.v6);
        difference(&mut self.deep, &other.deep);
    }

    /// What of it is not in another set.
    pub fn without(&self, other: &PrefixSet) -> PrefixSet {
        PrefixSet {
            v4: without(&self.v4, &other.v4),
            v6: without(&self.v6, &other.v6),
            deep: without(&self.deep, &other.deep),
        }
    }

    /// Keeps only prefixes that are in the other set as well.
    pub fn intersect(&mut self, other: &PrefixSet) {
        self.v4.retain(|net| other.v4.binary_search(net).is_ok());
        self.v6.retain(|net| other.v6.binary_search(net).is_ok());
        self.deep.retain(|deep| other.deep.binary_search(deep).is_ok());
    }

    /// One prefix a line, as [`super::text_list::parse`] reads it.
    pub fn to_text(&self) -> String {
        let mut text = String::with_capacity(self.len4() * 18 + self.len6() * 26);
        for prefix in self.iter() {
            prefix_text::push(&mut text, &prefix);
            text.push('\n');
        }
        text
    }
}

/// IPv6 prefixes of both kinds in one order.
pub(super) fn merge6(
    wide: impl Iterator<Item = Net<u64>>,
    deep: impl Iterator<Item = Deep>,
) -> impl Iterator<Item = Prefix> {
    let mut wide = wide.map(|net| Prefix::from(Part::V6(net))).peekable();
    let mut deep = deep.map(|deep| Prefix::from(Part::Deep(deep))).peekable();
    std::iter::from_fn(move || match (wide.peek(), deep.peek()) {
        (Some(left), Some(right)) if left < right => wide.next(),
        (_, Some(_)) => deep.next(),
        _ => wide.next(),
    })
}

fn insert<T: Ord>(sorted: &mut Vec<T>, item: T) -> bool {
    match sorted.binary_search(&item) {
        Ok(_) => false,
        Err(at) => {
            sorted.insert(at, item);
            true
        }
    }
}

fn remove<T: Ord>(sorted: &mut Vec<T>, item: T) -> bool {
    match sorted.binary_search(&item) {
        Ok(at) => {
            sorted.remove(at);
            true
        }
        Err(_) => false,
    }
}

/// A handful is inserted one by one; more are appended and sorted in, for which the standard sort sees two runs and merges.
fn union<T: Ord + Copy>(sorted: &mut Vec<T>, other: &[T]) {
    if other.len() <= 8 {
        for item in other {
            insert(sorted, *item);
        }
    } else {
        sorted.extend_from_slice(other);
        sorted.sort();
        sorted.dedup();
    }
}

fn difference<T: Ord>(sorted: &mut Vec<T>, other: &[T]) {
    if !other.is_empty() {
        sorted.retain(|item| other.binary_search(item).is_err());
    }
}

/// One walk over both, so that a handful of news among a million is found in a millisecond.
fn without<T: Ord + Copy>(sorted: &[T], other: &[T]) -> Vec<T> {
    let mut other = other.iter().peekable();
    let is_alone = |item: &&T| {
        while other.next_if(|one| one < item).is_some() {}
        other.peek() != Some(item)
    };
    sorted.iter().filter(is_alone).copied().collect()
}

/// Collects prefixes of any order and sorts them once.
#[derive(Default)]
pub struct Builder {
    set: PrefixSet,
}

impl Builder {
    /// Makes room for this many IPv4 prefixes.
    pub fn reserve4(&mut self, count: usize) {
        self.set.v4.reserve_exact(count);
    }

    /// Makes room for this many IPv6 prefixes up to /64.
    pub fn reserve6(&mut self, count: usize) {
        self.set.v6.reserve_exact(count);
    }

    /// Adds a prefix.
    #[inline]
    pub fn push(&mut self, prefix: Prefix) {
        match Part::from(prefix) {
            Part::V4(net) => self.set.v4.push(net),
            Part::V6(net) => self.set.v6.push(net),
            Part::Deep(deep) => self.set.deep.push(deep),
        }
    }

    /// The set, sorted and without repetitions.
    pub fn build(mut self) -> PrefixSet {
        self.set.v4.sort_unstable_by_key(|net| net.key());
        self.set.v4.dedup();
        self.set.v6.sort_unstable_by_key(|net| net.key());
        self.set.v6.dedup();
        self.set.deep.sort_unstable();
        self.set.deep.dedup();
        self.set
    }
}

impl FromIterator<Prefix> for PrefixSet {
    fn from_iter<I: IntoIterator<Item = Prefix>>(prefixes: I) -> Self {
        let mut builder = Builder::default();
        prefixes.into_iter().for_each(|prefix| builder.push(prefix));
        builder.build()
    }
}

impl Serialize for PrefixSet {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter())
    }
}

impl<'de> Deserialize<'de> for PrefixSet {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> de::Visitor<'de> for Visitor {
            type Value = PrefixSet;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of prefixes")
            }

            fn visit_seq<A: de::SeqAccess<'de>>(self, mut items: A) -> Result<PrefixSet, A::Error> {
                let mut builder = Builder::default();
                while let Some(prefix) = items.next_element()? {
                    builder.push(prefix);
                }
                Ok(builder.build())
            }
        }
        deserializer.deserialize_seq(Visitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(texts: &[&str]) -> PrefixSet {
        texts.iter().map(|text| text.parse::<Prefix>().unwrap()).collect()
    }

    #[test]
    fn sorted_unique_and_split_at_64() {
        let set = set(&[
            "2001:db8::/65",
            "10.0.0.0/9",
            "2001:db8::/64",
            "10.0.0.0/8",
            "10.0.0.0/8",
            "2001:db8::1/128",
            "::/0",
            "2001:db8:0:1::/64",
        ]);
        assert_eq!((set.len4(), set.len6(), set.v6().len(), set.deep().len()), (2, 5, 3, 2));
        assert_eq!(
            set.to_text(),
            "10.0.0.0/8\n10.0.0.0/9\n::/0\n2001:db8::/64\n2001:db8::/65\n2001:db8::1/128\n2001:db8:0:1::/64\n"
        );
        let json = serde_json::to_string(&set).unwrap();
        assert_eq!(serde_json::from_str::<PrefixSet>(&json).unwrap(), set);
    }

    #[test]
    fn set_operations() {
        let mut a = set(&["10.0.0.0/8", "10.0.0.0/9", "2001:db8::1"]);
        assert!(a.insert(&"10.1.0.0/16".parse().unwrap()));
        assert!(!a.insert(&"10.1.0.0/16".parse().unwrap()));
        assert!(a.remove(&"10.0.0.0/8".parse().unwrap()));
        assert!(!a.remove(&"10.0.0.0/8".parse().unwrap()), "the nested /9 is another entry");
        assert_eq!(a, set(&["10.0.0.0/9", "10.1.0.0/16", "2001:db8::1"]));
        let many: PrefixSet =
            (0..20).map(|i| Prefix::host(std::net::Ipv4Addr::from_bits(i).into())).collect();
        a.extend(&many);
        assert_eq!(a.len4(), 22);
        a.intersect(&many);
        assert_eq!(a, many);
        a.subtract(&set(&["0.0.0.3"]));
        assert_eq!(a.len(), 19);
    }

    #[test]
    fn parts_and_prefixes_convert_both_ways() {
        for text in
            ["0.0.0.0/0", "::/0", "::/64", "::/65", "ffff::ffff/128", "2001:db8::8000:0:0:0/65"]
        {
            let prefix: Prefix = text.parse().unwrap();
            assert_eq!(Prefix::from(Part::from(prefix)), prefix);
        }
    }
}
