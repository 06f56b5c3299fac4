//! The kernel programs, the policy in force, the configuration and foobar itself.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{SystemTime, UNIX_EPOCH};

use super::catalogue::{self as row, Row};
use super::family::Family;
use super::snapshot::Snapshot;

/// The families of this section.
pub fn families(snapshot: &Snapshot) -> Vec<Family> {
    let Snapshot { build, policy, reload, .. } = snapshot;
    let mut build_info = Family::new(&row::BUILD_INFO);
    build_info.add(&[&build.version, &build.revision], 1.0);
    let mut families = vec![
        counts(&row::BPF_MAP_UPDATE_FAILURES, &snapshot.map_update_failures),
        counts(&row::EVENTS_LOST, &snapshot.events_lost),
        Family::single(&row::POLICY_GENERATION, policy.generation as f64),
        Family::single(&row::POLICY_LAST_APPLY, seconds_since_1970(policy.applied_at)),
        Family::single(&row::POLICY_ENFORCING, f64::from(policy.enforcing)),
        Family::single(&row::CONFIG_RELOAD_SUCCESSFUL, f64::from(reload.successful)),
        Family::single(
            &row::CONFIG_RELOAD_SUCCESS_TIMESTAMP,
            seconds_since_1970(reload.succeeded_at),
        ),
        Family::single(&row::CONFIG_CONFIRMATION_PENDING, f64::from(reload.confirmation_pending)),
        Family::single(&row::STATE_WRITE_SUCCESSFUL, f64::from(reload.state_written)),
        build_info,
    ];
    families.extend(attachments(snapshot));
    families
}

/// One info series for each way that a program is attached, and one for whether it is. A program that is attached in two
/// places of one name (interfaces swap names) counts as attached if all are.
fn attachments(snapshot: &Snapshot) -> [Family; 2] {
    let mut modes = BTreeSet::new();
    let mut attached = BTreeMap::new();
    for attachment in &snapshot.attachments {
        let place =
            (attachment.program.as_str(), attachment.interface.as_deref().unwrap_or_default());
        modes.insert((place, attachment.mode.as_str()));
        *attached.entry(place).or_insert(true) &= attachment.attached;
    }
    let mut info = Family::new(&row::BPF_PROGRAM_INFO);
    for ((program, interface), mode) in modes {
        info.add(&[program, interface, mode], 1.0);
    }
    let mut state = Family::new(&row::BPF_PROGRAM_ATTACHED);
    for ((program, interface), attached) in attached {
        state.add(&[program, interface], f64::from(attached));
    }
    [info, state]
}

fn counts(row: &'static Row, counts: &[(String, u64)]) -> Family {
    let mut sums = BTreeMap::new();
    for (name, count) in counts {
        *sums.entry(name.as_str()).or_insert(0) += count;
    }
    let mut family = Family::new(row);
    for (name, count) in sums {
        family.add(&[name], count as f64);
    }
    family
}

fn seconds_since_1970(time: Option<SystemTime>) -> f64 {
    time.and_then(|time| time.duration_since(UNIX_EPOCH).ok())
        .map_or(0.0, |elapsed| elapsed.as_secs_f64())
}
