//! Verdicts: every packet is on the page once, under the right port and reason.

use std::sync::Arc;

use foobar_common::counters::{Transport, fixed};
use foobar_common::reason::{Reason, Verdict};
use foobar_common::tables::choice;

use super::site;
use super::text::page;
use crate::metrics::{Meanings, Snapshot};

const PASSED: &str = "foobar_passed_packets_total";
const DROPPED: &str = "foobar_dropped_packets_total";
const AUDITED: &str = "foobar_audited_packets_total";

fn fixed_number(reason: Reason, transport: Transport) -> usize {
    usize::from(fixed(reason, transport))
}

#[test]
fn each_counter_is_shown_once() {
    // Whatever the program counts, also what the table of possible drops does not foresee.
    let mut snapshot = site::three_ports();
    let (mut passed, mut dropped) = (0, 0);
    for &reason in Reason::ALL {
        for transport in Transport::ALL {
            let packets = 1 + fixed_number(reason, transport) as u64;
            snapshot.counters.ingress[fixed_number(reason, transport)] = site::packets(packets);
            match reason.verdict() {
                Verdict::Pass => passed += packets,
                Verdict::Drop => dropped += packets,
            }
        }
    }
    for (number, meaning) in Arc::clone(&snapshot.meanings).assigned() {
        snapshot.counters.ingress[number] = site::packets(1000);
        match meaning.reason.verdict() {
            Verdict::Pass => passed += 1000,
            Verdict::Drop => dropped += 1000,
        }
    }
    let page = page(&snapshot);
    assert_eq!(page.sum(PASSED), passed as f64);
    assert_eq!(page.sum(DROPPED), dropped as f64);
    assert_eq!(page.sum("foobar_passed_bytes_total"), passed as f64 * 100.0);
    assert_eq!(page.sum("foobar_dropped_bytes_total"), dropped as f64 * 100.0);
    assert_eq!(page.sum(AUDITED), 0.0);
}

#[test]
fn verdicts_are_under_their_port() {
    let mut snapshot = site::three_ports();
    let web = site::rule_cell("web", Some(443), Transport::Tcp);
    let passes = site::number(&snapshot, web[0].as_ref().unwrap());
    let attempts = site::number(&snapshot, web[1].as_ref().unwrap());
    let refused = site::number(
        &snapshot,
        &site::drops(Reason::SourceNotAllowed, Some(22), Transport::Tcp).unwrap(),
    );
    snapshot.counters.ingress[passes] = site::packets(50);
    snapshot.counters.ingress[attempts] = site::packets(5);
    snapshot.counters.ingress[refused] = site::packets(3);
    snapshot.counters.ingress[fixed_number(Reason::NoRule, Transport::Udp)] = site::packets(9);
    snapshot.counters.ingress[fixed_number(Reason::Reply, Transport::Udp)] = site::packets(2);
    let page = page(&snapshot);
    assert_eq!(page.value(PASSED, &[("port", "443"), ("transport", "tcp")]), Some(55.0));
    assert_eq!(page.value(PASSED, &[("port", "443"), ("transport", "udp")]), Some(0.0));
    assert_eq!(
        page.value(PASSED, &[("port", "80"), ("transport", "udp")]),
        None,
        "nothing serves 80 over UDP"
    );
    assert_eq!(page.value(PASSED, &[("port", "other"), ("transport", "udp")]), Some(2.0));
    let dropped = |port, transport, reason| {
        page.value(DROPPED, &[("port", port), ("transport", transport), ("reason", reason)])
    };
    assert_eq!(dropped("22", "tcp", "source_not_allowed"), Some(3.0));
    assert_eq!(dropped("80", "tcp", "connection_limit"), None, "no rule limits connections");
    assert_eq!(dropped("80", "udp", "no_rule"), Some(0.0));
    assert_eq!(dropped("other", "udp", "no_rule"), Some(9.0));
    assert_eq!(dropped("80", "tcp", "truncated"), None, "a truncated packet shows no port");
    assert_eq!(dropped("other", "tcp", "truncated"), Some(0.0));
    assert_eq!(page.value("foobar_connection_attempts_total", &[("port", "443")]), Some(5.0));
}

#[test]
fn audited_packets_are_apart() {
    let mut snapshot = site::three_ports();
    snapshot.policy.enforcing = false;
    let ssh = site::number(
        &snapshot,
        &site::drops(Reason::SourceNotAllowed, Some(22), Transport::Tcp).unwrap(),
    );
    snapshot.counters.ingress_audited[ssh] = site::packets(4);
    snapshot.counters.ingress_audited[fixed_number(Reason::Malformed, Transport::Tcp)] =
        site::packets(1);
    let page = page(&snapshot);
    let labels = [("port", "22"), ("transport", "tcp"), ("reason", "source_not_allowed")];
    assert_eq!(page.value(AUDITED, &labels), Some(4.0));
    assert_eq!(page.value("foobar_audited_bytes_total", &labels), Some(400.0));
    assert_eq!(page.value(DROPPED, &labels), None, "nothing is dropped while the mode is audit");
    assert_eq!(page.sum(AUDITED), 5.0);
    assert_eq!(page.sum(PASSED), 0.0);
}

