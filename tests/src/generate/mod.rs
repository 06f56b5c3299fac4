//! Random policies and random frames, from a seed. The frames are made to hit: their addresses stand at the edges of the
//! policy's prefixes, their ports are those of its rules or next to them, and many answer a frame that went before.
//!
//! - [`policy`]: random policies that the compiler accepts.
//! - [`pool`]: addresses and ports worth trying.
//! - [`traffic`]: a conversation of frames in both directions.
//! - [`mutate`]: frames bent and broken.

mod mutate;
mod policy;
mod pool;
mod traffic;

pub use policy::policy;
pub use traffic::Traffic;

/// One of several, each as likely.
fn one<'a, T>(random: &mut fastrand::Rng, choices: &'a [T]) -> &'a T {
    &choices[random.usize(..choices.len())]
}

/// True with this chance of a hundred.
fn percent(random: &mut fastrand::Rng, chance: u8) -> bool {
    random.u8(..100) < chance
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Model, Opinion};
    use std::collections::BTreeMap;

    /// Random frames prove something only if they reach every corner.
    #[test]
    fn the_frames_reach_every_reason() {
        let mut reasons: BTreeMap<&str, usize> = BTreeMap::new();
        let mut random = fastrand::Rng::with_seed(1);
        for _ in 0..200 {
            let policy = policy(&mut random);
            let mut model = Model::new(policy.clone());
            for moment in Traffic::new(&policy, random.fork()).take(100) {
                let opinion = model.judge(moment.step.direction, &moment.step.frame, moment.time);
                let (Opinion::Pass(reason) | Opinion::Drop(reason) | Opinion::Either(reason)) =
                    opinion;
                *reasons.entry(reason).or_default() += 1;
            }
        }
        let unreached: Vec<&str> = [
            "rule",
            "reply",
            "arp",
            "neighbor_discovery",
            "mld",
            "icmp_error",
            "dhcp",
            "echo_request",
            "link_control",
            "fragment_tail",
            "egress",
            "egress_served",
            "blocklist",
            "no_rule",
            "source_not_allowed",
            "unsolicited",
            "martian",
            "truncated",
            "malformed",
            "ethertype",
            "vlan_depth",
            "protocol",
            "ipv4_options",
            "extension_header",
            "source_route",
            "fragment_short",
            "fragment_unknown",
            "fragment_overlap",
            "fragment",
            "icmp_type",
            "icmp_unrelated",
            "not_on_link",
            "invalid_flags",
            "disabled",
        ]
        .into_iter()
        .filter(|reason| !reasons.contains_key(reason))
        .collect();
        assert!(unreached.is_empty(), "never seen: {unreached:?}; seen: {reasons:?}");
        let passed = reasons.get("rule").copied().unwrap_or_default();
        assert!(passed > 500, "only {passed} frames pass by a rule: {reasons:?}");
    }
}
