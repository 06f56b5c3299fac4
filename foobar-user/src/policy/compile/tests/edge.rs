//! Policies at the edges of the address and port space, and what the tables look like for them.

use foobar_common::tables::{DEEP, PORT_SERVED, PORT_UNIFORM, feature};

use super::*;
use crate::policy::config::{Choice, Period, Rate, RateLimit};

const SSH: &[(Protocol, u16)] = &[(Protocol::TCP, 22), (Protocol::TCP, 23), (Protocol::UDP, 22)];

fn ssh_from(names: &[&str]) -> Vec<Rule> {
    vec![rule("ssh", &[Protocol::TCP], &[(22, 22)], lists(names))]
}

/// Each row: the allowlist `a`, the blocklist `b`, and how many ranges IPv4 and IPv6 have.
#[test]
fn prefixes_at_every_edge() {
    let rows: &[(&[&str], &[&str], usize, usize)] = &[
        (&[], &[], 1, 1),
        (&["0.0.0.0/0"], &[], 1, 1),
        (&["::/0"], &[], 1, 1),
        (&["0.0.0.0/32"], &[], 2, 1),
        (&["255.255.255.255/32"], &[], 2, 1),
        (&["255.255.255.254/31", "255.255.255.255/32"], &[], 2, 1),
        (&["0.0.0.0/1", "128.0.0.0/1"], &[], 1, 1),
        (&["10.0.0.0/9", "10.128.0.0/9"], &[], 3, 1),
        (&["10.0.0.0/8", "10.1.0.0/16", "10.1.1.0/24"], &[], 3, 1),
        (&["10.0.0.0/8"], &["10.1.0.0/16"], 5, 1),
        (&["10.1.0.0/16"], &["10.0.0.0/8"], 5, 1),
        (&["10.0.0.0/8"], &["10.0.0.0/8"], 3, 1),
        (&["10.0.0.0/24"], &["10.0.1.0/24"], 4, 1),
        (&["10.0.0.0/8"], &["0.0.0.0/0"], 3, 1),
        (&["ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/128"], &[], 1, 2),
        (&["::/128"], &[], 1, 2),
        (&["2001:db8::/64"], &[], 1, 3),
        (&["2001:db8::/65"], &[], 1, 3),
        (&["2001:db8::/65", "2001:db8:0:0:8000::/65"], &[], 1, 3),
        (&["2001:db8::/63", "2001:db8::/66"], &[], 1, 3),
        (&["2001:db8::/48"], &["2001:db8::1"], 1, 4),
        (&["2001:db8::1", "2001:db8::3", "2001:db8:0:1::1"], &["2001:db8::/127"], 1, 4),
        (&["2001:db8:0:0:ffff:ffff:ffff:ffff", "2001:db8:0:1::"], &[], 1, 4),
        (
            &["ffff:ffff:ffff:ffff::/64", "ffff:ffff:ffff:ffff:8000::/65"],
            &["ffff:ffff:ffff:ffff::/66"],
            1,
            2,
        ),
        (&["10.0.0.0/8", "2001:db8::/32"], &["10.0.0.0/8", "2001:db8::/33"], 3, 4),
    ];
    for (allowed, blocked, ranges4, ranges6) in rows {
        let policy = policy(
            &[(ListKind::Allow, "a", allowed), (ListKind::Block, "b", blocked)],
            ssh_from(&["a"]),
        );
        check(&policy, &[], SSH);
        let (compiled, _) = compiled(&policy);
        let got = (compiled.v4.starts.len(), compiled.v6.starts.len());
        assert_eq!(
            got,
            (*ranges4, *ranges6),
            "{allowed:?} {blocked:?}: {:?} {:?}",
            compiled.v4,
            compiled.v6
        );
    }
}

