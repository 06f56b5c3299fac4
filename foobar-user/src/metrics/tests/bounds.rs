//! How many series there are, whatever the configuration names and the network sends.

use std::collections::BTreeSet;
use std::sync::Arc;

use foobar_common::counters::Transport;
use foobar_common::observe::SLOTS;
use foobar_common::reason::Reason;
use proptest::prelude::*;

use super::site;
use super::text::page;
use crate::metrics::bounds::{MAX_LISTS, MAX_PORTS, MAX_RULES};
use crate::metrics::{List, Meanings, Port, Snapshot};

/// What may still come, of the 500 series that a site of three ports may have.
const RESERVED: usize = 20;

#[test]
fn three_ports_leave_room_for_what_is_observed_later() {
    let first = page(&site::three_ports());
    assert!(first.samples.len() <= 500 - RESERVED, "{} series", first.samples.len());
    let mut snapshot = site::three_ports();
    snapshot.policy.enforcing = false;
    let audits = page(&snapshot);
    assert!(audits.samples.len() <= 500 - RESERVED, "{} series", audits.samples.len());
}

#[test]
fn three_ports_under_every_kind_of_packet_stay_below_500() {
    // Random packets reach every counter that the policy in force can count, and no other.
    let mut snapshot = site::three_ports();
    let quiet = page(&snapshot).samples.len();
    for &reason in Reason::ALL {
        for transport in crate::metrics::possible::transports(reason, &snapshot.policy) {
            let number = usize::from(foobar_common::counters::fixed(reason, transport));
            snapshot.counters.ingress[number] = site::packets(1);
        }
    }
    assert_eq!(page(&snapshot).samples.len(), quiet, "no series comes with the traffic");
}

#[test]
fn ports_that_are_named_no_more_keep_their_series_while_there_is_room() {
    let mut snapshot = site::three_ports();
    let retired = [
        site::drops(Reason::Blocklist, Some(8080), Transport::Tcp),
        site::drops(Reason::Blocklist, Some(8081), Transport::Tcp),
    ];
    let first = snapshot.meanings.assigned().count();
    let known = snapshot.meanings.assigned().map(|(_, meaning)| Some(meaning.clone()));
    snapshot.meanings = Arc::new(Meanings::new(known.chain(retired).collect()));
    snapshot.counters.ingress[site::assigned(first)] = site::packets(5);
    let shown = page(&snapshot);
    let labels = |port| [("port", port), ("transport", "tcp"), ("reason", "blocklist")];
    assert_eq!(shown.value("foobar_dropped_packets_total", &labels("8080")), Some(5.0));
    assert_eq!(
        shown.value("foobar_dropped_packets_total", &labels("8081")),
        None,
        "it never counted"
    );

    for number in 1000..1000 + MAX_PORTS as u16 {
        snapshot.ports.push(Port { number, tcp: true, ..Port::default() });
    }
    let crowded = page(&snapshot);
    assert_eq!(crowded.value("foobar_dropped_packets_total", &labels("8080")), None);
    assert_eq!(
        crowded.value("foobar_dropped_packets_total", &labels("other")),
        Some(0.0),
        "no burst either"
    );
}

#[test]
fn what_has_no_name_of_its_own_counts_as_other() {
    let mut snapshot = Snapshot { counters: site::empty_counters(), ..Snapshot::default() };
    let ports = MAX_PORTS as u16 + 3;
    let port =
        |number| Port { number, tcp: true, udp: false, connections: site::connections(1, 0) };
    snapshot.ports = (1..=ports).map(port).collect();
    snapshot.policy.rules = (0..MAX_RULES + 2).map(|n| format!("rule{n}")).collect();
    let list =
        |n| List { name: format!("list{n}"), entries_v4: 1, capacity_v4: 10, ..List::default() };
    snapshot.lists = (0..MAX_LISTS + 4).map(list).collect();
    let cells = (1..=ports).flat_map(|port| {
        site::rule_cell(&format!("rule{}", MAX_RULES + 1), Some(port), Transport::Tcp)
    });
    snapshot.meanings = Arc::new(Meanings::new(cells.collect()));
    for counter in &mut snapshot.counters.ingress[site::assigned(0)..] {
        *counter = site::packets(1);
    }

    let page = page(&snapshot);
    let accepted = |port| {
        page.value("foobar_connections_accepted_total", &[("port", port), ("transport", "tcp")])
    };
    assert_eq!(accepted("16"), Some(1.0));
    assert_eq!(accepted("17"), None);
    assert_eq!(accepted("other"), Some(3.0));
    assert_eq!(page.value("foobar_connection_attempts_total", &[("port", "other")]), Some(3.0));
    assert_eq!(
        page.value("foobar_passed_packets_total", &[("port", "other"), ("transport", "tcp")]),
        Some(6.0)
    );
    assert_eq!(
        page.value("foobar_rule_packets_total", &[("rule", "other")]),
        Some(f64::from(ports) * 3.0)
    );
    let entries = |list| page.value("foobar_list_entries", &[("list", list), ("ip_version", "4")]);
    assert_eq!(
        (entries("list63"), entries("list64"), entries("other")),
        (Some(1.0), None, Some(4.0))
    );
    assert_eq!(
        page.value("foobar_list_capacity", &[("list", "other"), ("ip_version", "4")]),
        Some(40.0)
    );
}

