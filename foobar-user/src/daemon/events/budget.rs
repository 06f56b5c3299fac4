//! How many packets and requests the kernel may tell of until the next look, and to which port: a flood of packets is no flood of events.

use std::time::Instant;

use foobar_common::event::Sampling;

use crate::control::watch::{Demand, Event};

/// Events of one verdict, and requests, between two looks while somebody watches: 1,000 a second, for all watchers together. The ring buffer
/// holds three times as many of both.
const WATCHED: u32 = 100;

/// What the log may still tell of.
#[derive(Debug, Default)]
pub struct Allowance {
    tokens: f64,
    refilled: Option<Instant>,
}

impl Allowance {
    /// Adds what the rate (packets a second) allows since the last call; `None` is no log at all.
    pub fn refill(&mut self, rate: Option<f64>, now: Instant) {
        let Some(rate) = rate else {
            *self = Self::default();
            return;
        };
        let elapsed = self.refilled.map_or(1.0, |last| now.duration_since(last).as_secs_f64());
        // What a quiet time leaves over is lost, or a burst would follow it.
        self.tokens = (self.tokens + rate * elapsed).min(rate.max(1.0));
        self.refilled = Some(now);
    }

    /// Takes one packet's worth, if there is one.
    pub fn take(&mut self) -> bool {
        let is_enough = self.tokens >= 1.0;
        if is_enough {
            self.tokens -= 1.0;
        }
        is_enough
    }

    /// Whole packets that are left; `None` without a log.
    pub fn whole(&self) -> Option<u32> {
        self.refilled.map(|_| self.tokens as u32)
    }
}

/// How many events came since the last look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Taken {
    drops: u32,
    passes: u32,
    requests: u32,
}

impl Taken {
    /// Counts a request.
    pub fn count_request(&mut self) {
        self.requests += 1;
    }

    /// Counts one.
    pub fn count(&mut self, event: &Event) {
        if event.verdict == "drop" { self.drops += 1 } else { self.passes += 1 }
    }
}

/// Decides what is sampled next.
#[derive(Debug, Default)]
pub struct Budget {
    last: Sampling,
    turn: usize,
    request_turn: usize,
}

impl Budget {
    /// What the kernel may tell of, now that `taken` came of the last budget; `log` is what the log may tell of, `None` without a
    /// log. `None`: nobody wants to know anything.
    ///
    /// While there are few packets, all watchers get what they want of one sample of all packets. In a flood, packets to a port that
    /// somebody watches would hardly be among the few that are sampled: then the wanted ports have their turns.
    pub fn next(&mut self, demand: &Demand, log: Option<u32>, taken: Taken) -> Option<Sampling> {
        let is_flood = |taken: u32, budget: u32| budget > 0 && taken >= budget;
        let watched = if demand.any { WATCHED } else { 0 };
        let drops = watched.max(log.unwrap_or(0));
        let passes = if demand.passes { WATCHED } else { 0 };
        if is_flood(taken.drops, self.last.drops) || is_flood(taken.passes, self.last.passes) {
            self.turn += 1;
        } else {
            self.turn = 0;
        }
        let mut wanted = demand.ports.clone();
        if log.is_some() && !wanted.contains(&None) {
            wanted.insert(0, None);
        }
        let was_flood = is_flood(taken.requests, self.last.requests);
        self.request_turn = if was_flood { self.request_turn + 1 } else { 0 };
        self.last = Sampling {
            drops,
            passes,
            port: turn(&wanted, self.turn),
            request_port: turn(&demand.requests, self.request_turn),
            requests: if demand.requests.is_empty() { 0 } else { WATCHED },
        };
        (demand.is_any() || log.is_some()).then_some(self.last)
    }
}