#[test]
fn a_deep_table_only_where_the_lower_half_decides() {
    let with = |entries: &[&str]| {
        compiled(&policy(&[(ListKind::Allow, "a", entries)], ssh_from(&["a"]))).0
    };
    assert_eq!(with(&["2001:db8::/64", "2001:db8::1"]).v6.deep.len(), 0, "the /64 says it all");
    assert_eq!(
        with(&["2001:db8::/65", "2001:db8:0:0:8000::/65"]).v6.deep.len(),
        0,
        "two halves make a whole"
    );
    let compiled = with(&["2001:db8::1", "2001:db8::2", "2001:db8:0:9::/96"]);
    assert_eq!(compiled.v6.deep.len(), 2);
    assert_eq!(compiled.v6.classes.iter().filter(|class| **class & DEEP != 0).count(), 2);
    assert_eq!(compiled.v6.low_starts, [0, 1, 3, 0, 1 << 32]);
    assert_ne!(compiled.features & feature::DEEP6, 0);
}

#[test]
fn the_index_is_as_small_as_the_set() {
    let with = |entries: &[&str]| {
        compiled(&policy(&[(ListKind::Allow, "a", entries)], ssh_from(&["a"]))).0
    };
    let one = with(&["255.255.255.255"]);
    let index = one.generation.index4;
    assert_eq!((index.base, index.shift, index.last, index.below), (u32::MAX, 0, 0, 0));
    let two = with(&["10.0.0.0/32"]);
    assert_eq!(
        (two.generation.index4.shift, two.v4.index.len()),
        (0, 2),
        "10.0.0.0 and what follows it"
    );
    let whole = with(&["0.0.0.0/0"]);
    assert_eq!((whole.v4.index.len(), whole.v4.index[0].inside), (1, 0));
    assert_eq!(whole.source_class("1.2.3.4".parse().unwrap()), 1);
    let wide = with(&["0.0.0.1/32", "255.255.255.255/32"]);
    assert!(wide.v4.index.len() <= 1 << 16 && wide.generation.index4.shift == 16);
}

#[test]
fn features_are_exact() {
    let empty =
        policy(&[(ListKind::Allow, "a", &[]), (ListKind::Block, "b", &[])], ssh_from(&["a"]));
    let features = |change: &dyn Fn(&mut Policy)| {
        let mut policy = empty.clone();
        change(&mut policy);
        compiled(&policy).0.features
    };
    let add = |policy: &mut Policy, kind, list: &str, prefix: &str| {
        policy.lists.add(kind, list, &[Entry::from(prefix.parse::<Prefix>().unwrap())]).unwrap();
    };
    let limit = RateLimit { rate: Rate { count: 20, period: Period::Second }, burst: 40 };
    assert_eq!(features(&|_| {}), 0);
    assert_eq!(
        features(&|policy| add(policy, ListKind::Allow, "a", "10.0.0.0/8")),
        feature::SOURCES4
    );
    assert_eq!(
        features(&|policy| add(policy, ListKind::Allow, "a", "2001:db8::/64")),
        feature::SOURCES6
    );
    assert_eq!(
        features(&|policy| add(policy, ListKind::Allow, "a", "::1")),
        feature::SOURCES6 | feature::DEEP6
    );
    assert_eq!(
        features(&|policy| add(policy, ListKind::Block, "b", "0.0.0.0/0")),
        feature::SOURCES4 | feature::BLOCKED
    );
    assert_eq!(
        features(&|policy| policy.own_addresses = vec!["::1".parse().unwrap()]),
        feature::SOURCES6 | feature::DEEP6
    );
    assert_eq!(features(&|policy| policy.limits.packets_per_source = Some(limit)), feature::LIMITS);
    assert_eq!(
        features(&|policy| {
            policy.egress =
                Arc::new(crate::policy::model::Egress { default: Action::Deny, rules: Vec::new() });
        }),
        feature::EGRESS
    );
}

