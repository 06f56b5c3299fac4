//! Our count over the server's own, over the same span.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

/// How far back the comparison looks: long enough that requests under way at either end hardly matter.
const SPAN: Duration = Duration::from_secs(300);

/// Both counts, as they were read together.
#[derive(Clone, Copy, Debug)]
struct Sample {
    at: Instant,
    ours: u64,
    theirs: u64,
}

/// Compares two counts that only grow.
#[derive(Clone, Debug, Default)]
pub struct Ratio(VecDeque<Sample>);

impl Ratio {
    /// Both counts at one moment.
    pub fn record(&mut self, at: Instant, ours: u64, theirs: u64) {
        // A count that went back began anew, so nothing before can be compared with it.
        if self.0.back().is_some_and(|last| ours < last.ours || theirs < last.theirs) {
            self.0.clear();
        }
        self.0.push_back(Sample { at, ours, theirs });
        while self.0.get(1).is_some_and(|second| at.duration_since(second.at) >= SPAN) {
            self.0.pop_front();
        }
    }

    /// 1 where both counted the same; `None` while the server counted nothing.
    pub fn get(&self) -> Option<f64> {
        let (first, last) = (self.0.front()?, self.0.back()?);
        let theirs = last.theirs - first.theirs;
        (theirs > 0).then(|| (last.ours - first.ours) as f64 / theirs as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_are_compared_over_the_same_span() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut ratio = Ratio::default();
        ratio.record(at(0), 100, 7);
        assert_eq!(ratio.get(), None);
        ratio.record(at(1), 100, 7);
        assert_eq!(ratio.get(), None, "nothing was counted");
        ratio.record(at(2), 109, 17);
        assert_eq!(ratio.get(), Some(0.9));
        ratio.record(at(302), 119, 27);
        assert_eq!(ratio.get(), Some(1.0), "what is older does not count");
        ratio.record(at(303), 5, 30);
        assert_eq!(ratio.get(), None, "begun anew");
        ratio.record(at(304), 10, 40);
        assert_eq!(ratio.get(), Some(0.5));
    }
}
