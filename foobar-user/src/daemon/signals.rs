//! Signals that come during the start: they wait until somebody listens, instead of ending a daemon half way.

use anyhow::{Context, Result};
use nix::sys::signal::{SigSet, Signal};

/// While it lives, SIGTERM, SIGINT and SIGHUP wait. Threads that are started meanwhile never get them: the one that dropped it does.
pub struct Held(SigSet);

impl Held {
    /// From now on they wait.
    ///
    /// # Errors
    /// Those of pthread_sigmask(3).
    pub fn new() -> Result<Self> {
        let signals: SigSet =
            [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP].into_iter().collect();
        signals.thread_block().context("cannot hold back signals")?;
        Ok(Self(signals))
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Err(error) = self.0.thread_unblock() {
            tracing::error!("signals are not heard: {error}");
        }
    }
}