#[test]
fn lists_that_nothing_uses_and_lists_used_alike_need_no_class_of_their_own() {
    let entries: &[&str] = &["10.0.0.0/8"];
    let others: &[&str] = &["10.1.0.0/16", "192.0.2.0/24"];
    let lists = &[
        (ListKind::Allow, "admins", entries),
        (ListKind::Allow, "ops", others),
        (ListKind::Allow, "unused", &["172.16.0.0/12"][..]),
        (ListKind::Block, "abuse", &["10.9.0.0/16"][..]),
        (ListKind::Block, "bots", &["10.9.9.0/24", "203.0.113.0/24"][..]),
    ];
    let policy = policy(lists, ssh_from(&["admins", "ops"]));
    check(&policy, &[], SSH);
    let (compiled, _) = compiled(&policy);
    // none, allowed, blocked, and both at once
    assert_eq!(
        (
            compiled.generation.stride,
            compiled.generation.first_blocked,
            compiled.generation.first_martian
        ),
        (4, 2, 4)
    );
}

#[test]
fn own_addresses_are_martians_unless_chosen_otherwise() {
    let mut policy = policy(
        &[(ListKind::Allow, "a", &["192.0.2.0/24"]), (ListKind::Block, "b", &["192.0.2.7"])],
        ssh_from(&["a"]),
    );
    policy.own_addresses = vec!["192.0.2.7".parse().unwrap(), "2001:db8::7".parse().unwrap()];
    check(&policy, &[], SSH);
    let generation = compiled(&policy).0.generation;
    assert_eq!(generation.stride - generation.first_martian, 2, "with the lists, and without");
    let features = compiled(&policy).0.features;
    assert_ne!(
        features & feature::BLOCKED,
        0,
        "the blocklist counts although its one entry is martian"
    );
    policy.choices.martians = Choice::Pass;
    check(&policy, &[], SSH);
    let generation = compiled(&policy).0.generation;
    assert_eq!((generation.first_martian, generation.stride), (3, 3));
}

#[test]
fn ports_say_whether_a_source_needs_to_be_looked_up() {
    let mut policy = policy(
        &[(ListKind::Allow, "a", &["192.0.2.0/24"])],
        vec![
            rule("web", &[Protocol::TCP], &[(80, 80), (65535, 65535)], Peers::Any),
            rule("ssh", &[Protocol::TCP], &[(22, 22)], lists(&["a"])),
            rule("tunnel", &[Protocol(47)], &[], lists(&["a"])),
        ],
    );
    let flags = |compiled: &Compiled, protocol, port| {
        compiled.ports[super::super::port_index(protocol, port)].flags
    };
    let (open, _) = compiled(&policy);
    assert_eq!(flags(&open, Protocol::TCP, 80), PORT_UNIFORM | PORT_SERVED);
    assert_eq!(flags(&open, Protocol::TCP, 65535), PORT_UNIFORM | PORT_SERVED);
    assert_eq!(flags(&open, Protocol::TCP, 22), PORT_SERVED);
    assert_eq!(flags(&open, Protocol(47), 0), PORT_SERVED);
    assert_eq!(flags(&open, Protocol::TCP, 25), PORT_UNIFORM);
    assert_eq!(flags(&open, Protocol::UDP, 80), PORT_UNIFORM);
    let slots: Vec<u8> = [80, 65535, 22, 25].map(|port| open.ports[port].slot).to_vec();
    assert_eq!(slots, [1, 2, 3, 0]);

    policy.own_addresses = vec!["198.51.100.1".parse().unwrap()];
    let (guarded, _) = compiled(&policy);
    assert_eq!(
        flags(&guarded, Protocol::TCP, 80),
        PORT_UNIFORM | PORT_SERVED,
        "open to all: own addresses as well"
    );
    assert_eq!(flags(&guarded, Protocol::TCP, 22), PORT_SERVED);
    assert_eq!(flags(&guarded, Protocol::TCP, 25), PORT_UNIFORM, "a closed port is closed to all");
}