fn any_snapshot() -> impl Strategy<Value = Snapshot> {
    let ports = prop::collection::vec((1..=u16::MAX, any::<bool>(), any::<bool>()), 0..40);
    let names = || prop::collection::vec(".{0,12}", 0..100);
    let cells = prop::collection::vec(
        (0..100usize, prop::option::of(1..=u16::MAX), 0..4usize),
        0..SLOTS as usize,
    );
    let counts = prop::collection::vec(0..1000u64, site::COUNTERS);
    (ports, names(), names(), cells, counts, any::<u32>(), any::<[bool; 3]>()).prop_map(
        |(
            ports,
            rules,
            lists,
            cells,
            counts,
            choices,
            [enforcing, limits_packets, limits_connections],
        )| {
            let mut snapshot = site::three_ports();
            let meanings = cells.iter().flat_map(|(rule, port, transport)| {
                let rule = rules.get(*rule).map_or("gone", String::as_str);
                // Now and then a port of the policy.
                let port = port
                    .map(|port| ports.get(usize::from(port) % 64).map_or(port, |named| named.0));
                site::rule_cell(rule, port, Transport::ALL[*transport])
            });
            snapshot.meanings = Arc::new(Meanings::new(meanings.collect()));
            for (counter, packets) in snapshot.counters.ingress.iter_mut().zip(counts) {
                *counter = site::packets(packets);
            }
            let port = |&(number, tcp, udp): &(u16, bool, bool)| Port {
                number,
                tcp,
                udp,
                connections: site::connections(1, 0),
            };
            snapshot.ports = ports.iter().map(port).collect();
            snapshot.lists = lists
                .into_iter()
                .map(|name| List { name, entries_v4: 1, ..List::default() })
                .collect();
            snapshot.policy.rules = rules;
            snapshot.policy.choices = choices;
            snapshot.policy.enforcing = enforcing;
            snapshot.policy.limits_packets = limits_packets;
            snapshot.policy.limits_connections = limits_connections;
            snapshot
        },
    )
}

proptest! {
    #[test]
    fn slow_labels_are_bounded_under_any_configuration(snapshot in any_snapshot()) {
        let page = page(&snapshot);
        // Ports where requests are counted, TLS is observed or certificates are read keep their numbers, whatever else is named. All are
        // observed, and those are at most 16 by themselves.
        let observed = snapshot.http.len() + snapshot.tls.len() + snapshot.statistics.len() + snapshot.probed.len() + snapshot.certificates.len();
        prop_assert!(page.values_of("port").len() <= MAX_PORTS + 1 + observed);
        prop_assert!(page.values_of("rule").len() <= MAX_RULES + 1);
        prop_assert!(page.values_of("list").len() <= MAX_LISTS + 1);
        prop_assert!(page.values_of("port").iter().all(|port| *port == "other" || port.parse::<u16>().is_ok()));
        // No connection is lost, whatever name it is counted under. A port that is named twice has one count.
        let ports: BTreeSet<u16> = snapshot.ports.iter().map(|port| port.number).collect();
        prop_assert_eq!(page.sum("foobar_connections_accepted_total"), ports.len() as f64);
        prop_assert_eq!(page.sum("foobar_list_entries"), snapshot.lists.len() as f64);
    }
}
