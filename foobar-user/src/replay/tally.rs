//! What is told in the end: how many frames, by verdict and reason.

use std::collections::BTreeMap;

use foobar_common::reason::{Reason, Verdict};
use serde::Serialize;

use super::judge::Finding;

/// A count of the summary.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Count {
    /// `pass` or `drop`.
    pub verdict: &'static str,
    /// The reason's name.
    pub reason: &'static str,
    /// How many frames.
    pub frames: u64,
}

/// The summary of a replay.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// Frames of the capture.
    pub frames: u64,
    /// Those that pass.
    pub passed: u64,
    /// Those that are dropped.
    pub dropped: u64,
    /// By verdict and reason, the most frequent first.
    pub reasons: Vec<Count>,
    /// Frames of which the two configurations think differently; absent where only one was asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub changed: Option<u64>,
}

/// Counts findings.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    counts: BTreeMap<(Verdict, Reason), u64>,
}

impl Tally {
    /// Counts one.
    pub fn count(&mut self, finding: &Finding<'_>) {
        *self.counts.entry((finding.verdict, finding.reason)).or_default() += 1;
    }

    /// The summary; `changed` is the number of frames of which two configurations think differently.
    pub fn summary(&self, changed: Option<u64>) -> Summary {
        let of = |wanted: Verdict| {
            self.counts
                .iter()
                .filter(|((verdict, _), _)| *verdict == wanted)
                .map(|(_, count)| count)
                .sum()
        };
        let mut reasons: Vec<Count> = self
            .counts
            .iter()
            .map(|((verdict, reason), &frames)| Count {
                verdict: verdict.name(),
                reason: reason.name(),
                frames,
            })
            .collect();
        reasons.sort_by_key(|count| std::cmp::Reverse(count.frames));
        Summary {
            frames: self.counts.values().sum(),
            passed: of(Verdict::Pass),
            dropped: of(Verdict::Drop),
            reasons,
            changed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_counted_by_verdict_and_reason() {
        let mut tally = Tally::default();
        let finding = |reason: Reason| Finding { verdict: reason.verdict(), reason, rule: None };
        for reason in [Reason::NoRule, Reason::Rule, Reason::NoRule, Reason::Reply, Reason::NoRule]
        {
            tally.count(&finding(reason));
        }
        let Summary { frames, passed, dropped, reasons, changed } = tally.summary(None);
        assert_eq!((frames, passed, dropped, changed), (5, 2, 3, None));
        let told: Vec<_> =
            reasons.iter().map(|count| (count.verdict, count.reason, count.frames)).collect();
        assert_eq!(told, [("drop", "no_rule", 3), ("pass", "rule", 1), ("pass", "reply", 1)]);
    }
}