#[test]
fn limits_keep_their_places() {
    let limit =
        |count| Some(RateLimit { rate: Rate { count, period: Period::Second }, burst: count });
    let mut policy = policy(
        &[],
        vec![
            rule("a", &[Protocol::TCP], &[(1, 1)], Peers::Any),
            Rule { limit: limit(7), ..rule("b", &[Protocol::TCP], &[(2, 2)], Peers::Any) },
            Rule { limit: limit(9), ..rule("c", &[Protocol::TCP], &[(3, 3)], Peers::Any) },
        ],
    );
    let (compiled_with, _) = compiled(&policy);
    let limit_of = |compiled: &Compiled, port| {
        compiled.limits[usize::from(compiled.cell(Protocol::TCP, port, 0).limit())].burst >> 20
    };
    assert_eq!([1, 2, 3].map(|port| limit_of(&compiled_with, port)), [0, 7, 9]);
    assert_eq!(
        (compiled_with.generation.echo_limit, compiled_with.generation.packet_limit),
        (1, 0)
    );
    assert_eq!(compiled_with.limits[1].burst >> 20, 200);
    policy.limits.packets_per_source = limit(11);
    policy.choices.echo = crate::policy::config::Echo::Drop;
    let (compiled_with, _) = compiled(&policy);
    assert_eq!([1, 2, 3].map(|port| limit_of(&compiled_with, port)), [0, 7, 9]);
    assert_eq!(
        (compiled_with.generation.echo_limit, compiled_with.generation.packet_limit),
        (0, 2)
    );
    assert_eq!(compiled_with.limits[2].burst >> 20, 11);
}

#[test]
fn of_two_rules_that_match_the_first_wins() {
    let all = rule("all", &[Protocol::TCP], &[(20, 30)], Peers::Any);
    let staff = rule("staff", &[Protocol::TCP], &[(22, 22)], lists(&["a"]));
    let (inside, outside) = ("192.0.2.1".parse().unwrap(), "198.51.100.1".parse().unwrap());
    for (rules, expected) in
        [([all.clone(), staff.clone()], ["all", "all"]), ([staff, all], ["staff", "all"])]
    {
        let policy = policy(&[(ListKind::Allow, "a", &["192.0.2.0/24"])], rules.into());
        check(&policy, &[inside, outside], SSH);
        let (compiled, labels) = compiled(&policy);
        let rule = |address| {
            let cell = compiled.cell(Protocol::TCP, 22, compiled.source_class(address));
            labels.describe(cell.counter()).unwrap().rule.unwrap().to_owned()
        };
        assert_eq!([rule(inside), rule(outside)], expected);
    }
}

#[test]
fn slow_too_many_verdicts_are_refused() {
    // 12 lists that overlap in every way, times more port classes than fit.
    let names: Vec<String> = (0..12).map(|bit| format!("l{bit}")).collect();
    let entries: Vec<Vec<String>> = (0..12)
        .map(|bit| {
            (0u32..4096)
                .filter(|i| i & 1 << bit != 0)
                .map(|i| format!("10.0.{}.{}", i >> 8, i & 255))
                .collect()
        })
        .collect();
    let entries: Vec<Vec<&str>> =
        entries.iter().map(|list| list.iter().map(String::as_str).collect()).collect();
    let all: Vec<_> = names
        .iter()
        .zip(&entries)
        .map(|(name, entries)| (ListKind::Allow, name.as_str(), &entries[..]))
        .collect();
    let rules = |count: u16| {
        (0..count)
            .map(|i| {
                rule(
                    &format!("r{i}"),
                    &[Protocol::TCP],
                    &[(i + 1, i + 1)],
                    lists(&[&names[usize::from(i) % 12]]),
                )
            })
            .collect()
    };
    let fits = compile(&policy(&all, rules(500)), &mut Labels::new(), &mut Slots::default(), 250);
    assert_eq!(fits.unwrap().generation.stride, 4096);
    let error = compile(&policy(&all, rules(1024)), &mut Labels::new(), &mut Slots::default(), 250)
        .unwrap_err();
    assert!(matches!(error, super::super::CompileError::TooManyCells { .. }), "{error}");
    assert!(!error.help().is_empty());
}
