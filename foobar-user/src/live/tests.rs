//! From readings to what is shown.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use foobar_common::reason::Reason;

use super::{
    Audience, Board, Facts, Live, PortReading, Reading, Since, Times, Warnings, recorder::Recorder,
    track::POINTS,
};
use crate::rates::{RateKind, Sampler, Series};

const BOUNDS: &[u64] = &[1_000, 10_000, 100_000];

fn times(buckets: [u64; 4]) -> Times {
    Times { bounds_us: BOUNDS, buckets: buckets.to_vec() }
}

/// What is read after `second` seconds of 50 connections, 200 requests and 7 dropped packets a second on port 443.
fn reading(second: u64) -> Reading {
    let port = PortReading {
        port: Some(443),
        open: 12,
        accepted: 1000 + 50 * second,
        requests: Some(200 * second),
        passed: 5000 * second,
        dropped: 7 * second,
        handshake: times([100 * second, 0, 0, 0]),
        response: Some(times([0, 100 * second, 100 * second, 0])),
    };
    Reading {
        ports: vec![port, PortReading::default()],
        refused: BTreeMap::from([(Reason::NoRule, 7 * second), (Reason::Martian, 0)]),
        rates: Arc::default(),
    }
}

fn record(recorder: &mut Recorder, start: Instant, seconds: std::ops::Range<u64>) {
    for second in seconds {
        recorder.record(start + Duration::from_secs(second), SystemTime::now(), reading(second));
    }
}

#[test]
fn counts_become_points() {
    let (mut recorder, start) = (Recorder::default(), Instant::now());
    assert_eq!(recorder.view(0, 0, start), Live::default(), "nothing was read");
    record(&mut recorder, start, 0..20);
    let live = recorder.view(0, 0, start + Duration::from_secs(19));
    assert_eq!((live.history.points, live.history.last), (19, 20));
    assert_eq!((live.packets.passed, live.packets.dropped), (5000.0, 7.0));
    let port = &live.ports[0];
    assert_eq!((port.port.as_str(), port.open), ("443", 12));
    assert_eq!(port.connections_history, [50.0; 19]);
    assert_eq!(port.requests_history.as_deref(), Some([200.0; 19].as_slice()));
    // Half of all answers take 1 to 10 ms, the other half 10 to 100 ms.
    let response = port.response.expect("requests are observed");
    assert_eq!((response.p50, response.p95), (Some(10.0), Some(91.0)));
    assert_eq!(port.handshake.p50, Some(0.5));
    assert_eq!(live.ports[1].response, None, "nothing is observed on other ports");
    assert_eq!(live.ports[1].requests_history, None);
    assert_eq!(live.reasons.len(), 1, "a reason that never counted is no row: {:?}", live.reasons);
    assert_eq!((live.reasons[0].rate, live.reasons[0].total), (7.0, 133));
}

#[test]
fn quantiles_are_those_of_the_last_ten_seconds() {
    let (mut recorder, start) = (Recorder::default(), Instant::now());
    record(&mut recorder, start, 0..5);
    let stopped = reading(4);
    for second in 5..20 {
        recorder.record(start + Duration::from_secs(second), SystemTime::now(), stopped.clone());
    }
    let live = recorder.view(0, 0, start);
    let history = live.ports[0].response_history.as_ref().unwrap();
    assert_eq!(history.p50[12], Some(10.0), "reading 13: there were answers in seconds 3 and 4");
    assert_eq!((history.p50[13], live.ports[0].response.unwrap().p50), (None, None));
}

#[test]
fn who_has_seen_some_points_gets_the_others() {
    let (mut recorder, start) = (Recorder::default(), Instant::now());
    record(&mut recorder, start, 0..8);
    let first = recorder.view(0, 0, start);
    record(&mut recorder, start, 8..10);
    let next = recorder.view(first.history.id, first.history.last, start);
    assert_eq!((next.history.id, next.history.points), (first.history.id, 2));
    assert_eq!(next.ports[0].connections_history.len(), 2);
    assert_eq!(next.reasons[0].rate_history.len(), 2);
    assert_eq!(recorder.view(first.history.id, 10, start).history.points, 0);
    assert_eq!(recorder.view(first.history.id + 1, 10, start).history.points, 9, "another history");
    assert_eq!(recorder.view(first.history.id, u64::MAX, start).history.points, 0);
}

