//! What the counters say in total and per port, and how fast they count.

use std::{
    collections::{BTreeMap, VecDeque},
    time::{Duration, Instant},
};

use foobar_common::reason::{Reason, Verdict};

use crate::{
    control::watch::{Totals, suppressed::Counts},
    kernel::Counters,
    policy::{Labels, labels::CounterKind},
};

/// How far back the rates of `foobar status` look.
const WINDOW: Duration = Duration::from_secs(10);

/// Incoming packets, absolute.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Passed because the policy lets them pass.
    pub passed: u64,
    /// Dropped.
    pub dropped: u64,
    /// Passed because the mode is audit.
    pub audited: u64,
    /// Connections accepted; where the kernel does not tell, openings (SYN) that passed.
    pub accepted: u64,
    /// Requests answered, on ports where they are counted.
    pub answered: Option<u64>,
}

/// What a counter means for the sums.
#[derive(Clone, Copy, Debug)]
struct Meaning {
    reason: Reason,
    row: usize,
    /// The packets open TCP connections.
    attempt: bool,
}

/// Which counter belongs to which row: the named ports in their order, then `other`.
#[derive(Clone, Debug)]
pub struct Accounting {
    meanings: Vec<Option<Meaning>>,
    ports: Vec<u16>,
}

impl Accounting {
    /// For the counters that these labels describe, and these named ports.
    pub fn new(labels: &Labels, ports: &[u16]) -> Self {
        let meaning = |counter: u16| {
            let meaning = labels.describe(counter)?;
            let row =
                ports.iter().position(|&port| meaning.port == Some(port)).unwrap_or(ports.len());
            let attempt = matches!(meaning.kind, CounterKind::Attempt);
            Some(Meaning { reason: meaning.reason, row, attempt })
        };
        let end = u16::try_from(labels.len()).unwrap_or(u16::MAX);
        Self { meanings: (0..end).map(meaning).collect(), ports: ports.to_vec() }
    }

    /// Sums per row; `accepted` are openings, `answered` is left at `None`.
    pub fn rows(&self, counters: &Counters) -> Vec<Tally> {
        let mut rows = vec![Tally::default(); self.ports.len() + 1];
        for (number, meaning) in self.meanings.iter().enumerate() {
            let Some(Meaning { reason, row, attempt }) = *meaning else { continue };
            let packets = counters.ingress.get(number).map_or(0, |counter| counter.packets);
            rows[row].accepted += if attempt { packets } else { 0 };
            match reason.verdict() {
                Verdict::Pass => rows[row].passed += packets,
                Verdict::Drop => rows[row].dropped += packets,
            }
            rows[row].audited +=
                counters.ingress_audited.get(number).map_or(0, |counter| counter.packets);
        }
        rows
    }

    /// Packets that were dropped, or would have been but for audit mode, by reason; both directions.
    pub fn refused(&self, counters: &Counters) -> BTreeMap<Reason, u64> {
        let mut refused = BTreeMap::new();
        let kept = [&counters.ingress_audited, &counters.egress_audited];
        let dropped = [&counters.ingress, &counters.egress];
        for (number, meaning) in self.meanings.iter().enumerate() {
            let Some(Meaning { reason, .. }) = *meaning else { continue };
            if reason.verdict() == Verdict::Drop {
                let packets = kept.iter().chain(&dropped).filter_map(|table| table.get(number));
                *refused.entry(reason).or_default() +=
                    packets.map(|counter| counter.packets).sum::<u64>();
            }
        }
        refused
    }

    /// All packets and those of each named port, both directions together.
    pub fn totals(&self, counters: &Counters) -> Totals {
        let Counters { ingress, ingress_audited, egress, egress_audited } = counters;
        let mut totals = Totals::default();
        totals.ports.extend(self.ports.iter().map(|&port| (port, Counts::default())));
        for (number, meaning) in self.meanings.iter().enumerate() {
            let Some(Meaning { reason, row, .. }) = *meaning else { continue };
            let tables = [ingress, egress, ingress_audited, egress_audited];
            let packets: u64 = tables
                .into_iter()
                .filter_map(|table| table.get(number))
                .map(|counter| counter.packets)
                .sum();
            let of_port = self.ports.get(row).and_then(|port| totals.ports.get_mut(port));
            for counts in [Some(&mut totals.all), of_port].into_iter().flatten() {
                match reason.verdict() {
                    Verdict::Pass => counts.passed += packets,
                    Verdict::Drop => counts.dropped += packets,
                }
            }
        }
        totals
    }
}

/// What was read in the last seconds.
#[derive(Debug, Default)]
pub struct History {
    samples: VecDeque<(Instant, Vec<Tally>)>,
}

/// Per second.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Rate {
    pub passed: f64,
    pub dropped: f64,
    pub audited: f64,
    pub accepted: f64,
    /// Requests, on ports where they are counted.
    pub answered: Option<f64>,
}

impl History {
    /// Adds what was read at `now`. Rows that changed their meaning start anew.
    pub fn record(&mut self, now: Instant, rows: Vec<Tally>) {
        if self.samples.back().is_some_and(|(_, last)| last.len() != rows.len()) {
            self.samples.clear();
        }
        self.samples.push_back((now, rows));
        while self.samples.get(1).is_some_and(|(time, _)| now.duration_since(*time) >= WINDOW) {
            self.samples.pop_front();
        }
    }

    /// Forgets everything: the rows mean other ports now.
    pub fn clear(&mut self) {
        self.samples.clear();
    }

    /// The last counts and the rates up to them, by row; empty before the first reading.
    pub fn rows(&self) -> Vec<(Tally, Rate)> {
        let (Some((before, old)), Some((now, new))) = (self.samples.front(), self.samples.back())
        else {
            return Vec::new();
        };
        let seconds = now.duration_since(*before).as_secs_f64();
        let rate = |old: u64, new: u64| {
            if seconds > 0.0 { new.saturating_sub(old) as f64 / seconds } else { 0.0 }
        };
        let rows = old.iter().zip(new).map(|(old, new)| {
            let rates = Rate {
                passed: rate(old.passed, new.passed),
                dropped: rate(old.dropped, new.dropped),
                audited: rate(old.audited, new.audited),
                accepted: rate(old.accepted, new.accepted),
                answered: new.answered.map(|count| rate(old.answered.unwrap_or(count), count)),
            };
            (*new, rates)
        });
        rows.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_look_back_ten_seconds() {
        let start = Instant::now();
        let mut history = History::default();
        assert!(history.rows().is_empty());
        for second in 0..30 {
            let passed = if second < 20 { 0 } else { (second - 19) * 100 };
            let row = Tally { passed, ..Tally::default() };
            history.record(start + Duration::from_secs(second), vec![row]);
        }
        let (tally, rate) = history.rows()[0];
        assert_eq!(tally.passed, 1000);
        assert!((rate.passed - 100.0).abs() < 1e-9, "{rate:?}");
        assert_eq!(history.samples.len(), 11);

        history.record(start + Duration::from_secs(30), vec![Tally::default(); 2]);
        assert_eq!(history.samples.len(), 1, "another set of rows starts anew");
    }
}
