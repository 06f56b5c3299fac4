//! Quantiles of a histogram, as Prometheus's `histogram_quantile` computes them, so that both views agree with a dashboard.

use super::reading::Times;

/// The value, in microseconds, that the share `quantile` (0 to 1) of all observations does not exceed: linear within its
/// bucket, and the largest bound for what lies beyond. `None` without observations.
pub fn quantile_us(times: &Times, quantile: f64) -> Option<f64> {
    let total: u64 = times.buckets.iter().sum();
    if total == 0 {
        return None;
    }
    let rank = quantile * total as f64;
    let mut below = 0;
    let mut lower = 0;
    for (&upper, &count) in times.bounds_us.iter().zip(&times.buckets) {
        let until = below + count;
        if count > 0 && until as f64 >= rank {
            let within = (rank - below as f64) / count as f64;
            return Some(lower as f64 + (upper - lower) as f64 * within.max(0.0));
        }
        (below, lower) = (until, upper);
    }
    times.bounds_us.last().map(|&bound| bound as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times(buckets: &[u64]) -> Times {
        Times { bounds_us: &[100, 200, 1000], buckets: buckets.to_vec() }
    }

    #[test]
    fn quantiles_are_those_of_prometheus() {
        // histogram_quantile(0.5, ...) of le="100" 4, le="200" 8, le="1000" 10, le="+Inf" 10.
        let spread = times(&[4, 4, 2, 0]);
        assert_eq!(quantile_us(&spread, 0.5), Some(125.0));
        assert_eq!(quantile_us(&spread, 0.95), Some(800.0));
        assert_eq!(quantile_us(&times(&[10, 0, 0, 0]), 0.5), Some(50.0));
        assert_eq!(quantile_us(&times(&[0, 0, 0, 3]), 0.5), Some(1000.0), "beyond the last bound");
        assert_eq!(quantile_us(&times(&[0, 0, 0, 0]), 0.5), None);
    }

    #[test]
    fn only_what_came_since_counts() {
        let (before, now) = (times(&[5, 0, 0, 0]), times(&[5, 0, 2, 0]));
        assert_eq!(now.since(&before), times(&[0, 0, 2, 0]));
        assert_eq!(before.since(&now), before, "it was made anew");
    }
}