#[test]
fn the_mode_that_is_not_in_force_keeps_what_it_counted() {
    let mut snapshot = site::three_ports();
    snapshot.counters.ingress_audited[fixed_number(Reason::SourceRoute, Transport::Udp)] =
        site::packets(8);
    let page = page(&snapshot);
    let of = |name, reason| {
        page.value(name, &[("port", "other"), ("transport", "udp"), ("reason", reason)])
    };
    assert_eq!(of(AUDITED, "source_route"), Some(8.0));
    assert_eq!(of(AUDITED, "no_rule"), Some(0.0));
    assert_eq!(of(AUDITED, "malformed"), None, "it cannot count while the mode is enforce");
    assert_eq!(of(DROPPED, "malformed"), Some(0.0));
    let blocked = [("port", "80"), ("transport", "tcp"), ("reason", "blocklist")];
    assert_eq!((page.value(AUDITED, &blocked), page.value(DROPPED, &blocked)), (None, Some(0.0)));
}

#[test]
fn what_the_configuration_rules_out_has_no_series() {
    let reasons = |snapshot: &Snapshot| {
        let page = page(snapshot);
        page.all(DROPPED)
            .map(|(labels, _)| labels["reason"].clone())
            .collect::<std::collections::BTreeSet<_>>()
    };
    let mut snapshot = site::three_ports();
    let usual = reasons(&snapshot);
    assert!(
        usual.contains("martian")
            && usual.contains("fragment_unknown")
            && usual.contains("echo_limit")
    );
    for absent in [
        "packet_limit",
        "connection_limit",
        "disabled",
        "fragment",
        "ipv4_options",
        "egress_denied",
    ] {
        assert!(!usual.contains(absent), "{absent}");
    }
    snapshot.policy.choices = choice::DROP_FRAGMENTS | choice::PASS_MARTIANS | choice::DROP_MLD;
    snapshot.policy.limits_packets = true;
    snapshot.policy.limits_connections = true;
    let strict = reasons(&snapshot);
    assert!(!strict.contains("martian") && !strict.contains("fragment_unknown"));
    for present in ["packet_limit", "connection_limit", "disabled", "fragment"] {
        assert!(strict.contains(present), "{present}");
    }
}

#[test]
fn rules_count_what_they_matched() {
    let mut snapshot = site::three_ports();
    let web80 = site::rule_cell("web", Some(80), Transport::Tcp);
    let web443 = site::rule_cell("web", Some(443), Transport::Tcp);
    for (meaning, packets) in [(&web80[0], 10), (&web80[1], 1), (&web80[2], 7), (&web443[0], 100)] {
        let number = site::number(&snapshot, meaning.as_ref().unwrap());
        snapshot.counters.ingress[number] = site::packets(packets);
        // The same number on the way out belongs to another packet.
        snapshot.counters.egress[number] = site::packets(1_000_000);
    }
    let page = page(&snapshot);
    assert_eq!(page.value("foobar_rule_packets_total", &[("rule", "web")]), Some(118.0));
    assert_eq!(page.value("foobar_rule_packets_total", &[("rule", "ssh")]), Some(0.0));
}

#[test]
fn outgoing_packets_have_rows_of_their_own() {
    let mut snapshot = site::three_ports();
    snapshot.counters.egress[fixed_number(Reason::Egress, Transport::Tcp)] = site::packets(5);
    snapshot.counters.egress[fixed_number(Reason::EgressServed, Transport::Tcp)] = site::packets(6);
    snapshot.counters.egress[fixed_number(Reason::EgressDenied, Transport::Udp)] = site::packets(7);
    let page = page(&snapshot);
    assert_eq!(
        page.value("foobar_egress_passed_packets_total", &[("transport", "tcp")]),
        Some(11.0)
    );
    assert_eq!(
        page.value("foobar_egress_passed_bytes_total", &[("transport", "tcp")]),
        Some(1100.0)
    );
    let denied = [("transport", "udp"), ("reason", "egress_denied")];
    assert_eq!(page.value("foobar_egress_dropped_packets_total", &denied), Some(7.0));
    assert_eq!(page.sum(PASSED), 0.0);
    assert_eq!(page.sum(DROPPED), 0.0);
}

#[test]
fn counters_that_the_map_does_not_hold_are_0() {
    let mut snapshot = site::three_ports();
    snapshot.counters = Default::default();
    snapshot.meanings =
        Arc::new(Meanings::new(vec![None, site::drops(Reason::NoRule, Some(80), Transport::Tcp)]));
    assert_eq!(page(&snapshot).sum(DROPPED), 0.0);
}
