//! Time as one thread spends it.

use std::time::Duration;

use anyhow::{Context as _, Result};
use nix::{
    sched::{CpuSet, sched_getaffinity, sched_setaffinity},
    time::{ClockId, clock_gettime},
    unistd::Pid,
};

/// CPU time that this thread has spent, in the kernel on its behalf included. What others do on the CPU in between does not
/// count, though what it does to the caches does.
pub fn thread_time() -> Result<Duration> {
    let time =
        clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).context("no CPU time of the thread")?;
    Ok(time.into())
}

/// Keeps this thread on the last CPU that it may use, and says which: the first ones have the most interrupts.
pub fn pin() -> Result<usize> {
    let myself = Pid::from_raw(0);
    let allowed = sched_getaffinity(myself).context("cannot ask for the allowed CPUs")?;
    let last = (0..CpuSet::count())
        .rev()
        .find(|cpu| allowed.is_set(*cpu).unwrap_or(false))
        .context("no CPU is allowed")?;
    let mut one = CpuSet::new();
    one.set(last)?;
    sched_setaffinity(myself, &one).with_context(|| format!("cannot stay on CPU {last}"))?;
    Ok(last)
}
