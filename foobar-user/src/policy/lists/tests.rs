//! Changes at runtime over what the configuration says.

use std::collections::BTreeSet;

use proptest::{collection::vec, prelude::*, sample::select};

use super::*;
use crate::policy::{config::ListConfig, net::Net};

fn prefix(text: &str) -> Prefix {
    text.parse().unwrap()
}

fn entry(text: &str) -> Entry {
    Entry::from(prefix(text))
}

fn until(text: &str, end: u64) -> Entry {
    Entry { expires_at: Some(end), ..entry(text) }
}

fn config(lists: &[(ListKind, &str, &[&str])]) -> Config {
    let lists = lists.iter().map(|(kind, name, entries)| ListConfig {
        kind: *kind,
        name: (*name).to_owned(),
        entries: std::sync::Arc::new(entries.iter().map(|text| prefix(text)).collect()),
        file: None,
        inline: crate::policy::PrefixSet::default(),
    });
    Config { lists: lists.collect(), ..Config::default() }
}

const ALLOW: ListKind = ListKind::Allow;

fn admins(entries: &[&str]) -> Lists {
    Lists::from_config(&config(&[(ALLOW, "admins", entries), (ListKind::Block, "abuse", &[])]))
}

fn texts(lists: &Lists, name: &str) -> Vec<String> {
    lists.by_name(name).unwrap().prefixes().map(|prefix| prefix.to_string()).collect()
}

#[test]
fn adding_and_removing() {
    let mut lists = admins(&["10.0.0.0/8", "2001:db8::/32"]);
    let added = lists
        .add(ALLOW, "admins", &[entry("10.1.0.0/16"), entry("10.0.0.0/8"), entry("10.1.0.0/16")])
        .unwrap();
    assert_eq!((added.new, added.updated, added.unchanged), (1, 0, 1));
    assert_eq!(texts(&lists, "admins"), ["10.0.0.0/8", "10.1.0.0/16", "2001:db8::/32"]);
    assert_eq!(
        (lists.by_name("admins").unwrap().len4(), lists.by_name("admins").unwrap().len6()),
        (2, 1)
    );

    let removed = lists.remove(ALLOW, "admins", &[prefix("10.0.0.0/8")]).unwrap();
    assert_eq!(removed.notes, ["1 longer entry is still there inside 10.0.0.0/8"]);
    assert_eq!(texts(&lists, "admins"), ["10.1.0.0/16", "2001:db8::/32"]);
    lists.add(ALLOW, "admins", &[entry("10.0.0.0/8")]).unwrap();
    let removed = lists.remove(ALLOW, "admins", &[prefix("10.1.0.0/16")]).unwrap();
    assert_eq!(removed.notes, ["10.1.0.0/16 is still covered by 10.0.0.0/8"]);
    assert!(lists.overlays().is_empty(), "all is as the configuration says again");
}

#[test]
fn what_cannot_be_done_changes_nothing_and_says_what_to_do() {
    let mut lists = admins(&["10.0.0.0/8"]);
    let help = |error: ListError| format!("{error}: {}", error.help());
    let error =
        lists.remove(ALLOW, "admins", &[prefix("10.0.0.0/8"), prefix("10.1.0.0/16")]).unwrap_err();
    assert_eq!(
        help(error),
        "10.1.0.0/16 is no entry of \"admins\": 10.0.0.0/8 covers it; remove that entry, or block the address"
    );
    assert_eq!(lists.by_name("admins").unwrap().len(), 1, "all or nothing");
    let error = lists.remove(ALLOW, "admins", &[prefix("11.0.0.0/8")]).unwrap_err();
    assert!(help(error).contains("`foobar allow list admins`"));
    let blocked = ListError::NotAnEntry {
        kind: ListKind::Block,
        list: "abuse".into(),
        prefix: prefix("10.1.0.0/16"),
        covered_by: Some(prefix("10.0.0.0/8")),
    };
    assert!(blocked.help().contains("remove that entry, and add what is to stay blocked"));
    assert_eq!(
        help(lists.add(ALLOW, "admin", &[]).unwrap_err()),
        "there is no allowlist \"admin\": did you mean admins?"
    );
    assert_eq!(
        help(lists.add(ALLOW, "abuse", &[]).unwrap_err()),
        "there is no allowlist \"abuse\": abuse is a blocklist: use `foobar block`"
    );
    assert_eq!(
        help(lists.add(ALLOW, "zzz", &[]).unwrap_err()),
        "there is no allowlist \"zzz\": allowlists are: admins"
    );
    let error = Lists::default().get(ALLOW, "x").unwrap_err();
    assert_eq!(
        help(error),
        "there is no allowlist \"x\": add [allowlists.x] to the configuration and reload it"
    );
    for comment in ["x".repeat(201), "two\nlines".into()] {
        let bad = Entry { comment: Some(comment), ..entry("10.0.0.1") };
        let error = lists.add(ALLOW, "admins", &[entry("10.0.0.2"), bad]).unwrap_err();
        assert!(help(error).contains("at most 200 printable characters"));
    }
    assert_eq!(lists.by_name("admins").unwrap().len(), 1);
    let many =
        (0..=MAX_ENTRIES as u32).map(|address| Prefix::V4(Net { address, length: 32 })).collect();
    let error = lists.replace_set(ALLOW, "admins", Arc::new(many)).unwrap_err();
    assert!(matches!(error, ListError::TooMany { entries, .. } if entries == MAX_ENTRIES + 1));
    assert_eq!(texts(&lists, "admins"), ["10.0.0.0/8"]);
}

