//! The kernel's clocks, as far as the programs count in them.

use std::time::Duration;

use foobar_common::flow::{FlowTimeouts, TICK_SHIFT};

use crate::policy::config::Flows;

/// Nanoseconds in a second.
const SECOND: u64 = 1_000_000_000;

/// Jiffies a second (CONFIG_HZ): the coarse clock advances by one of them at a time.
pub fn hz() -> u64 {
    let mut step = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: clock_getres(2) writes one structure.
    let result = unsafe { libc::clock_getres(libc::CLOCK_MONOTONIC_COARSE, &raw mut step) };
    match u64::try_from(step.tv_nsec) {
        Ok(step) if result == 0 && step > 0 => (SECOND + step / 2) / step,
        _ => 250,
    }
}

/// Seconds by which the kernel's TAI clock is ahead of UTC: 0 where no time service has told it.
pub(super) fn tai_ahead() -> i32 {
    let nanoseconds = |clock: libc::clockid_t| {
        let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: clock_gettime(2) writes one structure.
        unsafe { libc::clock_gettime(clock, &raw mut now) };
        now.tv_sec * SECOND as i64 + now.tv_nsec
    };
    // Both advance alike, so what is left of the time between the two calls goes with rounding.
    let ahead = nanoseconds(libc::CLOCK_TAI) - nanoseconds(libc::CLOCK_REALTIME);
    ahead.div_euclid(SECOND as i64) as i32
        + i32::from(ahead.rem_euclid(SECOND as i64) * 2 > SECOND as i64)
}

/// How long flows may be silent, in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// A TCP flow of which no answer was seen yet.
    pub tcp_opening: u64,
    /// A TCP flow of which both sides were heard.
    pub tcp_established: u64,
    /// A TCP flow after a FIN or RST.
    pub tcp_closing: u64,
    /// A UDP flow.
    pub udp: u64,
    /// An echo request.
    pub icmp: u64,
    /// The first fragment of a datagram.
    pub fragment: u64,
}

impl Default for Timeouts {
    /// Those of nf_conntrack, where it has one.
    fn default() -> Self {
        Timeouts {
            tcp_opening: 120,
            tcp_established: 5 * 24 * 3600,
            tcp_closing: 120,
            udp: 180,
            icmp: 30,
            fragment: 30,
        }
    }
}

impl Timeouts {
    /// Those of a configuration, which names the two that sites differ in.
    pub fn of(flows: &Flows) -> Self {
        Timeouts {
            tcp_established: flows.tcp_idle.as_secs(),
            udp: flows.udp_idle.as_secs(),
            ..Timeouts::default()
        }
    }

    /// In the units that the programs count in; at least one.
    pub(super) fn in_ticks(&self, hz: u64) -> FlowTimeouts {
        let ticks = |seconds: u64| {
            u32::try_from(seconds.saturating_mul(hz) >> TICK_SHIFT)
                .unwrap_or(u32::MAX / 2)
                .clamp(1, u32::MAX / 2)
        };
        FlowTimeouts {
            tcp_opening: ticks(self.tcp_opening),
            tcp_established: ticks(self.tcp_established),
            tcp_closing: ticks(self.tcp_closing),
            udp: ticks(self.udp),
            icmp: ticks(self.icmp),
            fragment: ticks(self.fragment),
        }
    }
}

/// Jiffies since the machine was started, as `bpf_jiffies64` counts them: user space cannot read that clock, but it advances with
/// the coarse monotonic one, and starts five minutes before it wraps around in 32 bits (INITIAL_JIFFIES of linux/jiffies.h).
pub(super) fn jiffies(hz: u64) -> u64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: clock_gettime(2) writes one structure.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC_COARSE, &raw mut now) };
    let since = Duration::new(now.tv_sec.unsigned_abs(), now.tv_nsec as u32);
    let start = u64::from((-300 * hz.cast_signed()) as u32);
    start + (since.as_nanos() * u128::from(hz) / u128::from(SECOND)) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts_become_ticks() {
        let ticks = Timeouts { icmp: 0, ..Timeouts::default() }.in_ticks(250);
        assert_eq!((ticks.udp, ticks.tcp_established, ticks.icmp), (703, 1_687_500, 1));
        assert_eq!(
            Timeouts { udp: u64::MAX, ..Timeouts::default() }.in_ticks(250).udp,
            u32::MAX / 2
        );
    }

    #[test]
    fn hz_is_one_that_kernels_are_built_with() {
        assert!([100, 250, 300, 1000].contains(&hz()), "{}", hz());
    }
}
