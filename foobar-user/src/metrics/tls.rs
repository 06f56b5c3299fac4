//! TLS handshakes and QUIC connections of the ports that are observed as `https`.

use foobar_common::tls::{
    flow::failure,
    stats::{HANDSHAKE_BOUNDS_US, OFFERS},
    version,
};

use super::bounds::OTHER;
use super::catalogue::{self as row, Row};
use super::family::Family;
use super::snapshot::{Snapshot, TlsPort};

/// The values of the label `tls_version`, and where each is counted.
const VERSIONS: [(&str, u8); version::LEN] = [
    ("1.3", version::TLS13),
    ("1.2", version::TLS12),
    ("older", version::OLDER),
    ("unknown", version::UNKNOWN),
];

/// The value of the label `server_name` for clients that send none.
const NO_NAME: &str = "none";

/// The families of this section.
pub fn families(snapshot: &Snapshot) -> Vec<Family> {
    let ports = &snapshot.tls;
    let by_port = |row: &'static Row, value: &dyn Fn(&TlsPort) -> u64| {
        let mut family = Family::new(row);
        for port in ports {
            family.add(&[&port.number.to_string()], value(port) as f64);
        }
        family
    };
    let mut hellos = Family::new(&row::TLS_CLIENT_HELLOS);
    let mut offers = Family::new(&row::TLS_ALPN_OFFERS);
    let mut names = Family::new(&row::TLS_SERVER_NAMES);
    let mut handshakes = Family::new(&row::TLS_HANDSHAKES);
    let mut failures = Family::new(&row::TLS_FAILURES);
    let mut durations = Family::new(&row::TLS_HANDSHAKE_DURATION);
    for port in ports {
        let (number, stats) = (port.number.to_string(), &port.stats);
        for (name, at) in VERSIONS {
            let at = usize::from(at);
            hellos.add(&[&number, name], stats.hellos[at] as f64);
            handshakes.add(&[&number, name, "false"], stats.full[at] as f64);
            handshakes.add(&[&number, name, "true"], stats.resumed[at] as f64);
        }
        for (name, count) in OFFERS.iter().zip(stats.offers) {
            offers.add(&[&number, name], count as f64);
        }
        for (name, count) in failure::NAMES.iter().zip(stats.failures) {
            failures.add(&[&number, name], count as f64);
        }
        for (name, count) in &port.server_names {
            names.add(&[&number, name], *count as f64);
        }
        names.add(&[&number, OTHER], stats.other_names as f64);
        names.add(&[&number, NO_NAME], stats.no_name as f64);
        durations.add_histogram(&[&number], &HANDSHAKE_BOUNDS_US, &stats.duration);
    }
    let mut turns = Family::new(&row::HTTPS_REQUEST_TURNS);
    for port in ports.iter().filter(|port| port.turns) {
        turns.add(&[&port.number.to_string()], port.stats.turns as f64);
    }
    vec![
        hellos,
        offers,
        names,
        by_port(&row::TLS_EARLY_DATA_OFFERS, &|port| port.stats.early_data),
        by_port(&row::TLS_RETRIES, &|port| port.stats.retries),
        handshakes,
        failures,
        durations,
        by_port(&row::TLS_UNPARSED, &|port| port.stats.unparsed),
        turns,
        by_port(&row::QUIC_INITIALS, &|port| port.stats.quic_initials),
    ]
}
