//! Rates, against a clock that the test moves.

use std::time::{Duration, Instant};

use super::site;
use super::text::page;
use crate::rates::{RateKind, Sampler, Series, Window};

const WEB: Series = Series { port: Some(80), kind: RateKind::Connections };
const OTHER: Series = Series { port: None, kind: RateKind::Connections };

/// A sampler and the time since it began.
struct Clock {
    sampler: Sampler,
    start: Instant,
}

impl Clock {
    fn new() -> Self {
        Clock { sampler: Sampler::new(), start: Instant::now() }
    }

    fn tick(&self, milliseconds: u64, count: u64) {
        self.sampler.tick(self.start + Duration::from_millis(milliseconds), &[(WEB, count)]);
    }

    fn rates(&self) -> [Option<f64>; 3] {
        let rates = self.sampler.rates();
        Window::ALL.map(|window| rates.get(WEB, window))
    }
}

#[test]
fn a_steady_rate_is_the_same_over_all_windows() {
    let clock = Clock::new();
    for second in 0..=90 {
        clock.tick(second * 1000, 1_000_000 + second * 7);
    }
    assert_eq!(clock.rates(), [Some(7.0); 3]);
}

#[test]
fn each_window_looks_back_as_far_as_it_says() {
    let clock = Clock::new();
    // 0 for 100 s, then 60 within one second, then silence.
    for second in 0..=100 {
        clock.tick(second * 1000, 500);
    }
    clock.tick(101_000, 560);
    assert_eq!(clock.rates(), [Some(60.0), Some(6.0), Some(1.0)]);
    clock.tick(102_000, 560);
    assert_eq!(clock.rates(), [Some(0.0), Some(6.0), Some(1.0)]);
    for second in 103..=110 {
        clock.tick(second * 1000, 560);
    }
    assert_eq!(clock.rates(), [Some(0.0), Some(6.0), Some(1.0)], "10 s after it began");
    clock.tick(111_000, 560);
    assert_eq!(clock.rates(), [Some(0.0), Some(0.0), Some(1.0)]);
    for second in 112..=160 {
        clock.tick(second * 1000, 560);
    }
    assert_eq!(clock.rates(), [Some(0.0), Some(0.0), Some(1.0)], "60 s after it began");
    clock.tick(161_000, 560);
    assert_eq!(clock.rates(), [Some(0.0); 3]);
}

#[test]
fn what_was_counted_before_the_first_tick_is_no_rate() {
    let clock = Clock::new();
    assert_eq!(clock.rates(), [None; 3]);
    clock.tick(0, 5_000_000);
    assert_eq!(clock.rates(), [None; 3]);
    clock.tick(1000, 5_000_030);
    assert_eq!(clock.rates(), [Some(30.0); 3]);
    clock.tick(2000, 5_000_030);
    assert_eq!(
        clock.rates(),
        [Some(0.0), Some(15.0), Some(15.0)],
        "over the time that was observed"
    );
}

#[test]
fn ticks_that_come_early_or_late_change_nothing() {
    let clock = Clock::new();
    let times = [0, 1003, 1998, 3001, 4000, 5004, 5997, 7002, 8000, 9001, 10_002, 10_999];
    for time in times {
        clock.tick(time, time * 2);
    }
    assert_eq!(clock.rates(), [Some(2000.0); 3]);
}

#[test]
fn a_stall_is_no_burst() {
    let clock = Clock::new();
    clock.tick(0, 0);
    clock.tick(1000, 10);
    clock.tick(31_000, 310);
    assert_eq!(clock.rates(), [Some(10.0); 3]);
}

#[test]
fn a_count_that_starts_anew_goes_on() {
    let clock = Clock::new();
    clock.tick(0, 1000);
    clock.tick(1000, 1010);
    clock.tick(2000, 4);
    assert_eq!(clock.rates()[0], Some(4.0));
    assert_eq!(clock.rates()[1], Some(7.0));
}

#[test]
fn a_second_tick_at_the_same_moment_is_ignored() {
    let clock = Clock::new();
    clock.tick(0, 0);
    clock.tick(1000, 5);
    clock.tick(1000, 9);
    assert_eq!(clock.rates(), [Some(5.0); 3]);
    clock.tick(2000, 9);
    assert_eq!(clock.rates(), [Some(4.0), Some(4.5), Some(4.5)]);
}

#[test]
fn series_come_and_go() {
    let sampler = Sampler::new();
    let at = |seconds| Instant::now() + Duration::from_secs(seconds);
    sampler.tick(at(0), &[(WEB, 0), (OTHER, 0)]);
    sampler.tick(at(1), &[(WEB, 1), (OTHER, 2)]);
    assert!(sampler.rates().get(OTHER, Window::OneSecond).is_some());
    sampler.tick(at(2), &[(WEB, 2)]);
    assert_eq!(sampler.rates().get(OTHER, Window::OneSecond), None);
    assert!(sampler.rates().get(WEB, Window::OneSecond).is_some());
}

#[test]
fn rates_are_on_the_page() {
    let sampler = Sampler::new();
    let start = Instant::now();
    sampler.tick(start, &[(WEB, 0)]);
    sampler.tick(start + Duration::from_secs(1), &[(WEB, 12)]);
    let mut snapshot = site::three_ports();
    snapshot.rates = sampler.rates();
    let page = page(&snapshot);
    for (port, window, rate) in
        [("80", "1s", 12.0), ("80", "60s", 12.0), ("443", "10s", 0.0), ("other", "1s", 0.0)]
    {
        let labels = [("port", port), ("kind", "connections"), ("window", window)];
        assert_eq!(page.value("foobar_qps", &labels), Some(rate), "{port} {window}");
    }
}
