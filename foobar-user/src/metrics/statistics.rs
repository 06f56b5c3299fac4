//! Requests as the servers themselves count them.

use foobar_common::http::stats::CLASSES;

use super::catalogue as row;
use super::family::Family;
use super::snapshot::Snapshot;

/// Of the version of HTTP where the server does not say.
const UNKNOWN_VERSION: &str = "unknown";

/// Adds the ports whose requests the servers count. A class that a server does not tell apart has no series.
pub fn add(snapshot: &Snapshot, requests: &mut Family, sources: &mut Family) {
    for port in snapshot.statistics.iter() {
        let Some(source) = port.source else { continue };
        let number = port.number.to_string();
        let classes = CLASSES.iter().zip(port.counted);
        for (class, count) in classes.take(if port.tells_classes { CLASSES.len() } else { 1 }) {
            requests.add(&[&number, UNKNOWN_VERSION, class], count as f64);
        }
        sources.add(&[&number, source], 1.0);
    }
}

/// What speaks of the statistics themselves.
pub fn families(snapshot: &Snapshot) -> Vec<Family> {
    let mut up = Family::new(&row::HTTP_STATUS_PAGE_UP);
    let mut ratio = Family::new(&row::HTTP_OBSERVED_RATIO);
    for port in snapshot.statistics.iter() {
        let number = port.number.to_string();
        up.add(&[&number], f64::from(port.problem.is_none()));
        if port.source.is_none() {
            ratio.add(&[&number], port.observed_ratio.unwrap_or(f64::NAN));
        }
    }
    vec![up, ratio]
}