#[test]
fn comments_and_ends() {
    let mut lists = admins(&["10.0.0.0/8"]);
    let with_comment = Entry { comment: Some("office".into()), ..until("192.0.2.1", 100) };
    lists.add(ALLOW, "admins", &[with_comment.clone(), until("192.0.2.2", 200)]).unwrap();
    assert_eq!(lists.next_expiry(), Some(100));
    assert_eq!(
        lists.by_name("admins").unwrap().get(&prefix("192.0.2.1")),
        Some(with_comment.clone())
    );
    assert_eq!(lists.expire(99), []);
    let later = lists.add(ALLOW, "admins", &[until("192.0.2.2", 300)]).unwrap();
    assert_eq!((later.new, later.updated), (0, 1));
    let expired = lists.expire(200);
    assert_eq!(expired, [Expired { kind: ALLOW, list: "admins".into(), entry: with_comment }]);
    assert_eq!(lists.next_expiry(), Some(300));
    lists.add(ALLOW, "admins", &[entry("192.0.2.2")]).unwrap();
    assert_eq!(lists.next_expiry(), None, "added without an end, it lasts");

    let noted = lists.add(ALLOW, "admins", &[until("10.0.0.0/8", 400)]).unwrap();
    assert_eq!(noted.notes, ["10.0.0.0/8 is in the configuration, so it has no end"]);
    assert_eq!(lists.next_expiry(), None);
    lists.remove(ALLOW, "admins", &[prefix("10.0.0.0/8")]).unwrap();
    lists.add(ALLOW, "admins", &[until("10.0.0.0/8", 400)]).unwrap();
    lists.expire(400);
    assert_eq!(
        texts(&lists, "admins"),
        ["192.0.2.2/32"],
        "it was removed from the configuration's entries before"
    );
}

#[test]
fn an_entry_that_ends_leaves_what_others_cover() {
    let mut lists = admins(&["10.0.0.0/8"]);
    lists.add(ALLOW, "admins", &[until("10.1.0.0/16", 5), entry("10.1.2.0/24")]).unwrap();
    lists.expire(10);
    let covering: Vec<_> = lists.by_name("admins").unwrap().covering("10.1.2.3".parse().unwrap());
    assert_eq!(covering, [entry("10.1.2.0/24"), entry("10.0.0.0/8")]);
}

#[test]
fn replacing_and_resetting() {
    let mut lists = admins(&["10.0.0.0/8", "192.0.2.0/24"]);
    lists.add(ALLOW, "admins", &[entry("2001:db8::/32")]).unwrap();
    let replaced = lists
        .replace(ALLOW, "admins", &[entry("192.0.2.0/24"), until("198.51.100.1", 50)])
        .unwrap();
    assert_eq!(replaced, Replaced { before: 3, after: 2, added: 1, removed: 2 });
    lists.expire(50);
    assert_eq!(texts(&lists, "admins"), ["192.0.2.0/24"]);
    lists.add(ALLOW, "admins", &[until("192.0.2.0/24", 60)]).unwrap();
    assert_eq!(lists.next_expiry(), Some(60), "entries of a replacement may get an end");
    lists.expire(60);
    assert!(lists.by_name("admins").unwrap().is_empty());
    let reset = lists.reset(ALLOW, "admins").unwrap();
    assert_eq!(reset, Replaced { before: 0, after: 2, added: 2, removed: 0 });
    assert!(!lists.by_name("admins").unwrap().is_changed());
}

