//! The capture's time as the kernel's clock: limits refill and flows age as they would have when the frames arrived.

/// Where the clock of a replay starts, in seconds: like a machine that was started a day ago. 0 would mean "now" to the programs.
const START: u64 = 24 * 3600;
/// Nanoseconds in a second.
const SECOND: u64 = 1_000_000_000;
/// Frames of several queues are captured a little out of order. What goes back further is another clock: a capture that was put
/// together from several, or a machine whose clock was set.
const JITTER: u64 = SECOND;
/// The longest silence that makes a difference: nothing is remembered for a year. A clock that was set from 1970 to today would
/// otherwise wrap around the 32 bits in which the programs count.
const LONGEST_GAP: u64 = 366 * 24 * 3600 * SECOND;

/// Never goes back, and never shows 0.
#[derive(Clone, Debug)]
pub struct Clock {
    hz: u64,
    /// The latest time that was seen, nanoseconds; `None` before the first frame that tells one.
    latest: Option<u64>,
    /// Nanoseconds since the first frame.
    elapsed: u64,
}

impl Clock {
    /// For a kernel with this many ticks (jiffies) a second.
    pub fn new(hz: u64) -> Self {
        Self { hz, latest: None, elapsed: 0 }
    }

    /// The kernel's clock, in jiffies, when a frame of this time arrives (nanoseconds; 0 if the capture does not tell).
    pub fn jiffies(&mut self, time_ns: u64) -> u64 {
        if time_ns != 0 {
            match self.latest {
                Some(latest) if time_ns >= latest => {
                    self.elapsed = self.elapsed.saturating_add((time_ns - latest).min(LONGEST_GAP));
                    self.latest = Some(time_ns);
                }
                // Time stands still until it is caught up with.
                Some(latest) if latest - time_ns <= JITTER => {}
                _ => self.latest = Some(time_ns),
            }
        }
        START * self.hz
            + (u128::from(self.elapsed) * u128::from(self.hz) / u128::from(SECOND)) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HZ: u64 = 250;
    const NOW: u64 = 1_700_000_000 * SECOND;

    /// What the clock shows for these times, in jiffies since the first.
    fn shown(times: &[u64]) -> Vec<u64> {
        let mut clock = Clock::new(HZ);
        times.iter().map(|&time| clock.jiffies(time) - START * HZ).collect()
    }

    #[test]
    fn time_passes_as_in_the_capture() {
        assert_eq!(
            shown(&[NOW, NOW + SECOND, NOW + SECOND + 3_999_999, NOW + SECOND + 4_000_000]),
            [0, 250, 250, 251]
        );
        assert_eq!(shown(&[7, 7 + 3600 * SECOND]), [0, 3600 * HZ]);
    }

    #[test]
    fn a_capture_without_times_stands_still() {
        assert_eq!(shown(&[0, 0, 0]), [0, 0, 0]);
        assert_eq!(shown(&[NOW, 0, NOW + SECOND, 0]), [0, 0, 250, 250]);
        assert_ne!(Clock::new(HZ).jiffies(0), 0, "0 would mean now");
    }

    #[test]
    fn a_little_disorder_is_straightened() {
        let late = NOW + SECOND / 2;
        assert_eq!(shown(&[NOW, late, NOW, late + SECOND / 2]), [0, 125, 125, 250]);
    }

    #[test]
    fn after_a_jump_back_time_goes_on_from_there() {
        let earlier = NOW - 86_400 * SECOND;
        assert_eq!(shown(&[NOW, NOW + SECOND, earlier, earlier + SECOND]), [0, 250, 250, 500]);
    }

    #[test]
    fn a_clock_that_was_set_makes_a_long_silence_at_most() {
        let jump = shown(&[5 * SECOND, NOW])[1];
        assert_eq!(jump, 366 * 86_400 * HZ);
        let at_1000_hz = (jump / HZ * 1000) >> foobar_common::flow::TICK_SHIFT;
        assert!(at_1000_hz < u64::from(u32::MAX / 2), "the programs count in 32 bits");
        assert_eq!(shown(&[u64::MAX, 1, u64::MAX])[1], 0);
    }
}
