//! From readings to rates, quantiles and a history.

use std::{
    collections::{BTreeMap, VecDeque},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use foobar_common::reason::Reason;

use super::{
    quantile::quantile_us,
    reading::{PortReading, Reading, Times},
    track::{POINTS, Track, round},
    view::{Live, PacketView, PortView, QuantileHistory, Quantiles, ReasonView, Span, Windows},
};
use crate::rates::{RateKind, Rates, Series, Window};

/// How far back quantiles look. Less would show nothing on a port with a request every few seconds.
const QUANTILES_OVER: Duration = Duration::from_secs(10);

/// Turns readings into a view.
#[derive(Debug)]
pub struct Recorder {
    /// Tells histories apart, those of another process as well.
    id: u64,
    /// Number of the last reading.
    tick: u64,
    last: Option<(Instant, SystemTime, Reading)>,
    /// Points in the history.
    points: usize,
    /// The readings that quantiles look back to, the oldest first.
    recent: VecDeque<(Instant, Vec<PortTimes>)>,
    ports: Vec<PortTracks>,
    reasons: BTreeMap<Reason, Track<f64>>,
    passed: Track<f64>,
    dropped: Track<f64>,
}

/// The histograms of a port: handshakes and answers.
type PortTimes = (Times, Option<Times>);

/// The history of a port.
#[derive(Clone, Debug)]
struct PortTracks {
    connections: Track<f64>,
    requests: Track<f64>,
    dropped: Track<f64>,
    response: Track<Quantiles>,
    handshake: Quantiles,
}

impl PortTracks {
    fn new() -> Self {
        Self {
            connections: Track::new(0, 0.0),
            requests: Track::new(0, 0.0),
            dropped: Track::new(0, 0.0),
            response: Track::new(0, Quantiles::default()),
            handshake: Quantiles::default(),
        }
    }
}

impl Default for Recorder {
    fn default() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self {
            id: u64::try_from(since.as_millis()).unwrap_or_default(),
            tick: 0,
            last: None,
            points: 0,
            recent: VecDeque::new(),
            ports: Vec::new(),
            reasons: BTreeMap::new(),
            passed: Track::new(0, 0.0),
            dropped: Track::new(0, 0.0),
        }
    }
}

impl Recorder {
    /// Adds what was read at `now`. Other ports than before begin another history; so do counters that were made anew.
    pub fn record(&mut self, now: Instant, wall: SystemTime, reading: Reading) {
        let is_same = self.last.as_ref().is_some_and(|(_, _, last)| continues(last, &reading));
        if !is_same {
            let (id, tick) = (self.id + 1, self.tick);
            *self = Self { id, tick, ..Self::default() };
            self.ports = vec![PortTracks::new(); reading.ports.len()];
        }
        self.tick += 1;
        self.look_back(now, &reading);
        if let Some((before, _, last)) = self.last.take() {
            let seconds = now.duration_since(before).as_secs_f64().max(0.001);
            self.add_points(seconds, &last, &reading);
        }
        self.last = Some((now, wall, reading));
    }

    /// What all looks like now, with the points behind number `after` of history `id`; all of them, if it is another one.
    pub fn view(&self, id: u64, after: u64, now: Instant) -> Live {
        let Some((read, wall, reading)) = &self.last else { return Live::default() };
        let behind = if id == self.id { self.tick.saturating_sub(after) } else { u64::MAX };
        let points = usize::try_from(behind).map_or(self.points, |behind| behind.min(self.points));
        let newest = |track: &Track<f64>| track.newest(1).first().copied().unwrap_or(0.0);
        let mut reasons: Vec<_> = self
            .reasons
            .iter()
            .map(|(reason, track)| ReasonView {
                reason: reason.name().to_owned(),
                meaning: reason.describe().to_owned(),
                rate: newest(track),
                total: reading.refused.get(reason).copied().unwrap_or(0),
                rate_history: track.newest(points),
            })
            .collect();
        let weight = |view: &ReasonView| {
            let recent = self.reasons.iter().find(|(reason, _)| reason.name() == view.reason);
            recent.map_or(0.0, |(_, track)| track.newest(10).iter().sum::<f64>())
        };
        // The last ten seconds, or rows would change their places with every reading.
        reasons.sort_by(|a, b| weight(b).total_cmp(&weight(a)).then(b.total.cmp(&a.total)));
        let time = wall.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
        Live {
            history: Span { id: self.id, last: self.tick, points },
            time: (time * 1000.0).round() / 1000.0,
            age: round(now.saturating_duration_since(*read).as_secs_f64()),
            packets: PacketView {
                passed: newest(&self.passed),
                dropped: newest(&self.dropped),
                passed_history: self.passed.newest(points),
                dropped_history: self.dropped.newest(points),
            },
            ports: reading
                .ports
                .iter()
                .zip(&self.ports)
                .map(|(port, tracks)| port_view(port, tracks, &reading.rates, points))
                .collect(),
            reasons,
            ..Live::default()
        }
    }

