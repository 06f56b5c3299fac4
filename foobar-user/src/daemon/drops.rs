//! Dropped packets in the log: a sample at the configured rate, and how many more there were.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use foobar_common::reason::Reason;
use tracing::info;

use crate::control::watch::Event;

/// How often the log says how many dropped packets it does not show.
const SUMMARY: Duration = Duration::from_secs(10);

/// The sampled log of dropped packets.
#[derive(Debug, Default)]
pub struct DropLog {
    /// What was told since the last summary, by the reason's name.
    told: BTreeMap<String, u64>,
    /// What had been dropped at the last summary.
    counted: Option<(Instant, BTreeMap<Reason, u64>)>,
}

impl DropLog {
    /// Writes one that was dropped, or would have been but for audit mode.
    pub fn tell(&mut self, event: &Event) {
        *self.told.entry(event.reason.clone()).or_default() += 1;
        info!(
            interface = event.interface,
            direction = if event.direction == "ingress" { "in" } else { "out" },
            protocol = event.protocol.as_deref().unwrap_or("not IP"),
            from = event.sender(),
            to = event.receiver(),
            length = event.length,
            reason = event.reason,
            rule = event.rule,
            "{}",
            if event.audited { "would be dropped" } else { "dropped" },
        );
    }

    /// Writes from time to time how much more was dropped; `dropped` is all that ever was, by reason.
    pub fn summary(&mut self, dropped: BTreeMap<Reason, u64>, now: Instant) {
        if let Some((since, before)) = &self.counted {
            let time = now.duration_since(*since);
            if time < SUMMARY {
                return;
            }
            if let Some(more) = self.more(before, &dropped) {
                info!(
                    "{} more packets dropped in {:.0} s, not logged: {}",
                    more.total,
                    time.as_secs_f64(),
                    more.reasons
                );
            }
        }
        self.told.clear();
        self.counted = Some((now, dropped));
    }

    /// The log is off.
    pub fn forget(&mut self) {
        *self = Self::default();
    }

    fn more(&self, before: &BTreeMap<Reason, u64>, now: &BTreeMap<Reason, u64>) -> Option<More> {
        let untold = |(reason, count): (&Reason, &u64)| {
            let known =
                before.get(reason).unwrap_or(&0) + self.told.get(reason.name()).unwrap_or(&0);
            (count.saturating_sub(known), reason.name())
        };
        let mut more: Vec<_> = now.iter().map(untold).filter(|&(count, _)| count > 0).collect();
        more.sort_by(|a, b| b.cmp(a));
        let reasons: Vec<_> =
            more.iter().map(|(count, reason)| format!("{reason} {count}")).collect();
        (!more.is_empty()).then(|| More {
            total: more.iter().map(|(count, _)| count).sum(),
            reasons: reasons.join(", "),
        })
    }
}

/// What was dropped and not told.
#[derive(Debug, PartialEq, Eq)]
struct More {
    total: u64,
    reasons: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_told_is_summed_up_by_reason() {
        let mut log = DropLog::default();
        let event = |reason: Reason| Event {
            reason: reason.name().to_owned(),
            verdict: "drop".to_owned(),
            ..Event::default()
        };
        for reason in [Reason::NoRule, Reason::NoRule, Reason::Blocklist] {
            log.tell(&event(reason));
        }
        let before = BTreeMap::from([(Reason::NoRule, 100), (Reason::Martian, 5)]);
        let now = BTreeMap::from([
            (Reason::NoRule, 110),
            (Reason::Martian, 5),
            (Reason::Blocklist, 1),
            (Reason::Truncated, 20),
        ]);
        let more = log.more(&before, &now).unwrap();
        assert_eq!(more, More { total: 28, reasons: "truncated 20, no_rule 8".to_owned() });
        assert_eq!(log.more(&now, &now), None);
    }
}
