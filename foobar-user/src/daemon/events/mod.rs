//! Sampled packets and requests: read in one place, told to the log and to everybody who watches. Who samples nothing pays nothing.
//!
//! - [`told`]: from the kernel's event to one that people can read.
//! - [`budget`]: how many packets the kernel may tell of, and to which port.

mod budget;
mod told;

use std::{
    future::Future,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Result;
use foobar_common::event::Sampling;
use tokio::time::sleep;
use tracing::warn;

use self::{
    budget::{Allowance, Budget, Taken},
    told::Names,
};
use super::{
    drops::DropLog,
    shared::{Published, Shared},
};
use crate::{
    control::watch::{Demand, Message, Request},
    kernel::{Engine, Events, KernelError, Sample},
};

/// Time between two looks at the ring buffer while somebody watches.
const QUICK: Duration = Duration::from_millis(100);
/// The same for the log alone, and between two readings of the counters.
const SLOW: Duration = Duration::from_secs(1);

/// Reads and tells until `shutdown`; then nothing is sampled any more.
pub async fn run(shared: Arc<Shared>, shutdown: impl Future<Output = ()>) {
    let mut reader = Some(Reader::default());
    let mut counted = None::<Instant>;
    let mut failing = false;
    tokio::pin!(shutdown);
    loop {
        let pause = if shared.feed.demand().is_any() { QUICK } else { SLOW };
        tokio::select! {
            () = &mut shutdown => break,
            // The account of a watcher begins with a reading of the counters.
            () = shared.feed.began() => counted = None,
            () = sleep(pause) => {}
        }
        if shared.is_detached() {
            break;
        }
        let is_slow = counted.is_none_or(|last| last.elapsed() >= SLOW);
        if is_slow {
            counted = Some(Instant::now());
        }
        let (shared, mut taken) = (Arc::clone(&shared), reader.take().unwrap_or_default());
        let step = tokio::task::spawn_blocking(move || {
            let outcome = taken.step(&shared, is_slow);
            (outcome, taken)
        });
        let outcome = match step.await {
            Ok((outcome, taken)) => {
                reader = Some(taken);
                outcome
            }
            Err(panicked) => Err(panicked.into()),
        };
        if let Err(problem) = outcome.as_ref()
            && !failing
        {
            warn!("no packets can be told of: {problem:#}");
        }
        failing = outcome.is_err();
    }
    shared.feed.close();
    let stopped = shared.with_engine(|engine| engine.set_sampling(Sampling::default()));
    // After `foobar detach` there is nothing left to be stopped.
    if let Err(problem) = stopped
        && !shared.is_detached()
    {
        warn!("packets are still sampled, for nobody: {problem:#}");
    }
}

/// The one reader of the ring buffer.
#[derive(Default)]
struct Reader {
    /// Open while something is sampled.
    events: Option<Events>,
    allowance: Allowance,
    budget: Budget,
    log: DropLog,
    names: Names,
}

impl Reader {
    /// Tells what came since the last step, and lets the kernel tell of more. `is_slow`: it is time for the counters as well.
    fn step(&mut self, shared: &Shared, is_slow: bool) -> Result<()> {
        let published = shared.published();
        let demand = shared.feed.demand();
        let rate = published.intent.config.log.drops.as_ref().map(|rate| rate.per_second());
        self.allowance.refill(rate, Instant::now());
        let counters = match is_slow && (demand.is_any() || rate.is_some()) {
            // Before the events are read, so that what was counted and could be told is told.
            true => Some(shared.with_engine(|engine| engine.counters(published.legend.used()))?),
            false => None,
        };
        let taken = self.tell(shared, &published, &demand);
        if let Some(counters) = counters {
            if rate.is_some() {
                self.log.summary(published.legend.accounting.refused(&counters), Instant::now());
            }
            let mut totals = published.legend.accounting.totals(&counters);
            if !demand.requests.is_empty() {
                totals.requests = shared.requests_on_the_wire().into_iter().collect();
            }
            shared.feed.send(Message::Totals(Arc::new(totals)));
        }
        if rate.is_none() {
            self.log.forget();
        }
        shared.with_engine(|engine| self.refill(engine, &demand, taken))
    }

    /// Hands out what the ring buffer holds.
    fn tell(&mut self, shared: &Shared, published: &Published, demand: &Demand) -> Taken {
        let mut taken = Taken::default();
        while let Some(sample) = self.events.as_mut().and_then(Events::next) {
            let packet = match sample {
                Sample::Packet(packet) => packet,
                Sample::Request(request) => {
                    taken.count_request();
                    let request = Request::new(&request, told::wall_clock(request.time_ns));
                    shared.feed.send(Message::Request(Arc::new(request)));
                    continue;
                }
            };
            let Some(event) = self.names.event(&packet, &published.legend.labels) else { continue };
            taken.count(&event);
            if event.verdict == "drop" && self.allowance.take() {
                self.log.tell(&event);
            }
            if demand.any {
                shared.feed.send(Message::Event(Arc::new(event)));
            }
        }
        taken
    }

    /// Hands out the budget until the next step.
    fn refill(
        &mut self,
        engine: &Engine,
        demand: &Demand,
        taken: Taken,
    ) -> Result<(), KernelError> {
        let sampling = self.budget.next(demand, self.allowance.whole(), taken);
        match sampling {
            Some(_) if self.events.is_none() => {
                let mut events = engine.events()?;
                // What an earlier reader left is old.
                while events.next().is_some() {}
                self.events = Some(events);
            }
            None if self.events.is_none() => return Ok(()),
            _ => {}
        }
        engine.set_sampling(sampling.unwrap_or_default())?;
        if sampling.is_none() {
            self.events = None;
        }
        Ok(())
    }
}
