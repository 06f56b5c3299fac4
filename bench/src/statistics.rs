//! Medians and their spread.

use serde::Serialize;

/// What a number of samples say.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Summary {
    /// Half of the samples are below it.
    pub median: f64,
    /// A quarter of the samples are below it.
    pub low: f64,
    /// A quarter of the samples are above it.
    pub high: f64,
}

impl Summary {
    /// Summarises samples.
    ///
    /// # Panics
    /// If there are none.
    pub fn of(samples: &[f64]) -> Self {
        assert!(!samples.is_empty(), "nothing was measured");
        let mut sorted = samples.to_vec();
        sorted.sort_by(f64::total_cmp);
        let at = |part: f64| {
            let position = part * (sorted.len() - 1) as f64;
            let (below, above) =
                (sorted[position.floor() as usize], sorted[position.ceil() as usize]);
            below + (above - below) * position.fract()
        };
        Summary { median: at(0.5), low: at(0.25), high: at(0.75) }
    }

    /// Summarises the ratios of samples that were taken in the same rounds.
    pub fn of_ratios(samples: &[f64], floor: &[f64]) -> Self {
        Summary::of(
            &samples.iter().zip(floor).map(|(sample, floor)| sample / floor).collect::<Vec<_>>(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_outlier_changes_neither_median_nor_quartiles_much() {
        let summary = Summary::of(&[10.0, 11.0, 12.0, 13.0, 1000.0]);
        assert_eq!(summary, Summary { median: 12.0, low: 11.0, high: 13.0 });
        assert_eq!(Summary::of(&[1.0, 2.0]).median, 1.5);
    }

    #[test]
    fn ratios_are_taken_round_by_round() {
        // The second round was twice as slow for both.
        let summary = Summary::of_ratios(&[30.0, 60.0, 30.0], &[10.0, 20.0, 10.0]);
        assert_eq!((summary.low, summary.median, summary.high), (3.0, 3.0, 3.0));
    }
}