/// The port that is sampled next of those that are wanted, network byte order; 0 is any.
fn turn(wanted: &[Option<u16>], turn: usize) -> u16 {
    let port = match wanted {
        [only] => *only,
        several if turn > 0 && !several.is_empty() => several[turn % several.len()],
        _ => None,
    };
    port.unwrap_or(0).to_be()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn demand(passes: bool, ports: &[Option<u16>]) -> Demand {
        Demand { any: !ports.is_empty(), passes, ports: ports.to_vec(), requests: Vec::new() }
    }

    fn port(sampling: Option<Sampling>) -> u16 {
        u16::from_be(sampling.expect("something is sampled").port)
    }

    const FEW: Taken = Taken { drops: 3, passes: 3, requests: 3 };
    const FLOOD: Taken = Taken { drops: WATCHED, passes: 0, requests: WATCHED };

    #[test]
    fn nobody_who_wants_to_know_costs_nothing() {
        let mut budget = Budget::default();
        assert_eq!(budget.next(&demand(false, &[]), None, FEW), None);
        let logged = budget.next(&demand(false, &[]), Some(10), FEW).unwrap();
        assert_eq!((logged.drops, logged.passes, logged.port), (10, 0, 0));
        let watched = budget.next(&demand(false, &[None]), Some(10), FEW).unwrap();
        assert_eq!((watched.drops, watched.passes), (WATCHED, 0));
        let all = budget.next(&demand(true, &[None]), None, FEW).unwrap();
        assert_eq!((all.drops, all.passes, all.port), (WATCHED, WATCHED, 0));
    }

    #[test]
    fn one_wanted_port_is_chosen_in_the_kernel() {
        let mut budget = Budget::default();
        assert_eq!(port(budget.next(&demand(true, &[Some(443)]), None, FEW)), 443);
        assert_eq!(
            port(budget.next(&demand(true, &[Some(443)]), Some(10), FEW)),
            0,
            "the log wants all"
        );
        assert_eq!(port(budget.next(&demand(true, &[Some(22), Some(443)]), None, FEW)), 0);
    }

    #[test]
    fn in_a_flood_the_wanted_ports_have_their_turns() {
        let mut budget = Budget::default();
        let wanted = demand(false, &[None, Some(22), Some(443)]);
        assert_eq!(port(budget.next(&wanted, None, FEW)), 0);
        let turns =
            [FLOOD, FLOOD, FLOOD, FLOOD].map(|taken| port(budget.next(&wanted, None, taken)));
        assert_eq!(turns, [22, 443, 0, 22]);
        // The turn of a port that gets few packets says nothing about the flood: all have their turn again.
        assert_eq!(port(budget.next(&wanted, None, FEW)), 0);
    }

    #[test]
    fn requests_have_a_budget_of_their_own() {
        let mut budget = Budget::default();
        let wanted =
            |ports: &[Option<u16>]| Demand { requests: ports.to_vec(), ..Demand::default() };
        let mut next = |ports: &[Option<u16>], taken| {
            let Sampling { drops, passes, port, request_port, requests } =
                budget.next(&wanted(ports), None, taken).unwrap();
            assert_eq!((drops, passes, port, requests), (0, 0, 0, WATCHED), "no packets");
            u16::from_be(request_port)
        };
        assert_eq!(next(&[Some(80)], FEW), 80);
        assert_eq!(next(&[Some(80), Some(81)], FEW), 0);
        assert_eq!(
            [FLOOD, FLOOD, FEW].map(|taken| next(&[Some(80), Some(81)], taken)),
            [81, 80, 0]
        );
        assert_eq!(budget.next(&demand(true, &[None]), None, FEW).unwrap().requests, 0);
    }

    #[test]
    fn the_log_has_its_rate() {
        let mut allowance = Allowance::default();
        assert_eq!(allowance.whole(), None);
        let start = Instant::now();
        allowance.refill(Some(10.0), start);
        assert_eq!(allowance.whole(), Some(10));
        assert_eq!((0..20).filter(|_| allowance.take()).count(), 10);
        allowance.refill(Some(10.0), start + Duration::from_millis(250));
        assert_eq!(allowance.whole(), Some(2));
        allowance.refill(Some(10.0), start + Duration::from_secs(3600));
        assert_eq!(allowance.whole(), Some(10), "a quiet hour makes no burst");
        allowance.refill(None, start + Duration::from_secs(3601));
        assert_eq!((allowance.whole(), allowance.take()), (None, false));
    }

    #[test]
    fn a_rate_below_one_a_second_adds_up() {
        let mut allowance = Allowance::default();
        let start = Instant::now();
        let told = (0..60).filter(|&second| {
            allowance.refill(Some(0.1), start + Duration::from_secs(second));
            allowance.take()
        });
        assert!((5..=6).contains(&told.count()));
    }
}
