//! A line of blocks, as high as the numbers.

/// From nothing to the highest.
const BLOCKS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// Seconds that a line shows at least, if there are as many.
const AT_LEAST: usize = 60;

/// The newest points in `width` blocks, each the mean of one second or more, the highest of them full. `last` is the number of
/// the newest point: a block stands for the same points however often it is drawn, or the line would flicker. A stretch without
/// any value is blank; 0 is the lowest block, and nothing else is.
pub fn spark(points: &[Option<f64>], last: u64, width: usize) -> String {
    if width == 0 {
        return String::new();
    }
    let step = AT_LEAST.div_ceil(width) as u64;
    let mut blocks = vec![(0.0, 0_u32); width];
    for (back, point) in points.iter().rev().enumerate() {
        let Some(number) = last.checked_sub(back as u64) else { break };
        let Ok(block) = usize::try_from(last / step - number / step) else { break };
        if block >= width {
            break;
        }
        if let Some(value) = point {
            let (sum, count) = &mut blocks[width - 1 - block];
            *sum += value;
            *count += 1;
        }
    }
    let means: Vec<_> =
        blocks.iter().map(|&(sum, count)| (count > 0).then(|| sum / f64::from(count))).collect();
    let highest = means.iter().flatten().copied().fold(0.0, f64::max);
    let block = |mean: &Option<f64>| match mean {
        None => ' ',
        Some(value) if *value > 0.0 => {
            let level = (value / highest * 7.0).ceil() as usize;
            BLOCKS[level.clamp(1, 7)]
        }
        Some(_) => BLOCKS[0],
    };
    means.iter().map(block).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_highest_is_full_and_nothing_is_lowest() {
        let points: Vec<_> = [0.0, 1.0, 35.0, 70.0].map(Some).to_vec();
        assert_eq!(spark(&points, 3, 60).trim_start(), "▁▂▅█");
        assert_eq!(spark(&points, 3, 60).chars().count(), 60);
        let gap = [Some(1.0), None, Some(1.0)];
        assert_eq!(spark(&gap, 2, 60).trim_start(), "█ █");
        assert_eq!(spark(&[], 0, 4), "    ");
        assert_eq!(spark(&points, 3, 0), "");
    }

    #[test]
    fn a_block_of_several_seconds_is_their_mean_and_stays() {
        // Ten blocks of six seconds; the newest holds the seconds from 60 on.
        let points: Vec<_> = (0..62).map(|second| Some(f64::from(second / 6))).collect();
        assert_eq!(spark(&points, 61, 10), "▂▃▄▄▅▆▆▇██");
        let before = spark(&points[..61], 60, 10);
        assert_eq!(before, spark(&points, 61, 10), "it does not flicker");
    }
}
