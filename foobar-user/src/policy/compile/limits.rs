//! The table of rate limits.

use foobar_common::tables::Limit;

use crate::policy::{config::Echo, model::Policy};

/// Echo requests have the first place, packets a source the second, whether they are limited or not: then the buckets of a
/// limit stay its own when another one comes or goes.
const ECHO: u16 = 1;
const PACKETS: u16 = 2;
const FIRST_RULE: u16 = 3;

/// The limit of echo requests, 0 if there is none.
pub(super) fn of_echo(policy: &Policy) -> u16 {
    if matches!(policy.choices.echo, Echo::Limited(_)) { ECHO } else { 0 }
}

/// The limit of packets a source, 0 if there is none.
pub(super) fn of_packets(policy: &Policy) -> u16 {
    if policy.limits.packets_per_source.is_some() { PACKETS } else { 0 }
}

/// The limit of a rule, 0 if it has none. [`crate::policy::config::MAX_RULES`] keeps it below
/// [`foobar_common::tables::Cell::MAX_LIMIT`].
pub(super) fn of_rule(policy: &Policy, rule: u32) -> u16 {
    let rules = &policy.rules;
    if rules[rule as usize].limit.is_none() {
        return 0;
    }
    FIRST_RULE + rules[..rule as usize].iter().filter(|rule| rule.limit.is_some()).count() as u16
}

/// All limits, by number. The first is unused.
pub(super) fn table(policy: &Policy, hz: u64) -> Vec<Limit> {
    let echo = match policy.choices.echo {
        Echo::Limited(limit) => Some(limit),
        Echo::Drop => None,
    };
    let fixed = [None, echo, policy.limits.packets_per_source];
    let rules = policy.rules.iter().filter_map(|rule| rule.limit).map(Some);
    fixed
        .into_iter()
        .chain(rules)
        .map(|limit| limit.map(|limit| limit.compile(hz)).unwrap_or_default())
        .collect()
}
