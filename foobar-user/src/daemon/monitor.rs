//! Once a second: counters read, rates made, what is shown live brought up to date, and what the kernel programs had to say
//! written to the log.

use std::{
    collections::HashMap,
    future::Future,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Result;
use foobar_common::http::stats::HttpStats;
use tokio::time::{MissedTickBehavior, interval};
use tracing::warn;

use super::{
    report,
    shared::{Shared, lock},
};
use crate::{
    live::{PortReading, Reading, Times},
    metrics::ProbedPort,
    rates::{RateKind, Series},
};

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
    let (counters, stats, http, sees_handshakes) = shared.with_engine(|engine| {
        engine.write_messages();
        Ok((
            engine.counters(legend.used())?,
            engine.port_stats()?,
            engine.http_stats()?,
            engine.observer().counts_connections(),
        ))
    })?;
    let now = Instant::now();
    let slots = legend.ports.iter().map(|&(port, slot)| (Some(port), slot)).chain([(None, 0)]);
    let stats: Vec<_> = slots
        .map(|(port, slot)| (port, stats.get(usize::from(slot)).copied().unwrap_or_default()))
        .collect();
    let http: HashMap<_, HttpStats> = legend
        .http
        .iter()
        .map(|&(port, slot)| (Some(port), http.get(usize::from(slot)).copied().unwrap_or_default()))
        .collect();
    let mut rows = legend.accounting.rows(&counters);
    if sees_handshakes {
        for (row, (_, stats)) in rows.iter_mut().zip(&stats) {
            row.accepted = stats.accepted;
        }
    }
    let accepted = stats
        .iter()
        .zip(&rows)
        .map(|(&(port, _), row)| (Series { port, kind: RateKind::Connections }, row.accepted));
    let mut answered: HashMap<_, u64> =
        http.iter().map(|(&port, stats)| (port, stats.answered())).collect();
    let told = shared.statistics.get();
    let told = told.iter().filter(|port| port.source.is_some());
    answered.extend(told.map(|port| (Some(port.number), port.counted.iter().sum())));
    let probed: HashMap<_, _> =
        (shared.probing.read().into_iter()).map(|port| (Some(port.number), port)).collect();
    answered.extend(probed.iter().map(|(&port, probed)| (port, probed.stats.answered())));
    let requests =
        answered.iter().map(|(&port, &count)| (Series { port, kind: RateKind::Requests }, count));
    let counts: Vec<_> = accepted.chain(requests).collect();
    shared.sampler.tick(now, &counts);
    // A socket takes its number with it, so it is read more often than somebody asks.
    shared.overflows.read()?;

    for (row, (port, _)) in rows.iter_mut().zip(&stats) {
        row.answered = answered.get(port).copied();
    }
    let ports = stats.iter().zip(&rows).map(|(&(port, stats), row)| PortReading {
        port,
        open: shared.connections(port, stats).open(),
        accepted: row.accepted,
        requests: answered.get(&port).copied(),
        passed: row.passed + row.audited,
        dropped: row.dropped + row.audited,
        handshake: Times::of_handshakes(&stats.handshake),
        response: (http.get(&port).map(|stats| Times::of_first_bytes(&stats.first_byte)))
            .or_else(|| probed.get(&port).map(response)),
    });
    let reading = Reading {
        ports: ports.collect(),
        refused: legend.accounting.refused(&counters),
        rates: shared.sampler.rates(),
    };
    lock(&shared.history).record(now, rows);
    if shared.board.wants_facts(now) {
        let (facts, warnings) = report::facts(shared);
        shared.board.tell(now, facts, warnings);
    }
    // Last, as it wakes those who look.
    shared.board.record(now, reading);
    Ok(())
}

/// How fast a port that probes count answers: to the first byte where they read bytes, else until the end of the response.
fn response(port: &ProbedPort) -> Times {
    match port.reads {
        true => Times::of_first_bytes(&port.stats.read.first_byte),
        false => Times::of_requests(&port.stats.duration),
    }
}
