//! Once a second: counters read, rates made, and what the kernel programs had to say written to the log.

use std::{
    future::Future,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Result;
use tokio::time::{MissedTickBehavior, interval};
use tracing::warn;

use super::shared::{Shared, lock};
use crate::metrics::{RateKind, Series};

/// Time between two readings.
const TICK: Duration = Duration::from_secs(1);

/// Watches until `shutdown`.
pub async fn run(shared: Arc<Shared>, shutdown: impl Future<Output = ()>) {
    let mut ticks = interval(TICK);
    // Rates are over the time that really passed, so a reading that comes late need not be made up for.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut failing = false;
    tokio::pin!(shutdown);
    loop {
        tokio::select! {
            () = &mut shutdown => return,
            _ = ticks.tick() => {}
        }
        let shared = Arc::clone(&shared);
        let outcome = tokio::task::spawn_blocking(move || read(&shared))
            .await
            .unwrap_or_else(|panicked| Err(panicked.into()));
        if let Err(problem) = outcome.as_ref()
            && !failing
        {
            warn!("rates stand still: {problem:#}");
        }
        failing = outcome.is_err();
    }
}

fn read(shared: &Shared) -> Result<()> {
    let published = shared.published();
    let legend = &published.legend;
    let (counters, stats) = shared.with_engine(|engine| {
        engine.write_messages();
        Ok((engine.counters(legend.used())?, engine.port_stats()?))
    })?;
    let now = Instant::now();
    let slots = legend.ports.iter().map(|&(port, slot)| (Some(port), slot)).chain([(None, 0)]);
    let accepted: Vec<_> = slots
        .map(|(port, slot)| (port, stats.get(usize::from(slot)).map_or(0, |stats| stats.accepted)))
        .collect();
    let counts: Vec<_> = accepted
        .iter()
        .map(|&(port, count)| (Series { port, kind: RateKind::Connections }, count))
        .collect();
    shared.sampler.tick(now, &counts);

    let mut rows = legend.accounting.rows(&counters);
    for (row, (_, count)) in rows.iter_mut().zip(accepted) {
        row.accepted = count;
    }
    lock(&shared.history).record(now, rows);
    Ok(())
}