#[test]
fn changes_survive_storage_and_a_reload() {
    let mut lists = admins(&["10.0.0.0/8", "192.0.2.0/24"]);
    lists
        .add(ALLOW, "admins", &[Entry { comment: Some("x".into()), ..until("198.51.100.1", 50) }])
        .unwrap();
    lists.remove(ALLOW, "admins", &[prefix("10.0.0.0/8")]).unwrap();
    lists.replace(ListKind::Block, "abuse", &[entry("203.0.113.0/24")]).unwrap();
    let json = serde_json::to_string(&lists.overlays()).unwrap();
    assert_eq!(
        json,
        r#"[{"kind":"block","name":"abuse","overlay":{"replaced":["203.0.113.0/24"]}},{"kind":"allow","name":"admins","overlay":{"added":["198.51.100.1/32"],"removed":["10.0.0.0/8"],"details":{"198.51.100.1/32":{"comment":"x","expires_at":50}}}}]"#
    );
    let stored: Vec<NamedOverlay> = serde_json::from_str(&json).unwrap();
    assert_eq!(stored, lists.overlays());

    let mut restarted = admins(&["10.0.0.0/8", "192.0.2.0/24"]);
    assert!(restarted.set_overlays(stored).is_empty());
    assert_eq!(texts(&restarted, "admins"), ["192.0.2.0/24", "198.51.100.1/32"]);

    // The configuration lost an entry that was removed, and a list.
    let (reloaded, lost) =
        restarted.reconfigure(&config(&[(ALLOW, "admins", &["192.0.2.0/24", "172.16.0.0/12"])]));
    assert_eq!(texts(&reloaded, "admins"), ["172.16.0.0/12", "192.0.2.0/24", "198.51.100.1/32"]);
    assert!(reloaded.overlays()[0].overlay.removed.is_empty());
    assert_eq!(lost.len(), 1);
    assert_eq!(lost[0].name, "abuse");
}

/// Every change as the plainest model has it: a set of prefixes.
#[derive(Clone, Debug)]
enum Change {
    Add(Vec<Prefix>),
    Remove(Prefix),
    Replace(Vec<Prefix>),
    Store,
}

fn any_prefix() -> impl Strategy<Value = Prefix> {
    let lengths = select(vec![0u8, 8, 9, 16, 24, 32]);
    let short = (any::<u8>(), lengths).prop_map(|(bits, length)| {
        Prefix::V4(Net::holding(u32::from(bits & 3) << 23 | 0x0a00_0000, length))
    });
    let long = (any::<u8>(), select(vec![0u8, 63, 64, 65, 128])).prop_map(|(bits, length)| {
        Prefix::V6(Net::holding(u128::from(bits & 3) << 63 | u128::from(bits >> 6), length))
    });
    prop_oneof![short, long]
}

proptest! {
    #[test]
    fn a_list_is_the_set_that_its_changes_make(
        configured in vec(any_prefix(), 0..8),
        changes in vec(
            prop_oneof![
                4 => vec(any_prefix(), 1..12).prop_map(Change::Add),
                4 => any_prefix().prop_map(Change::Remove),
                1 => vec(any_prefix(), 0..6).prop_map(Change::Replace),
                1 => Just(Change::Store),
            ],
            0..20,
        ),
    ) {
        let texts: Vec<String> = configured.iter().map(Prefix::to_string).collect();
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let mut lists = admins(&texts);
        let mut model: BTreeSet<Prefix> = configured.into_iter().collect();
        for change in changes {
            match change {
                Change::Add(prefixes) => {
                    let entries: Vec<Entry> = prefixes.iter().copied().map(Entry::from).collect();
                    let before = model.len();
                    model.extend(&prefixes);
                    let added = lists.add(ALLOW, "admins", &entries).unwrap();
                    prop_assert_eq!(added.new, model.len() - before);
                }
                Change::Remove(prefix) => {
                    let result = lists.remove(ALLOW, "admins", &[prefix]);
                    prop_assert_eq!(result.is_ok(), model.remove(&prefix));
                }
                Change::Replace(prefixes) => {
                    model = prefixes.iter().copied().collect();
                    let set = Arc::new(prefixes.into_iter().collect());
                    lists.replace_set(ALLOW, "admins", set).unwrap();
                }
                Change::Store => {
                    let overlays = lists.overlays();
                    prop_assert!(lists.set_overlays(overlays.clone()).is_empty());
                    prop_assert_eq!(lists.overlays(), overlays);
                }
            }
            let list = lists.by_name("admins").unwrap();
            prop_assert_eq!(list.prefixes().collect::<Vec<_>>(), model.iter().copied().collect::<Vec<_>>());
            prop_assert_eq!(list.len(), model.len());
            prop_assert_eq!(list.len4(), model.iter().filter(|prefix| prefix.is_ipv4()).count());
        }
    }
}
