//! How many more packets or requests there were than events: the counters count all of them.

use std::collections::BTreeMap;

use super::{Event, WatchQuery};

/// What the counters said at some moment, both directions together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// All packets.
    pub all: Counts,
    /// Those that were counted for a named port.
    pub ports: BTreeMap<u16, Counts>,
    /// Requests read off the packets, by port.
    pub requests: BTreeMap<u16, u64>,
}

/// Packets since the counters were made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Passed because the policy lets them pass.
    pub passed: u64,
    /// Dropped, or audited.
    pub dropped: u64,
}

/// The account of one watcher.
#[derive(Debug)]
pub struct Account {
    query: WatchQuery,
    /// What had been counted when it began.
    start: Option<u64>,
    /// Counted since then, at the last reading.
    counted: u64,
    /// Events since then that belong to what is counted.
    told: u64,
    /// What was reported as suppressed since then.
    reported: u64,
}

impl Account {
    /// For what this query asks for.
    pub fn new(query: WatchQuery) -> Self {
        Self { query, start: None, counted: 0, told: 0, reported: 0 }
    }

    /// An event was told.
    pub fn told(&mut self, event: &Event) {
        let is_counted = self.query.port.is_none_or(|port| event.counted_port == Some(port));
        if self.start.is_some() && is_counted {
            self.told += 1;
        }
    }

    /// A request was told.
    pub fn told_request(&mut self) {
        self.told += u64::from(self.start.is_some());
    }

    /// How many packets or requests were suppressed, now that the counters were read again.
    ///
    /// A packet is counted before its event is read, so what the reading before this one counted is compared with what was told up
    /// to now: what is reported was suppressed for certain, and nothing that was is missing in the long run. Of a port that has no
    /// counters of its own nobody knows, and nothing is reported.
    pub fn suppressed(&mut self, totals: &Totals) -> u64 {
        let Some(now) = self.count(totals) else { return 0 };
        let start = *self.start.get_or_insert(now);
        // The legend of the counters may have changed, and with it what is summed up here.
        let before = std::mem::replace(&mut self.counted, now.saturating_sub(start));
        let fresh = before.saturating_sub(self.told).saturating_sub(self.reported);
        self.reported += fresh;
        fresh
    }

    /// What the query asks for, as it was counted.
    fn count(&self, totals: &Totals) -> Option<u64> {
        if self.query.requests {
            return match self.query.port {
                None => Some(totals.requests.values().sum()),
                Some(port) => totals.requests.get(&port).copied(),
            };
        }
        let counts = match self.query.port {
            None => Some(&totals.all),
            Some(port) => totals.ports.get(&port),
        };
        counts.map(|counts| counts.dropped + if self.query.dropped { 0 } else { counts.passed })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn totals(passed: u64, dropped: u64) -> Totals {
        let all = Counts { passed, dropped };
        let of_port = Counts { passed: passed / 2, dropped: dropped / 2 };
        Totals { all, ports: BTreeMap::from([(443, of_port)]), ..Totals::default() }
    }

    fn reported(query: WatchQuery, steps: &[(u64, u64, u64)]) -> Vec<u64> {
        let mut account = Account::new(query);
        let event = Event { counted_port: Some(443), ..Event::default() };
        steps
            .iter()
            .map(|&(passed, dropped, events)| {
                (0..events).for_each(|_| account.told(&event));
                account.suppressed(&totals(passed, dropped))
            })
            .collect()
    }

    const DROPPED: WatchQuery = WatchQuery { dropped: true, port: None, requests: false };

    #[test]
    fn what_was_counted_and_not_told_is_suppressed() {
        // It began when 100 had been dropped; then 50 more, of which 20 were told, a second later 10, all of them told.
        assert_eq!(
            reported(DROPPED, &[(0, 100, 0), (0, 150, 20), (0, 160, 10), (0, 160, 0), (0, 160, 0)]),
            [0, 0, 20, 10, 0]
        );
        let everything = WatchQuery::default();
        assert_eq!(reported(everything, &[(0, 0, 0), (30, 10, 0), (30, 10, 0)]), [0, 0, 40]);
    }

    #[test]
    fn requests_are_accounted_by_their_own_counters() {
        for (port, expected) in [(None, 15), (Some(80), 5), (Some(81), 0)] {
            let query = WatchQuery { requests: true, port, ..WatchQuery::default() };
            let mut account = Account::new(query);
            let totals = |of_80, of_8080| Totals {
                requests: BTreeMap::from([(80, of_80), (8080, of_8080)]),
                ..totals(9, 9)
            };
            assert_eq!(account.suppressed(&totals(0, 0)), 0);
            (0..5).for_each(|_| account.told_request());
            assert_eq!(account.suppressed(&totals(10, 10)), 0);
            assert_eq!(account.suppressed(&totals(10, 10)), expected, "{port:?}");
        }
    }

    #[test]
    fn events_that_are_ahead_of_the_counters_are_no_debt() {
        assert_eq!(reported(DROPPED, &[(0, 0, 0), (0, 5, 9), (0, 9, 0), (0, 9, 0)]), [0, 0, 0, 0]);
    }

    #[test]
    fn a_port_is_accounted_by_its_own_counters_or_not_at_all() {
        let of_port = |port| WatchQuery { port: Some(port), ..DROPPED };
        assert_eq!(reported(of_port(443), &[(0, 0, 0), (0, 100, 10), (0, 100, 0)]), [0, 0, 40]);
        assert_eq!(reported(of_port(9100), &[(0, 0, 0), (0, 100, 0), (0, 100, 0)]), [0, 0, 0]);
    }

    #[test]
    fn counters_that_went_back_report_nothing() {
        assert_eq!(
            reported(DROPPED, &[(0, 100, 0), (0, 10, 0), (0, 20, 0), (0, 130, 0), (0, 130, 0)]),
            [0, 0, 0, 0, 30]
        );
    }
}
