//! Connections: what is shown of the kernel's statistics.

use foobar_common::observe::{Histogram, PortStats};

use super::site;
use super::text::page;
use crate::metrics::{Connections, ListenQueue, Port};

#[test]
fn statistics_are_under_their_port() {
    let mut snapshot = site::three_ports();
    snapshot.ports[0].connections.stats = PortStats {
        accepted: 10,
        closed: 4,
        resets_received: 2,
        resets_sent: 3,
        retransmitted_segments: 5,
        ..PortStats::default()
    };
    snapshot.other = site::connections(1, 1);
    let page = page(&snapshot);
    let of = |name, port| page.value(name, &[("port", port)]);
    let accepted = |port| {
        page.value("foobar_connections_accepted_total", &[("port", port), ("transport", "tcp")])
    };
    assert_eq!(
        (accepted("80"), accepted("443"), accepted("other")),
        (Some(10.0), Some(0.0), Some(1.0))
    );
    assert_eq!(of("foobar_connections_open", "80"), Some(6.0));
    assert_eq!(of("foobar_connections_open", "other"), Some(0.0));
    assert_eq!(of("foobar_connection_resets_received_total", "80"), Some(2.0));
    assert_eq!(of("foobar_connection_resets_sent_total", "80"), Some(3.0));
    assert_eq!(of("foobar_tcp_retransmitted_segments_total", "80"), Some(5.0));
}

#[test]
fn connections_from_before_are_open_until_they_close() {
    let mut stats = PortStats { accepted: 8, closed: 3, closed_earlier: 1, ..PortStats::default() };
    // 9 established: 5 that were counted, 4 from before, and one from before is over already.
    let open_before = Connections::open_before(9, &stats);
    let open = |stats| Connections { stats, open_before }.open();
    assert_eq!(open(stats), 9);
    stats.closed_earlier += 3;
    assert_eq!(open(stats), 6);
    stats.accepted += 1;
    stats.closed += 2;
    assert_eq!(open(stats), 5);
    // Its connections were counted under another slot, or their end was not seen: the socket tables are right.
    stats.accepted += 100;
    assert_eq!(Connections { stats, open_before: Connections::open_before(2, &stats) }.open(), 2);
    stats.closed += 2;
    assert_eq!(Connections { stats, open_before: Connections::open_before(0, &stats) }.open(), 0);
    // One that is over before it was looked at: never below 0.
    assert_eq!(Connections { stats, open_before: -1000 }.open(), 0);
}

#[test]
fn histograms_are_cumulative_and_in_seconds() {
    let mut snapshot = site::three_ports();
    let mut duration = Histogram::default();
    duration.buckets[0] = 3;
    duration.buckets[4] = 2;
    duration.buckets[10] = 1;
    duration.sum_us = 400_500_000;
    snapshot.ports[1].connections.stats.duration = duration;
    snapshot.ports[1].connections.stats.handshake.buckets[1] = 1;
    let page = page(&snapshot);
    let bucket = |name, le| page.value(name, &[("port", "443"), ("le", le)]);
    for (le, count) in [("0.01", 3.0), ("0.5", 3.0), ("1", 5.0), ("300", 5.0), ("+Inf", 6.0)] {
        assert_eq!(bucket("foobar_connection_duration_seconds_bucket", le), Some(count), "{le}");
    }
    assert_eq!(
        page.value("foobar_connection_duration_seconds_sum", &[("port", "443")]),
        Some(400.5)
    );
    assert_eq!(
        page.value("foobar_connection_duration_seconds_count", &[("port", "443")]),
        Some(6.0)
    );
    for (le, count) in [("0.0001", 0.0), ("0.00025", 1.0), ("0.0025", 1.0), ("1", 1.0)] {
        assert_eq!(bucket("foobar_tcp_handshake_rtt_seconds_bucket", le), Some(count), "{le}");
    }
}

#[test]
fn the_fullest_accept_queue_is_shown() {
    let mut snapshot = site::three_ports();
    let queue = |port, length, limit| ListenQueue { port, length, limit };
    snapshot.listen_queues = vec![
        queue(80, 10, 511),
        queue(80, 100, 128),
        queue(80, 20, 511),
        queue(8080, 0, 128),
        queue(9000, 1, 64),
    ];
    let page = page(&snapshot);
    let of = |name, port| page.value(name, &[("port", port)]);
    let shown =
        |port| (of("foobar_listen_queue_length", port), of("foobar_listen_queue_limit", port));
    assert_eq!(shown("80"), (Some(100.0), Some(128.0)));
    assert_eq!(shown("443"), (Some(0.0), Some(0.0)), "nobody listens");
    assert_eq!(shown("other"), (Some(1.0), Some(64.0)));
}

#[test]
fn overflows_of_accept_queues_are_summed_by_port() {
    let mut snapshot = site::three_ports();
    snapshot.listen_overflows = [(80, 7), (8080, 2), (9000, 3)].into();
    let page = page(&snapshot);
    let of = |port| page.value("foobar_listen_queue_overflows_total", &[("port", port)]);
    assert_eq!((of("80"), of("443"), of("other")), (Some(7.0), Some(0.0), Some(5.0)));
}

#[test]
fn a_port_that_is_named_for_udp_alone_has_no_rows_of_tcp() {
    let mut snapshot = site::three_ports();
    snapshot.ports.push(Port {
        number: 51820,
        tcp: false,
        udp: true,
        connections: site::connections(2, 0),
    });
    snapshot.other = site::connections(1, 0);
    let page = page(&snapshot);
    assert_eq!(page.value("foobar_connections_open", &[("port", "51820")]), None);
    assert_eq!(page.value("foobar_connections_open", &[("port", "other")]), Some(3.0));
    assert_eq!(
        page.value("foobar_passed_packets_total", &[("port", "51820"), ("transport", "udp")]),
        Some(0.0)
    );
}
