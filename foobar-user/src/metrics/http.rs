//! Requests: where they are counted, how many were answered and how fast.

use foobar_common::http::stats::{CLASSES, FIRST_BYTE_BOUNDS_US, HttpStats, VERSIONS};

use super::catalogue::{self as row, Row};
use super::family::Family;
use super::snapshot::{HttpPort, Snapshot};
use super::{probes, statistics};

/// The families of this section.
pub fn families(snapshot: &Snapshot) -> Vec<Family> {
    let mut requests = Family::new(&row::HTTP_REQUESTS);
    let mut first_byte = Family::new(&row::HTTP_TIME_TO_FIRST_BYTE);
    let mut sources = Family::new(&row::HTTP_SOURCE_INFO);
    for HttpPort { number, source, stats } in &snapshot.http {
        let port = number.to_string();
        for (version, classes) in VERSIONS.iter().zip(&stats.requests) {
            for (class, count) in CLASSES.iter().zip(classes) {
                requests.add(&[&port, version, class], *count as f64);
            }
        }
        first_byte.add_histogram(&[&port], &FIRST_BYTE_BOUNDS_US, &stats.first_byte);
        sources.add(&[&port, source], 1.0);
    }
    let mut aborted = Family::new(&row::HTTP_REQUESTS_ABORTED);
    for port in &snapshot.http {
        aborted.add(&[&port.number.to_string()], port.stats.aborted as f64);
    }
    statistics::add(snapshot, &mut requests, &mut sources);
    probes::add(snapshot, &mut requests, &mut aborted, &mut sources);
    for port in snapshot.tls.iter().filter(|port| port.turns) {
        let source = if snapshot.reads_packets { "turns" } else { "none" };
        sources.add(&[&port.number.to_string(), source], 1.0);
    }
    let by_port = |row: &'static Row, value: &dyn Fn(&HttpStats) -> u64| {
        let mut family = Family::new(row);
        for port in &snapshot.http {
            family.add(&[&port.number.to_string()], value(&port.stats) as f64);
        }
        family
    };
    let mut families = vec![
        requests,
        aborted,
        first_byte,
        by_port(&row::HTTP_UNPARSED, &|stats| stats.unparsed),
        by_port(&row::HTTP_CONNECTIONS_REFUSED, &|stats| stats.refused),
        sources,
    ];
    families.extend(probes::families(snapshot));
    families.extend(statistics::families(snapshot));
    families
}
