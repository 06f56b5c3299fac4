//! TCP connections: attempts from the filter, everything else from the kernel's own TCP.

use std::collections::BTreeMap;

use foobar_common::counters::Transport;
use foobar_common::observe::{DURATION_BOUNDS_US, HANDSHAKE_BOUNDS_US};

use super::bounds::{PortLabel, Ports};
use super::catalogue::{self as row, Row};
use super::family::Family;
use super::snapshot::{Connections, ListenQueue, Snapshot};
use crate::rates::{RateKind, Series, Window};

/// The families of this section.
pub fn families(snapshot: &Snapshot) -> Vec<Family> {
    let ports = Ports::of(snapshot);
    let tcp = tcp_ports(&ports);

    let mut accepted = Family::new(&row::CONNECTIONS_ACCEPTED);
    let mut durations = Family::new(&row::CONNECTION_DURATION);
    let mut handshakes = Family::new(&row::HANDSHAKE_RTT);
    for (port, connections) in &tcp {
        let (port, stats) = (port.to_string(), &connections.stats);
        accepted.add(&[&port, Transport::Tcp.name()], stats.accepted as f64);
        durations.add_histogram(&[&port], &DURATION_BOUNDS_US, &stats.duration);
        handshakes.add_histogram(&[&port], &HANDSHAKE_BOUNDS_US, &stats.handshake);
    }

    let attempts = attempts(snapshot, &ports);
    let queues = queues(snapshot, &ports);
    let overflows = overflows(snapshot, &ports);
    let queue = |port: &PortLabel| queues.get(port).copied().unwrap_or_default();
    let by_port = |row: &'static Row, value: &dyn Fn(&PortLabel, &Connections) -> u64| {
        let mut family = Family::new(row);
        for (port, connections) in &tcp {
            family.add(&[&port.to_string()], value(port, connections) as f64);
        }
        family
    };
    let mut source = Family::new(&row::CONNECTION_SOURCE_INFO);
    source.add(&[if snapshot.sees_handshakes { "handshakes" } else { "openings" }], 1.0);
    vec![
        by_port(&row::CONNECTION_ATTEMPTS, &|port, _| attempts.get(port).copied().unwrap_or(0)),
        accepted,
        by_port(&row::CONNECTIONS_OPEN, &|_, connections| connections.open()),
        durations,
        by_port(&row::RESETS_RECEIVED, &|_, connections| connections.stats.resets_received),
        by_port(&row::RESETS_SENT, &|_, connections| connections.stats.resets_sent),
        handshakes,
        by_port(&row::RETRANSMITTED_SEGMENTS, &|_, connections| {
            connections.stats.retransmitted_segments
        }),
        by_port(&row::LISTEN_QUEUE_LENGTH, &|port, _| u64::from(queue(port).length)),
        by_port(&row::LISTEN_QUEUE_LIMIT, &|port, _| u64::from(queue(port).limit)),
        by_port(&row::LISTEN_QUEUE_OVERFLOWS, &|port, _| overflows.get(port).copied().unwrap_or(0)),
        source,
        rates(snapshot, &tcp),
    ]
}

/// The ports that TCP connections are counted for.
fn tcp_ports(ports: &Ports) -> Vec<(PortLabel, Connections)> {
    let named = ports.named.iter().filter(|port| port.tcp);
    let named = named.map(|port| (PortLabel::Named(port.number), port.connections));
    // A port that rules name for UDP alone is "other" to TCP, though it may have a slot of its own.
    let mut other = ports.other;
    for port in ports.named.iter().filter(|port| !port.tcp) {
        other += port.connections;
    }
    named.chain([(PortLabel::Other, other)]).collect()
}

fn attempts(snapshot: &Snapshot, ports: &Ports) -> BTreeMap<PortLabel, u64> {
    let mut attempts = BTreeMap::new();
    for (number, meaning) in snapshot.meanings.assigned().filter(|(_, meaning)| meaning.attempt) {
        if let (Some(port), Some(count)) =
            (ports.label(meaning.port), snapshot.counters.ingress.get(number))
        {
            *attempts.entry(port).or_insert(0) += count.packets;
        }
    }
    attempts
}

/// The fullest accept queue by port: with several sockets on a port (IPv4 and IPv6, SO_REUSEPORT), one that is full loses
/// connections whatever room the others have.
fn queues(snapshot: &Snapshot, ports: &Ports) -> BTreeMap<PortLabel, ListenQueue> {
    let mut fullest: BTreeMap<PortLabel, ListenQueue> = BTreeMap::new();
    for queue in &snapshot.listen_queues {
        let known = fullest.entry(listener(ports, queue.port)).or_insert(*queue);
        // length / limit of one against the other, without the division.
        let (this, that) = (
            u64::from(queue.length) * u64::from(known.limit),
            u64::from(known.length) * u64::from(queue.limit),
        );
        if this > that || this == that && queue.limit < known.limit {
            *known = *queue;
        }
    }
    fullest
}

/// What listening sockets had no room for.
fn overflows(snapshot: &Snapshot, ports: &Ports) -> BTreeMap<PortLabel, u64> {
    let mut sums = BTreeMap::new();
    for (&port, count) in &snapshot.listen_overflows {
        *sums.entry(listener(ports, port)).or_insert(0) += count;
    }
    sums
}

/// Which series a listening socket belongs to.
fn listener(ports: &Ports, number: u16) -> PortLabel {
    let is_named = ports.named.iter().any(|port| port.tcp && port.number == number);
    if is_named { PortLabel::Named(number) } else { PortLabel::Other }
}

/// Connections of every port, requests of those where they are counted.
fn rates(snapshot: &Snapshot, tcp: &[(PortLabel, Connections)]) -> Family {
    let mut family = Family::new(&row::QPS);
    for (port, _) in tcp {
        let number = match port {
            PortLabel::Named(number) => Some(*number),
            PortLabel::Other => None,
        };
        add(&mut family, snapshot, Series { port: number, kind: RateKind::Connections }, *port);
    }
    let told = snapshot.statistics.iter().filter(|port| port.source.is_some());
    let wire = snapshot.http.iter().map(|port| port.number);
    let probed = snapshot.probed.iter().filter(|port| !port.reads).map(|port| port.number);
    for number in wire.chain(told.map(|port| port.number)).chain(probed) {
        let series = Series { port: Some(number), kind: RateKind::Requests };
        add(&mut family, snapshot, series, PortLabel::Named(number));
    }
    family
}

fn add(family: &mut Family, snapshot: &Snapshot, series: Series, port: PortLabel) {
    for window in Window::ALL {
        let rate = snapshot.rates.get(series, window).unwrap_or(0.0);
        family.add(&[&port.to_string(), series.kind.name(), window.name()], rate);
    }
}
