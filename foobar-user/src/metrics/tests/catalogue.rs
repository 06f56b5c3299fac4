//! The catalogue itself, and that each of its rows is on the page.

use std::collections::BTreeSet;

use super::site;
use super::text::page;
use crate::metrics::catalogue::{Kind, LABELS, ROWS};

/// Rows that only a site with the thing they speak of has.
const WITH_EGRESS_RULES: [&str; 3] = [
    "foobar_egress_dropped_packets_total",
    "foobar_egress_audited_packets_total",
    "foobar_egress_rule_packets_total",
];

#[test]
fn names_follow_the_conventions() {
    let mut names = BTreeSet::new();
    for row in ROWS {
        assert!(names.insert(row.name), "{} is there twice", row.name);
        assert!(row.name.starts_with("foobar_"), "{}", row.name);
        assert_eq!(row.kind == Kind::Counter, row.name.ends_with("_total"), "{}", row.name);
        assert!(row.help.ends_with('.') && row.help.len() > 20, "{}: {}", row.name, row.help);
        for label in row.labels {
            assert!(LABELS.contains(label), "{} of {} is not described", label.name, row.name);
        }
    }
    for label in LABELS {
        assert_ne!(label.name, "type");
        assert!(
            ROWS.iter().any(|row| row.labels.contains(label)),
            "nothing has the label {}",
            label.name
        );
    }
}

#[test]
fn every_row_is_on_the_page_from_the_start_with_its_labels() {
    let mut snapshot = site::three_ports();
    let first = page(&snapshot);
    snapshot.policy.filters_egress = true;
    snapshot.policy.egress_rules = vec!["dns".into()];
    let filters_egress = page(&snapshot);
    snapshot.policy.enforcing = false;
    let audits = page(&snapshot);

    for row in ROWS {
        let shown = if WITH_EGRESS_RULES.contains(&row.name) {
            if row.name.contains("audited") { &audits } else { &filters_egress }
        } else {
            &first
        };
        assert_eq!(
            shown.kinds.get(row.name).map(String::as_str),
            Some(row.kind.name()),
            "{}",
            row.name
        );
        assert_eq!(shown.help.get(row.name).map(String::as_str), Some(row.help), "{}", row.name);
        let expected: BTreeSet<&str> = row.labels.iter().map(|label| label.name).collect();
        let samples = shown.samples.keys().filter(|(name, _)| shown.family_of(name) == row.name);
        let mut count = 0;
        for (_, labels) in samples {
            let names: BTreeSet<&str> =
                labels.keys().map(String::as_str).filter(|name| *name != "le").collect();
            assert_eq!(names, expected, "{}", row.name);
            count += 1;
        }
        assert!(count > 0, "{} has no series", row.name);
    }
    for page in [first, filters_egress, audits] {
        for name in page.kinds.keys() {
            assert!(ROWS.iter().any(|row| row.name == name), "{name} is not in the catalogue");
        }
    }
}

#[test]
fn counters_are_0_before_the_first_packet() {
    let page = page(&site::three_ports());
    for row in ROWS.iter().filter(|row| row.kind == Kind::Counter) {
        assert_eq!(page.sum(row.name), 0.0, "{}", row.name);
    }
}
