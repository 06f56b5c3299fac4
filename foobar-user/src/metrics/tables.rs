//! How full the lists and the table of flows are.

use super::bounds::{MAX_LISTS, Names};
use super::catalogue as row;
use super::family::Family;
use super::snapshot::Snapshot;

/// The families of this section.
pub fn families(snapshot: &Snapshot) -> Vec<Family> {
    let names = Names::new(snapshot.lists.iter().map(|list| list.name.as_str()), MAX_LISTS);
    let mut sums = vec![[[0; 2]; 2]; names.labels().count()];
    for list in &snapshot.lists {
        if let Some(position) = names.position(&list.name) {
            let [v4, v6] = &mut sums[position];
            for (sum, more) in [
                (v4, [list.entries_v4, list.capacity_v4]),
                (v6, [list.entries_v6, list.capacity_v6]),
            ] {
                sum[0] += more[0];
                sum[1] += more[1];
            }
        }
    }
    let mut entries = Family::new(&row::LIST_ENTRIES);
    let mut capacity = Family::new(&row::LIST_CAPACITY);
    for (name, by_version) in names.labels().zip(sums) {
        for (ip_version, [used, most]) in ["4", "6"].into_iter().zip(by_version) {
            entries.add(&[name, ip_version], used as f64);
            capacity.add(&[name, ip_version], most as f64);
        }
    }
    vec![
        entries,
        capacity,
        Family::single(&row::FLOW_TABLE_ENTRIES, snapshot.flows.entries as f64),
        Family::single(&row::FLOW_TABLE_MAX_ENTRIES, snapshot.flows.max_entries as f64),
    ]
}
