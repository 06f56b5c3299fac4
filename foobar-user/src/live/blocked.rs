//! Who is dropped most, estimated from sampled packets: the counters say how many packets were dropped in a second, the sample
//! says whose share of them was how large.

use std::{cmp::Ordering, collections::HashMap};

use serde::{Deserialize, Serialize};

use super::track::round;

/// Sources that are remembered at most. The kernel tells of 1,000 dropped packets a second at most, so one that really sends
/// much is told of again before it is forgotten.
const REMEMBERED: usize = 4096;

/// Sources that are told.
pub const SHOWN: usize = 50;

/// What is left of a rate after a second: half after ten.
const KEPT: f64 = 0.933_033;

/// A source of dropped packets.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct BlockedSource {
    /// Its address.
    pub source: String,
    /// Its packets a second, over some ten seconds; estimated.
    pub rate: f64,
    /// Its packets since somebody looks; estimated.
    pub packets: f64,
    /// Why its last sampled packet was dropped.
    pub reason: String,
    /// To which port that was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
}

/// A sampled packet that came in and was dropped, or would have been but for audit mode.
#[derive(Clone, Copy, Debug)]
pub struct Dropped<'a> {
    /// Its source address.
    pub source: &'a str,
    /// The port that it was sent to, of protocols with ports.
    pub port: Option<u16>,
    /// Why it was dropped.
    pub reason: &'a str,
}

/// Gathers samples, second by second.
#[derive(Debug, Default)]
pub struct Blocked {
    sources: HashMap<String, Source>,
    /// Sampled in this second.
    sampled: u64,
    /// Weight that a rate of full age has: less than 1 in the first seconds.
    weight: f64,
}

#[derive(Debug, Default)]
struct Source {
    /// Sampled in this second.
    sampled: u64,
    rate: f64,
    packets: f64,
    reason: String,
    port: Option<u16>,
}

impl Blocked {
    /// A packet was told of.
    pub fn sample(&mut self, dropped: &Dropped<'_>) {
        self.sampled += 1;
        if !self.sources.contains_key(dropped.source) && self.sources.len() >= REMEMBERED {
            self.forget_some();
        }
        let source = self.sources.entry(dropped.source.to_owned()).or_default();
        source.sampled += 1;
        dropped.reason.clone_into(&mut source.reason);
        source.port = dropped.port;
    }

    /// A second is over, in which the counters say that so many incoming packets were dropped.
    pub fn second(&mut self, dropped: f64) {
        if self.sampled == 0 && dropped > 0.0 {
            // Nobody was told of yet, as in the first second: that says nothing about anybody.
            return;
        }
        // A packet may be told of a moment before it is counted.
        let each = if self.sampled == 0 { 0.0 } else { (dropped / self.sampled as f64).max(1.0) };
        self.weight = self.weight * KEPT + (1.0 - KEPT);
        for source in self.sources.values_mut() {
            let packets = source.sampled as f64 * each;
            source.packets += packets;
            source.rate = source.rate * KEPT + packets * (1.0 - KEPT);
            source.sampled = 0;
        }
        self.sampled = 0;
    }

    /// The [`SHOWN`] sources with the highest rates.
    pub fn top(&self) -> Vec<BlockedSource> {
        let mut top: Vec<_> =
            self.sources.iter().filter(|(_, source)| source.packets > 0.0).collect();
        top.sort_by(|(a, x), (b, y)| {
            y.rate.total_cmp(&x.rate).then(y.packets.total_cmp(&x.packets)).then(a.cmp(b))
        });
        let told = top.into_iter().take(SHOWN).map(|(address, source)| BlockedSource {
            source: address.clone(),
            rate: round(source.rate / self.weight.max(1.0 - KEPT)),
            packets: source.packets.round(),
            reason: source.reason.clone(),
            port: source.port,
        });
        told.collect()
    }

    /// Makes room: the quieter half goes.
    fn forget_some(&mut self) {
        let weight = |source: &Source| source.rate + source.sampled as f64;
        let mut weights: Vec<_> = self.sources.values().map(weight).collect();
        weights.sort_by(f64::total_cmp);
        let median = weights[weights.len() / 2];
        let above = weights.iter().filter(|weight| **weight > median).count();
        let mut equal = (REMEMBERED / 2).saturating_sub(above);
        self.sources.retain(|_, source| match weight(source).total_cmp(&median) {
            Ordering::Greater => true,
            Ordering::Less => false,
            Ordering::Equal => {
                let stays = equal > 0;
                equal = equal.saturating_sub(1);
                stays
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(source: &str) -> Dropped<'_> {
        Dropped { source, port: Some(22), reason: "no_rule" }
    }

    #[test]
    fn shares_of_the_sample_are_shares_of_what_was_counted() {
        let mut blocked = Blocked::default();
        for _ in 0..20 {
            (0..75).for_each(|_| blocked.sample(&from("192.0.2.7")));
            (0..25).for_each(|_| blocked.sample(&from("2001:db8::7")));
            blocked.second(10_000.0);
        }
        blocked.second(10_000.0);
        let top = blocked.top();
        assert_eq!(top.len(), 2, "{top:?}");
        assert_eq!((top[0].source.as_str(), top[1].source.as_str()), ("192.0.2.7", "2001:db8::7"));
        assert!(
            (top[0].rate - 7500.0).abs() < 1.0 && (top[1].rate - 2500.0).abs() < 1.0,
            "{top:?}"
        );
        assert_eq!((top[0].packets, top[0].port), (150_000.0, Some(22)));
        (0..40).for_each(|_| blocked.second(0.0));
        assert!(blocked.top()[0].rate < 7500.0 / 15.0, "a source that is silent fades");
    }

    #[test]
    fn a_flood_of_invented_sources_takes_no_more_room_and_hides_nobody() {
        let mut blocked = Blocked::default();
        for second in 0..30 {
            for number in 0..900 {
                blocked.sample(&from(&format!("2001:db8::{second:x}:{number:x}")));
            }
            (0..100).for_each(|_| blocked.sample(&from("192.0.2.7")));
            blocked.second(50_000.0);
            assert!(blocked.sources.len() <= REMEMBERED);
        }
        let top = blocked.top();
        assert_eq!((top.len(), top[0].source.as_str()), (SHOWN, "192.0.2.7"));
        assert!((top[0].rate - 5000.0).abs() < 50.0, "{:?}", top[0]);
    }
}
