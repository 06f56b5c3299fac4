//! Rates over the last 1, 10 and 60 seconds, from counts read once a second.
//!
//! The daemon ticks; a scrape takes the rates of the last tick, which is a copy of a pointer.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RateKind {
    /// Connections accepted.
    Connections,
    /// Requests answered.
    Requests,
}

impl RateKind {
    /// The value of the label `kind`.
    pub const fn name(self) -> &'static str {
        match self {
            RateKind::Connections => "connections",
            RateKind::Requests => "requests",
        }
    }
}

/// A count that rates are made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Series {
    /// The named port; `None` is every other.
    pub port: Option<u16>,
    /// What is counted.
    pub kind: RateKind,
}

/// How far back a rate looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Window {
    /// 1 s.
    OneSecond,
    /// 10 s.
    TenSeconds,
    /// 60 s.
    SixtySeconds,
}

impl Window {
    /// All windows, the shortest first.
    pub const ALL: [Window; 3] = [Window::OneSecond, Window::TenSeconds, Window::SixtySeconds];

    /// The value of the label `window`.
    pub const fn name(self) -> &'static str {
        match self {
            Window::OneSecond => "1s",
            Window::TenSeconds => "10s",
            Window::SixtySeconds => "60s",
        }
    }

    const fn duration(self) -> Duration {
        match self {
            Window::OneSecond => Duration::from_secs(1),
            Window::TenSeconds => Duration::from_secs(10),
            Window::SixtySeconds => Duration::from_secs(60),
        }
    }
}

/// The rates as of one tick, per second.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rates(HashMap<Series, [f64; Window::ALL.len()]>);

impl Rates {
    /// The rate of a series over a window; while less time than that was observed, over this time. `None` before the second
    /// tick that saw the series.
    pub fn get(&self, series: Series, window: Window) -> Option<f64> {
        Some(self.0.get(&series)?[window as usize])
    }
}

/// Keeps what the last minute's ticks read.
#[derive(Default)]
pub struct Sampler {
    histories: Mutex<HashMap<Series, History>>,
    rates: Mutex<Arc<Rates>>,
}

/// What was read of one series.
struct History {
    /// The count as it was read last.
    raw: u64,
    /// Time and count, the oldest first; the count goes on where the raw one started anew.
    samples: VecDeque<(Instant, u64)>,
}

impl History {
    fn record(&mut self, now: Instant, raw: u64) {
        let last = self.samples.back().map_or(0, |(_, count)| *count);
        // A count that went back was started anew (a slot given to another port), so all of it is new.
        let increase = raw.checked_sub(self.raw).unwrap_or(raw);
        self.raw = raw;
        self.samples.push_back((now, last + increase));
        // One sample as old as the longest window, or older, is enough.
        let is_beyond = |(time, _): &(Instant, u64)| {
            now.duration_since(*time) >= Window::SixtySeconds.duration()
        };
        while self.samples.get(1).is_some_and(is_beyond) {
            self.samples.pop_front();
        }
    }

    /// Increase per second from the sample nearest to the start of the window. Ticks come some milliseconds early or late,
    /// so the time that really lies between the two samples counts.
    fn rate(&self, window: Window) -> Option<f64> {
        let (now, count) = self.samples.back()?;
        let age = |time: Instant| now.duration_since(time);
        let earlier = self.samples.iter().rev().skip(1);
        let (time, before) =
            earlier.min_by_key(|(time, _)| age(*time).abs_diff(window.duration()))?;
        Some((count - before) as f64 / age(*time).as_secs_f64())
    }
}

impl Sampler {
    /// A sampler that has seen nothing yet.
    pub fn new() -> Self {
        Sampler::default()
    }

    /// Records absolute counts, read at `now`. A series that is not among them is forgotten. A second tick at the same
    /// moment is ignored.
    pub fn tick(&self, now: Instant, counts: &[(Series, u64)]) {
        let mut histories = lock(&self.histories);
        histories.retain(|series, _| counts.iter().any(|(counted, _)| counted == series));
        for &(series, raw) in counts {
            let history = histories
                .entry(series)
                .or_insert_with(|| History { raw, samples: VecDeque::new() });
            if history.samples.back().is_none_or(|(last, _)| *last < now) {
                history.record(now, raw);
            }
        }
        let rates = histories.iter().filter_map(|(series, history)| {
            let [one, ten, sixty] = Window::ALL.map(|window| history.rate(window));
            Some((*series, [one?, ten?, sixty?]))
        });
        let rates = Arc::new(Rates(rates.collect()));
        *lock(&self.rates) = rates;
    }

    /// The rates as of the last tick. Never waits for one.
    pub fn rates(&self) -> Arc<Rates> {
        Arc::clone(&lock(&self.rates))
    }
}

/// The data stay consistent whatever panics, as each change is one assignment or is recomputed by the next tick.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
