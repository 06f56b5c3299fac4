//! Requests as probes on the servers' functions count them.

use foobar_common::{http::stats::CLASSES, probes::DURATION_BOUNDS_US};

use super::catalogue as row;
use super::family::Family;
use super::snapshot::Snapshot;

/// Of the version of HTTP, which the functions do not say.
const UNKNOWN_VERSION: &str = "unknown";

/// Adds the ports that probes count to the families of all sources.
pub fn add(snapshot: &Snapshot, requests: &mut Family, aborted: &mut Family, sources: &mut Family) {
    for port in snapshot.probed.iter().filter(|port| !port.reads) {
        let number = port.number.to_string();
        let classes = CLASSES.iter().zip(port.stats.requests);
        for (class, count) in classes.take(if port.tells_classes { CLASSES.len() } else { 1 }) {
            requests.add(&[&number, UNKNOWN_VERSION, class], count as f64);
        }
        if port.tells_aborted {
            aborted.add(&[&number], port.stats.aborted as f64);
        }
        sources.add(&[&number, port.source], 1.0);
    }
}

/// What probes alone tell.
pub fn families(snapshot: &Snapshot) -> Vec<Family> {
    let mut duration = Family::new(&row::HTTP_REQUEST_DURATION);
    let mut placed = Family::new(&row::HTTP_PROBES_PLACED);
    for port in &snapshot.probed {
        let number = port.number.to_string();
        if !port.reads {
            duration.add_histogram(&[&number], &DURATION_BOUNDS_US, &port.stats.duration);
        }
        placed.add(&[&number], f64::from(port.problem.is_none()));
    }
    vec![duration, placed]
}
