//! A policy that is changed step by step compiles to the same tables as one that is compiled at once.

use proptest::{collection::vec, prelude::*, sample::select};

use super::{
    super::Compiler,
    random::{any_policy, prefix},
    *,
};
use crate::policy::{
    net::Net,
    prefix_set::{Deep, Part},
};

/// Compiles the policy anew and compares all that depends on the lists.
fn assert_same(stepwise: &Compiled, policy: &Policy) {
    let (anew, _) = compiled(policy);
    assert_eq!(stepwise.v4, anew.v4);
    assert_eq!(stepwise.v6, anew.v6);
    assert_eq!(stepwise.generation, anew.generation);
    assert_eq!(stepwise.features, anew.features);
    shape::check(stepwise);
}

#[derive(Clone, Debug)]
enum Step {
    Add(&'static str, Vec<Prefix>),
    /// Removes the entry at this position, counted round.
    Remove(&'static str, usize),
    Replace(&'static str, Vec<Prefix>),
    Own(Vec<IpAddr>),
}

fn step() -> impl Strategy<Value = Step> {
    let name = || select(vec!["a", "b", "c", "x", "y"]);
    let own = vec(any::<u8>().prop_map(|last| IpAddr::from([10, 0, 0, last])), 0..2);
    prop_oneof![
        6 => (name(), vec(prefix(), 1..4)).prop_map(|(name, prefixes)| Step::Add(name, prefixes)),
        6 => (name(), any::<usize>()).prop_map(|(name, at)| Step::Remove(name, at)),
        1 => (name(), vec(prefix(), 0..8)).prop_map(|(name, prefixes)| Step::Replace(name, prefixes)),
        1 => own.prop_map(Step::Own),
    ]
}

fn apply(policy: &mut Policy, step: &Step) {
    let kind = |name: &str| if name < "x" { ListKind::Allow } else { ListKind::Block };
    match step {
        Step::Add(name, prefixes) => {
            let entries: Vec<_> = prefixes.iter().copied().map(Entry::from).collect();
            policy.lists.add(kind(name), name, &entries).unwrap();
        }
        Step::Remove(name, at) => {
            let entries: Vec<Prefix> = policy.lists.by_name(name).unwrap().prefixes().collect();
            if !entries.is_empty() {
                policy.lists.remove(kind(name), name, &[entries[at % entries.len()]]).unwrap();
            }
        }
        Step::Replace(name, prefixes) => {
            let set = Arc::new(prefixes.iter().copied().collect());
            policy.lists.replace_set(kind(name), name, set).unwrap();
        }
        Step::Own(addresses) => policy.own_addresses = addresses.clone(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn slow_steps_and_leaps_end_at_the_same_place(mut policy in any_policy(), steps in vec(step(), 1..12)) {
        let mut compiler = Compiler::new(250);
        let (mut labels, mut slots) = (Labels::new(), Slots::default());
        for step in &steps {
            let before = compiler.compile(&policy, &mut labels, &mut slots).unwrap();
            let kept = (*before.v4).clone();
            apply(&mut policy, step);
            let after = compiler.compile(&policy, &mut labels, &mut slots).unwrap();
            assert_same(&after, &policy);
            prop_assert_eq!(&*before.v4, &kept, "a result that is still held does not change");
        }
    }
}

/// Several places of a large list change at once, and the index is changed in these places alone, unless it has to have another shape.
#[test]
fn slow_scattered_changes_in_a_large_list() {
    scattered_changes(false);
}

/// Entries longer than /64 have numbers in the index, which change when one is added before them.
#[test]
fn slow_scattered_changes_in_a_large_list_with_single_ipv6_addresses() {
    scattered_changes(true);
}

/// `single`: the IPv6 prefixes are subnets and single addresses.
fn scattered_changes(single: bool) {
    let mut random = 0x2545_f491_4f6c_dd1du64;
    let mut next = move || {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random
    };
    let mut prefix = move || {
        let (bits, length) = (next(), next());
        Prefix::from(if bits & 1 == 0 {
            Part::V4(Net::holding((bits >> 32) as u32, [16, 24, 24, 32][length as usize % 4]))
        } else if single {
            // Of one /52, so that a bucket of the index is a /64.
            let upper = 1 << 61 | bits >> 3 & 0xfff;
            if length >> 8 & 1 == 0 {
                Part::Deep(Deep { upper, low: Net::holding(length, 64) })
            } else {
                Part::V6(Net::holding(upper, 64))
            }
        } else {
            Part::V6(Net::holding(bits >> 3 | 1 << 61, [32, 48, 48, 64][length as usize % 4]))
        })
    };
    let rules = vec![rule("ssh", &[Protocol::TCP], &[(22, 22)], lists(&["a"]))];
    let mut policy = policy(&[(ListKind::Allow, "a", &[]), (ListKind::Block, "b", &[])], rules);
    for (kind, name) in [(ListKind::Allow, "a"), (ListKind::Block, "b")] {
        let many = Arc::new((0..3000).map(|_| prefix()).collect());
        policy.lists.replace_set(kind, name, many).unwrap();
    }
    let mut compiler = Compiler::new(250);
    let (mut labels, mut slots) = (Labels::new(), Slots::default());
    compiler.compile(&policy, &mut labels, &mut slots).unwrap();
    for step in 0..60usize {
        let (kind, name) = [(ListKind::Allow, "a"), (ListKind::Block, "b")][step % 2];
        let entries: Vec<Entry> = (0..=step % 7).map(|_| prefix().into()).collect();
        policy.lists.add(kind, name, &entries).unwrap();
        assert_same(&compiler.compile(&policy, &mut labels, &mut slots).unwrap(), &policy);
        let all: Vec<Prefix> = policy.lists.by_name(name).unwrap().prefixes().collect();
        let mut gone: Vec<Prefix> = entries.iter().skip(1).map(|entry| entry.prefix).collect();
        if step % 10 == 9 {
            // The first and the last range as well, on which the shape of the index depends.
            gone.extend([all[0], all[all.len() - 1]]);
        }
        policy.lists.remove(kind, name, &gone).unwrap();
        assert_same(&compiler.compile(&policy, &mut labels, &mut slots).unwrap(), &policy);
    }
}

/// Many entries, so that a single change is not built anew: the windows that are spliced are small parts of the tables.
#[test]
fn slow_single_changes_in_a_large_list() {
    let many: Vec<String> = (0u32..3000)
        .flat_map(|i| {
            let [_, b, c, d] = (i * 4096 + i).to_be_bytes();
            [
                format!("10.{b}.{c}.{d}/32"),
                format!("2001:db8:{i:x}::/64"),
                format!("2001:db9:{i:x}::{i:x}"),
            ]
        })
        .collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let rules = vec![rule("ssh", &[Protocol::TCP], &[(22, 22)], lists(&["a"]))];
    let mut policy =
        policy(&[(ListKind::Allow, "a", &many), (ListKind::Block, "b", &["192.0.2.0/24"])], rules);
    let mut compiler = Compiler::new(250);
    let (mut labels, mut slots) = (Labels::new(), Slots::default());
    compiler.compile(&policy, &mut labels, &mut slots).unwrap();
    let steps = [
        "10.1.2.3/32",
        "10.0.0.0/16",
        "10.0.0.0/8",
        "255.255.255.255/32",
        "0.0.0.0/32",
        "192.0.2.128/25",
        "2001:db8:7::/65",
        "2001:db8:7::1/128",
        "2001:db9:7::7/128",
        "2001:db9:7::8/127",
        "2001:db9:7::/64",
        "2001:db9::/32",
        "ffff::/16",
        "::/128",
        "2001:db8:800::/37",
    ];
    for (kind, list) in [(ListKind::Allow, "a"), (ListKind::Block, "b")] {
        for remove_at_once in [true, false] {
            for step in steps {
                let prefix: Prefix = step.parse().unwrap();
                let was_there = policy.lists.get(kind, list).unwrap().contains(&prefix);
                policy.lists.add(kind, list, &[prefix.into()]).unwrap();
                assert_same(&compiler.compile(&policy, &mut labels, &mut slots).unwrap(), &policy);
                if remove_at_once || was_there {
                    policy.lists.remove(kind, list, &[prefix]).unwrap();
                    assert_same(
                        &compiler.compile(&policy, &mut labels, &mut slots).unwrap(),
                        &policy,
                    );
                }
            }
            policy.lists.reset(kind, list).unwrap();
            assert_same(&compiler.compile(&policy, &mut labels, &mut slots).unwrap(), &policy);
        }
    }
}