#[test]
fn other_ports_and_counters_made_anew_begin_another_history() {
    let (mut recorder, start) = (Recorder::default(), Instant::now());
    record(&mut recorder, start, 0..8);
    let first = recorder.view(0, 0, start);
    let mut other = reading(8);
    other.ports[0].port = Some(80);
    recorder.record(start + Duration::from_secs(8), SystemTime::now(), other);
    let second = recorder.view(first.history.id, first.history.last, start);
    assert_eq!((second.ports[0].port.as_str(), second.history.points), ("80", 0));
    assert_ne!(second.history.id, first.history.id);
    let mut smaller = reading(9);
    smaller.ports[0] = PortReading { port: Some(80), ..PortReading::default() };
    recorder.record(start + Duration::from_secs(9), SystemTime::now(), smaller);
    let third = recorder.view(second.history.id, second.history.last, start);
    assert_eq!(third.history.points, 0, "no count goes back: {third:?}");
}

#[test]
fn the_history_has_its_length_and_a_late_reading_its_rate() {
    let (mut recorder, start) = (Recorder::default(), Instant::now());
    record(&mut recorder, start, 0..POINTS as u64 + 50);
    let late = start + Duration::from_secs(POINTS as u64 + 53);
    recorder.record(late, SystemTime::now(), reading(POINTS as u64 + 53));
    let live = recorder.view(0, 0, late + Duration::from_secs(7));
    assert_eq!((live.history.points, live.age), (POINTS, 7.0));
    assert_eq!(live.ports[0].connections_history, vec![50.0; POINTS]);
    assert_eq!(live.reasons[0].rate_history.len(), POINTS);
}

#[test]
fn windows_are_those_of_the_metrics() {
    let (sampler, start, mut recorder) = (Sampler::new(), Instant::now(), Recorder::default());
    for second in 0..70 {
        let count = if second < 60 { 0 } else { (second - 59) * 30 };
        let series = |kind| Series { port: Some(443), kind };
        let now = start + Duration::from_secs(second);
        sampler.tick(
            now,
            &[(series(RateKind::Connections), count), (series(RateKind::Requests), 2 * count)],
        );
        let reading = Reading { rates: sampler.rates(), ..reading(second) };
        recorder.record(now, SystemTime::now(), reading);
    }
    let live = recorder.view(0, 0, start);
    let windows = live.ports[0].connections;
    assert_eq!((windows.one, windows.ten, windows.sixty), (30.0, 30.0, 5.0));
    let windows = live.ports[0].requests.expect("requests are observed");
    assert_eq!((windows.one, windows.ten, windows.sixty), (60.0, 60.0, 10.0));
    assert_eq!(live.ports[1].requests, None);
}

#[test]
fn what_quotes_the_configuration_is_for_the_control_socket() {
    let (board, now) = (Board::default(), Instant::now());
    assert!(board.wants_facts(now), "nothing is known yet");
    let mut warnings = Warnings::default();
    warnings.push("mode audit".to_owned());
    warnings.push_with("the file is wrong", "line 3: 192.0.2.7/33".to_owned());
    board.tell(now, Facts { generation: 7, ..Facts::default() }, warnings);
    assert!(!board.wants_facts(now), "nobody looks");
    let public = board.view(Since::default(), Audience::Public);
    assert_eq!(public.facts.warnings, ["mode audit", "the file is wrong"]);
    assert!(!serde_json::to_string(&public).unwrap().contains("192.0.2.7"));
    let trusted = board.view(Since::default(), Audience::Trusted);
    assert_eq!(trusted.facts.warnings[1], "the file is wrong: line 3: 192.0.2.7/33");
    assert_eq!(trusted.facts.generation, 7);
    assert!(board.wants_facts(Instant::now()), "somebody looks");
    assert!(!board.wants_facts(Instant::now() + Duration::from_secs(9)) || board.wants_facts(now));
    assert_eq!(public.blocked, None, "no address of a client");
}

#[test]
fn a_view_survives_the_way_over_the_socket() {
    let (mut recorder, start) = (Recorder::default(), Instant::now());
    record(&mut recorder, start, 0..5);
    let live = recorder.view(0, 0, start);
    let text = serde_json::to_string(&live).unwrap();
    assert_eq!(serde_json::from_str::<Live>(&text).unwrap(), live);
}
