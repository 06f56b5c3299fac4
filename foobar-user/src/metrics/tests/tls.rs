//! TLS and QUIC: what is shown of the kernel's statistics.

use foobar_common::tls::{flow::failure, stats::TlsStats, version};

use super::site;
use super::text::page;

#[test]
fn statistics_are_under_their_labels() {
    let mut snapshot = site::three_ports();
    let mut stats = TlsStats::default();
    stats.hellos[usize::from(version::TLS13)] = 9;
    stats.hellos[usize::from(version::UNKNOWN)] = 1;
    stats.offers = [5, 2, 1, 1, 1];
    stats.full[usize::from(version::TLS13)] = 4;
    stats.resumed[usize::from(version::TLS12)] = 3;
    stats.failures[usize::from(failure::NOT_TLS)] = 2;
    (stats.other_names, stats.no_name) = (6, 1);
    (stats.early_data, stats.retries, stats.unparsed) = (11, 12, 13);
    (stats.turns, stats.quic_initials) = (14, 15);
    stats.duration.buckets[1] = 7;
    snapshot.tls[0].stats = stats;
    snapshot.tls[0].server_names[0].1 = 3;
    let shown = page(&snapshot);
    for (name, labels, count) in [
        ("tls_client_hellos_total", &[("tls_version", "1.3")][..], 9.0),
        ("tls_client_hellos_total", &[("tls_version", "unknown")], 1.0),
        ("tls_client_hellos_total", &[("tls_version", "older")], 0.0),
        ("tls_alpn_offers_total", &[("alpn", "h2")], 5.0),
        ("tls_alpn_offers_total", &[("alpn", "unknown")], 1.0),
        ("tls_server_name_hellos_total", &[("server_name", "www.example.org")], 3.0),
        ("tls_server_name_hellos_total", &[("server_name", "other")], 6.0),
        ("tls_server_name_hellos_total", &[("server_name", "none")], 1.0),
        ("tls_handshakes_total", &[("tls_version", "1.3"), ("resumed", "false")], 4.0),
        ("tls_handshakes_total", &[("tls_version", "1.2"), ("resumed", "true")], 3.0),
        ("tls_handshake_failures_total", &[("reason", "not_tls")], 2.0),
        ("tls_handshake_failures_total", &[("reason", "reset")], 0.0),
        ("tls_handshake_duration_seconds_bucket", &[("le", "0.001")], 7.0),
        ("tls_early_data_offers_total", &[], 11.0),
        ("tls_hello_retry_requests_total", &[], 12.0),
        ("tls_unparsed_connections_total", &[], 13.0),
        ("https_request_turns_total", &[], 14.0),
        ("quic_initials_total", &[], 15.0),
    ] {
        let labels = [&[("port", "443")], labels].concat();
        assert_eq!(
            shown.value(&format!("foobar_{name}"), &labels),
            Some(count),
            "{name} {labels:?}"
        );
    }
    snapshot.tls[0].turns = false;
    let shown = page(&snapshot);
    let turns = shown.value("foobar_https_request_turns_total", &[("port", "443")]);
    assert_eq!(turns, None, "something better counts");
}
