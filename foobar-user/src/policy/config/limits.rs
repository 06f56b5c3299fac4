//! `[limits]`, and rates wherever they are written.

use std::fmt;

use foobar_common::tables;
use serde::{Serialize, Serializer};

use super::{section::Section, values};

/// What a rate counts by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Period {
    /// Per second.
    Second,
    /// Per minute.
    Minute,
}

impl Period {
    /// Length in seconds.
    pub const fn seconds(self) -> u64 {
        match self {
            Period::Second => 1,
            Period::Minute => 60,
        }
    }
}

/// How often something may happen: `"20/s"` or `"30/m"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Rate {
    /// How many times; at least 1.
    pub count: u64,
    /// In which time.
    pub period: Period,
}

impl Rate {
    /// Highest count, so that tokens of hours do not overflow 64 bits.
    pub const MAX_COUNT: u64 = 10_000_000;

    /// As a number per second.
    pub fn per_second(self) -> f64 {
        self.count as f64 / self.period.seconds() as f64
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = match self.period {
            Period::Second => "s",
            Period::Minute => "m",
        };
        write!(f, "{}/{unit}", self.count)
    }
}

impl Serialize for Rate {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A token bucket: a rate, and how many may come at once after a pause.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct RateLimit {
    /// The lasting rate.
    pub rate: Rate,
    /// The size of the bucket; at least 1.
    pub burst: u64,
}

impl RateLimit {
    /// Highest burst.
    pub const MAX_BURST: u64 = 1_000_000_000;

    /// In the kernel's units. `hz` is the number of its clock ticks (jiffies) in a second.
    pub fn compile(self, hz: u64) -> tables::Limit {
        let ticks = hz * self.rate.period.seconds();
        let per_jiffy = (self.rate.count * tables::Limit::SCALE + ticks / 2) / ticks;
        tables::Limit { per_jiffy: per_jiffy.max(1), burst: self.burst * tables::Limit::SCALE }
    }
}

impl fmt::Display for RateLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (burst {})", self.rate, self.burst)
    }
}

/// Limits that belong to no rule.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Limits {
    /// How many packets each source may send, whatever they are.
    pub packets_per_source: Option<RateLimit>,
}

impl Limits {
    pub(super) fn read(mut section: Section<'_, '_>) -> Self {
        let rate = section.take("packets_per_source").and_then(|value| {
            values::rate(&section, &value, "packets_per_source", "left out, there is no limit")
        });
        let burst_value = section.take("burst");
        let burst = burst_value.as_ref().and_then(|value| values::burst(&section, value));
        if let (None, Some(value)) = (rate, &burst_value)
            && !section.has_errors()
        {
            section.error(
                value.span(),
                "`burst` says nothing without `packets_per_source`",
                "give the rate as well, such as packets_per_source = \"10000/s\"",
            );
        }
        section.finish();
        Limits {
            packets_per_source: rate
                .map(|rate| RateLimit { rate, burst: burst.unwrap_or(rate.count) }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_in_kernel_units_stay_near_the_rate() {
        for hz in [100, 250, 300, 1000] {
            for (count, period) in
                [(1, Period::Minute), (20, Period::Second), (Rate::MAX_COUNT, Period::Second)]
            {
                let limit = RateLimit { rate: Rate { count, period }, burst: 40 }.compile(hz);
                let got = limit.per_jiffy as f64 * hz as f64 / tables::Limit::SCALE as f64;
                let wanted = count as f64 / period.seconds() as f64;
                assert!(
                    (got / wanted - 1.0).abs() < 0.03,
                    "{count} {period:?} at {hz}: {got} for {wanted}"
                );
                assert_eq!(limit.burst, 40 << 20);
            }
        }
    }
}
