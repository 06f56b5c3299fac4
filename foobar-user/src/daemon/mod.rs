//! The daemon: configuration → locks and listeners → policy → kernel → serve → drain.
//!
//! - [`boot`]: which configuration to start from: the file, or the last good one.
//! - [`options`]: what the command line asks for, laid over the configuration.
//! - [`preflight`]: what must be there before anything is touched.
//! - [`startup`]: from the configuration to a filter in force.
//! - [`intent`]: everything that a policy follows from.
//! - [`interfaces`]: they come and go; [`guard`]: nobody is cut off by mistake.
//! - [`keeper`]: the one owner of the policy; [`pipeline`] is the one way of a change, [`edits`], [`reload`] and [`upkeep`]
//!   are who sends changes down that way; [`files`] asks for a reload when files change.
//! - [`shared`]: what the keeper shows to the others: [`monitor`] (rates), [`scrape`] (metrics), [`report`] (status),
//!   [`explain`] (one packet in question).
//! - [`statistics`]: what the observed servers count themselves. [`certificates`]: when those expire that the ports serve.
//! - [`probes`]: probes on their functions; [`probed_programs`]: the executables that have them.
//! - [`overflows`]: connections that listening sockets had no room for.
//! - [`events`]: sampled packets and requests, for those who watch and for the log ([`drops`]).
//! - [`descriptors`]: files that may be open.
//! - [`privileges`]: which of root's rights stay; [`signals`]: those that come during the start wait.
//! - [`notify`]: word to the service manager; [`logging`]: the log.

mod accounting;
mod boot;
mod certificates;
mod descriptors;
mod drops;
mod edits;
mod events;
mod explain;
mod files;
mod guard;
mod intent;
mod interfaces;
mod keeper;
pub mod logging;
mod monitor;
mod notify;
mod options;
mod overflows;
mod pipeline;
mod preflight;
mod privileges;
mod probed_programs;
mod probes;
mod reload;
mod report;
mod scrape;
mod shared;
mod signals;
mod startup;
mod statistics;
mod upkeep;

use std::sync::Arc;

use anyhow::{Context, Result};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::watch,
};
use tracing::{info, warn};

/// Threads of the runtime; the keeper and blocking work have others.
const WORKERS: usize = 2;

pub use intent::now;
pub use options::Options;

use self::{keeper::Keeper, preflight::Claims};
use crate::{
    control::{command::Handle, server},
    kernel,
    metrics::web,
};

/// Runs the daemon until SIGTERM, SIGINT or `foobar detach`.
///
/// Everything that takes root is done before there is a second thread, and with the rights that are dropped then.
///
/// # Errors
/// It cannot start; then nothing was attached or changed. Once it runs, only the loss of its control socket.
pub fn run(options: Options) -> Result<()> {
    let held = signals::Held::new()?;
    descriptors::raise()?;
    kernel::return_large_blocks();
    preflight::capabilities()?;
    let boot = boot::choose(options)?;
    let (store, claims) = preflight::claim(&boot)?;
    let keeper = startup::start(boot, store)?;
    probes::begin(&keeper.shared());
    privileges::drop_all_but_kept()?;
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .enable_all()
        .build()
        .context("cannot start the daemon's runtime")?
        .block_on(serve(keeper, claims, held))
}

/// Serves until it is told to stop, and drains.
async fn serve(keeper: Keeper, claims: Claims, held: signals::Held) -> Result<()> {
    let (mut terminate, mut interrupt) =
        (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let (handle, inbox) = Handle::new();
    let (stop, stopped) = watch::channel(false);
    let shared = keeper.shared();

    let until_stopped = |mut stopped: watch::Receiver<bool>| async move {
        // An error means that the sender is gone, which is an end as well.
        let _ = stopped.wait_for(|&stopped| stopped).await;
    };
    let Claims { control, access, socket, metrics, _runtime } = claims;
    let control = server::serve(control, access, handle, until_stopped(stopped.clone()));
    let control = tokio::spawn(control);
    let monitor = tokio::spawn(monitor::run(Arc::clone(&shared), until_stopped(stopped.clone())));
    let events = tokio::spawn(events::run(Arc::clone(&shared), until_stopped(stopped.clone())));
    let statistics =
        tokio::spawn(statistics::run(Arc::clone(&shared), until_stopped(stopped.clone())));
    let probes = tokio::spawn(probes::run(Arc::clone(&shared), until_stopped(stopped.clone())));
    let certificates =
        tokio::spawn(certificates::run(Arc::clone(&shared), until_stopped(stopped.clone())));
    let metrics = metrics.map(|listener| {
        let (address, web) = (listener.local_addr(), shared.gate.current());
        let has_tls = web.as_ref().is_some_and(|web| web.tls.is_some());
        info!("metrics on {}", scrape::url(address, has_tls));
        if let Some(exposure) = web::exposure(address, web.as_deref()) {
            warn!("{exposure}; {}", web::EXPOSURE_HELP);
        }
        let source = Arc::new(scrape::Scrape::new(Arc::clone(&shared)));
        tokio::spawn(listener.serve(
            source,
            Arc::clone(&shared.gate),
            descriptors::listener_limits(),
            until_stopped(stopped.clone()),
        ))
    });
    info!("ready: control socket {}", socket.path().display());
    notify::tell("READY=1");

    let keeper = keeper.spawn(inbox, stop.clone(), stopped.clone())?;
    drop(held);
    tokio::select! {
        _ = terminate.recv() => info!("stopping: SIGTERM"),
        _ = interrupt.recv() => info!("stopping: SIGINT"),
        () = until_stopped(stopped) => {}
    }
    stop.send_replace(true);
    notify::tell("STOPPING=1");

    // Drain: requests under way are answered, the change that is being applied is finished.
    tokio::task::spawn_blocking(move || keeper.join())
        .await?
        .map_err(|_| anyhow::anyhow!(
            "the thread that changes the policy panicked, with the message above; the filter stays in force, start the daemon again"
        ))?;
    control.await??;
    monitor.await?;
    events.await?;
    certificates.await?;
    statistics.await?;
    probes.await?;
    if let Some(metrics) = metrics {
        metrics.await?;
    }
    drop(socket);
    info!("stopped; {}", shared.farewell());
    Ok(())
}