    /// Keeps the histograms for as long as quantiles look back.
    fn look_back(&mut self, now: Instant, reading: &Reading) {
        let times =
            reading.ports.iter().map(|port| (port.handshake.clone(), port.response.clone()));
        self.recent.push_back((now, times.collect()));
        let is_old = |(time, _): &(Instant, _)| now.duration_since(*time) >= QUANTILES_OVER;
        while self.recent.get(1).is_some_and(is_old) {
            self.recent.pop_front();
        }
    }

    fn add_points(&mut self, seconds: f64, last: &Reading, now: &Reading) {
        let rate = |before: u64, now: u64| round(now.saturating_sub(before) as f64 / seconds);
        let oldest = self.recent.front().map(|(_, times)| times.as_slice()).unwrap_or_default();
        let (mut passed, mut dropped) = (0.0, 0.0);
        for (row, (before, port)) in last.ports.iter().zip(&now.ports).enumerate() {
            let tracks = &mut self.ports[row];
            tracks.connections.push(rate(before.accepted, port.accepted));
            let requests = rate(before.requests.unwrap_or(0), port.requests.unwrap_or(0));
            tracks.requests.push(requests);
            tracks.dropped.push(rate(before.dropped, port.dropped));
            passed += rate(before.passed, port.passed);
            dropped += rate(before.dropped, port.dropped);
            let (handshake, response) = oldest.get(row).cloned().unwrap_or_default();
            tracks.handshake = quantiles(&port.handshake.since(&handshake));
            let response = port.response.as_ref().map(|times| match &response {
                Some(before) => times.since(before),
                None => times.clone(),
            });
            tracks.response.push(response.as_ref().map(quantiles).unwrap_or_default());
        }
        self.passed.push(round(passed));
        self.dropped.push(round(dropped));
        for (&reason, &count) in now.refused.iter().filter(|(_, count)| **count > 0) {
            let before = last.refused.get(&reason).copied().unwrap_or(0);
            let points = self.points;
            let track = self.reasons.entry(reason).or_insert_with(|| Track::new(points, 0.0));
            track.push(rate(before, count));
        }
        self.points = (self.points + 1).min(POINTS);
    }
}

/// Whether it is the same ports, and their counters went on.
fn continues(last: &Reading, now: &Reading) -> bool {
    let went_on = |(last, now): (&PortReading, &PortReading)| {
        last.port == now.port
            && last.accepted <= now.accepted
            && last.requests.is_some() == now.requests.is_some()
    };
    last.ports.len() == now.ports.len() && last.ports.iter().zip(&now.ports).all(went_on)
}

fn quantiles(times: &Times) -> Quantiles {
    let milliseconds = |quantile| quantile_us(times, quantile).map(|us| round(us / 1000.0));
    Quantiles { p50: milliseconds(0.5), p95: milliseconds(0.95) }
}

fn port_view(port: &PortReading, tracks: &PortTracks, rates: &Rates, points: usize) -> PortView {
    let response = tracks.response.newest(points);
    let is_observed = port.requests.is_some();
    PortView {
        port: port.port.map_or_else(|| "other".to_owned(), |port| port.to_string()),
        connections: windows(rates, Series { port: port.port, kind: RateKind::Connections }),
        requests: is_observed
            .then(|| windows(rates, Series { port: port.port, kind: RateKind::Requests })),
        open: port.open,
        dropped: tracks.dropped.newest(1).first().copied().unwrap_or(0.0),
        response: port
            .response
            .as_ref()
            .map(|_| tracks.response.newest(1).first().copied().unwrap_or_default()),
        handshake: tracks.handshake,
        connections_history: tracks.connections.newest(points),
        requests_history: is_observed.then(|| tracks.requests.newest(points)),
        response_history: port.response.as_ref().map(|_| QuantileHistory {
            p50: response.iter().map(|point| point.p50).collect(),
            p95: response.iter().map(|point| point.p95).collect(),
        }),
        dropped_history: tracks.dropped.newest(points),
    }
}

fn windows(rates: &Rates, series: Series) -> Windows {
    let [one, ten, sixty] =
        Window::ALL.map(|window| round(rates.get(series, window).unwrap_or(0.0)));
    Windows { one, ten, sixty }
}
