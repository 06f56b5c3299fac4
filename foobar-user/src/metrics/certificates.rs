//! Certificates: when they expire.

use super::catalogue as row;
use super::family::Family;
use super::snapshot::Snapshot;

/// Clients that ask for no name.
const NO_NAME: &str = "default";

/// The families of this part.
pub fn families(snapshot: &Snapshot) -> Vec<Family> {
    let mut expiry = Family::new(&row::TLS_CERTIFICATE_EXPIRY);
    let mut failures = Family::new(&row::TLS_CERTIFICATE_READ_FAILURES);
    for port in snapshot.certificates.iter() {
        let number = port.number.to_string();
        for (name, time) in &port.expiries {
            // Exact: there are 2^53 seconds in 285 million years.
            expiry.add(&[&number, name.as_deref().unwrap_or(NO_NAME)], *time as f64);
        }
        failures.add(&[&number], port.failures as f64);
    }
    vec![expiry, failures]
}
