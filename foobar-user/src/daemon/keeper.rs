//! The one owner of the policy. It has a thread of its own, so that it may block in the kernel and on the disk, and does one
//! thing after the other, so that all changes have an order.

use std::{
    sync::Arc,
    thread::{self, JoinHandle},
    time::Duration,
};

use anyhow::{Context, Result};
use tokio::{
    runtime::Handle as Runtime,
    signal::unix::{Signal, SignalKind, signal},
    sync::{mpsc, oneshot, watch},
    time,
};
use tracing::{info, warn};

use super::{
    explain,
    files::Files,
    intent::{Intent, now},
    notify,
    pipeline::Tables,
    report,
    shared::Shared,
    upkeep::Surroundings,
};
use crate::{
    control::{
        Peer, Refusal,
        api::{Detached, ListEntry, ListPage},
        command::{Command, ListRequest},
        live::Viewer,
        reload::Reload,
        watch::{WatchQuery, Watcher},
    },
    policy::{Prefix, lists::List},
    state,
};

/// The longest sleep: a lifetime ends by the wall clock, which somebody may set.
const LONGEST_SLEEP: Duration = Duration::from_secs(30);

/// Time between attempts at what failed.
const RETRY: Duration = Duration::from_secs(5);

/// Changes that are put in force together at most.
const BATCH: usize = 128;

/// Ends the daemon with its keeper, also if that panics: without one it would answer nobody.
struct StopWithKeeper(watch::Sender<bool>);

impl Drop for StopWithKeeper {
    fn drop(&mut self) {
        self.0.send_replace(true);
    }
}

/// Owns everything that a policy follows from.
pub struct Keeper {
    pub(super) shared: Arc<Shared>,
    pub(super) disk: state::Store,
    pub(super) tables: Tables,
    /// What is in force.
    pub(super) current: Intent,
    /// Entries whose lifetime is over could not be taken out.
    pub(super) expiry_failed: bool,
    /// A change that was not confirmed could not be taken back.
    pub(super) revert_failed: bool,
    /// An interface may be there, or have a default route, that is not filtered.
    pub(super) unattached: bool,
}

impl Keeper {
    pub fn new(shared: Arc<Shared>, disk: state::Store, tables: Tables, current: Intent) -> Self {
        Self {
            shared,
            disk,
            tables,
            current,
            expiry_failed: false,
            revert_failed: false,
            // What came between the start and the first word of the kernel is looked for soon.
            unattached: true,
        }
    }

    /// What the other tasks see.
    pub fn shared(&self) -> Arc<Shared> {
        Arc::clone(&self.shared)
    }

    /// Starts the keeper's thread. It ends with `stopped` or after a detach, and tells so by `stop`.
    ///
    /// # Errors
    /// No thread, no signal handler or no netlink socket can be had.
    pub fn spawn(
        mut self,
        inbox: mpsc::Receiver<Command>,
        stop: watch::Sender<bool>,
        stopped: watch::Receiver<bool>,
    ) -> Result<JoinHandle<()>> {
        let runtime = Runtime::current();
        let reload = signal(SignalKind::hangup())?;
        let surroundings = Surroundings::watch()?;
        thread::Builder::new()
            .name("keeper".to_owned())
            .spawn(move || {
                let _stop = StopWithKeeper(stop);
                runtime.block_on(self.run(inbox, reload, surroundings, stopped));
                if let Err(problem) = self.disk.fold() {
                    // Only an older foobar would miss something.
                    warn!("the journal of changes stays beside the state: {problem}");
                }
            })
            .context("cannot start the keeper's thread")
    }

    async fn run(
        &mut self,
        mut inbox: mpsc::Receiver<Command>,
        mut reload: Signal,
        mut surroundings: Surroundings,
        mut stopped: watch::Receiver<bool>,
    ) {
        let mut batch = Vec::with_capacity(BATCH);
        let sign_of_life = notify::interval();
        let mut files = Files::default();
        loop {
            files.follow(&self.shared.origins.settings.options, &self.current.config);
            if sign_of_life.is_some() {
                notify::tell("WATCHDOG=1");
            }
            let due = self.until_due().min(sign_of_life.unwrap_or(LONGEST_SLEEP));
            tokio::select! {
                biased;
                _ = stopped.wait_for(|&stopped| stopped) => return,
                () = time::sleep(due) => self.attend(),
                () = surroundings.changed() => self.follow_surroundings(),
                () = files.changed() => {
                    // Watched first, then read: so nothing is missed in between.
                    files.follow(&self.shared.origins.settings.options, &self.current.config);
                    self.files_changed();
                }
                _ = reload.recv() => drop(self.reload("SIGHUP", &Reload::default())),
                received = inbox.recv_many(&mut batch, BATCH) => {
                    if received == 0 || self.answer(batch.drain(..)) {
                        return;
                    }
                }
            }
        }
    }

    /// Answers commands in their order; changes of lists that follow each other go together. Returns whether it is time to stop.
    fn answer(&mut self, commands: impl Iterator<Item = Command>) -> bool {
        let mut edits = Vec::new();
        for command in commands {
            let command = match command {
                Command::Edit(request, reply) => {
                    edits.push((request, reply));
                    continue;
                }
                other => other,
            };
            self.edit(std::mem::take(&mut edits));
            match command {
                // An answer that nobody waits for any more is no error.
                Command::Status(reply) => drop(reply.send(report::status(&self.shared))),
                Command::List(request, reply) => drop(reply.send(self.page(&request))),
                Command::Explain(question, reply) => {
                    drop(reply.send(explain::explain(&self.shared, &question)));
                }
                Command::Watch(query, reply) => {
                    drop(reply.send(self.watch(query)));
                }
                Command::Live(reply) => drop(reply.send(self.viewer())),
                Command::Reload(request, reply) => {
                    let done = self.reload(&request.peer.to_string(), &request.wanted);
                    drop(reply.send(done));
                }
                Command::Confirm(peer, reply) => {
                    drop(reply.send(self.confirm(&peer.to_string())));
                }
                Command::Detach(peer, reply) => {
                    if self.detach(&peer, reply) {
                        return true;
                    }
                }
                Command::Edit(..) => unreachable!("edits are collected above"),
            }
        }
        self.edit(edits);
        false
    }

    /// Somebody who watches packets or requests.
    fn watch(&self, query: WatchQuery) -> Result<Watcher, Refusal> {
        let read: Vec<_> = (self.current.config.observe.iter())
            .filter(|observed| observed.is_read())
            .map(|observed| observed.port)
            .collect();
        let is_told = query.port.map_or(!read.is_empty(), |port| read.contains(&port));
        if query.requests && !is_told {
            let which =
                query.port.map_or_else(|| "any port".to_owned(), |port| format!("port {port}"));
            return Err(Refusal::invalid(format!("requests to {which} are not read off the packets"))
                .help("requests can be watched on ports that are observed with protocol = \"http\" and requests = \"wire\""));
        }
        self.shared.feed.watch(query).ok_or_else(Refusal::stopping)
    }

    /// Somebody who looks at what is shown live. Who is dropped is known from sampled packets.
    fn viewer(&self) -> Result<Viewer, Refusal> {
        let drops = WatchQuery { dropped: true, ..WatchQuery::default() };
        let watcher = self.shared.feed.watch(drops).ok_or_else(Refusal::stopping)?;
        Ok(Viewer::new(Arc::clone(&self.shared.board), watcher))
    }

    /// A part of a list.
    fn page(&self, request: &ListRequest) -> Result<ListPage, Refusal> {
        let list = self.current.lists.get(request.kind, &request.name)?;
        let configured =
            self.current.config.lists.iter().find(|configured| configured.name == list.name);
        let origin = |list: &List, prefix: &Prefix| {
            if list.is_runtime(prefix) {
                "runtime"
            } else if configured.is_some_and(|configured| configured.inline.contains(prefix)) {
                "config"
            } else {
                "file"
            }
        };
        let mut rest = list
            .iter()
            .skip_while(|entry| request.after.is_some_and(|after| entry.prefix <= after))
            .peekable();
        let entries: Vec<_> = rest
            .by_ref()
            .take(request.limit)
            .map(|entry| ListEntry {
                entry: entry.prefix.to_string(),
                origin: origin(list, &entry.prefix).to_owned(),
                comment: entry.comment,
                expires_at: entry.expires_at,
            })
            .collect();
        let next = rest.peek().and_then(|_| entries.last()).map(|last| last.entry.clone());
        Ok(ListPage {
            kind: request.kind.word().to_owned(),
            name: request.name.clone(),
            generation: self.current.generation,
            total: list.len(),
            entries,
            next,
        })
    }

    /// Takes the filter off; returns whether that worked, and with it the daemon's work is done.
    fn detach(&mut self, peer: &Peer, reply: oneshot::Sender<Result<Detached, Refusal>>) -> bool {
        self.shared.probing.close();
        let Some(engine) = self.shared.take_engine() else {
            let _ = reply.send(Err(Refusal::stopping()));
            return true;
        };
        warn!("{peer} detaches the filter");
        match engine.detach() {
            Ok(detached) => {
                info!(interfaces = ?detached.interfaces, "the filter is gone");
                let _ = reply.send(Ok(detached.into()));
            }
            Err(problem) => {
                let problem =
                    anyhow::Error::new(problem).context("cannot detach all of the filter");
                let refusal = Refusal::from_error(&problem).help(
                    "the daemon stops now; run `foobar detach` again, which then works without it",
                );
                warn!("{refusal}");
                let _ = reply.send(Err(refusal));
            }
        }
        true
    }

    /// Does what is due by the clock.
    fn attend(&mut self) {
        self.expire();
        self.revert_overdue();
        if self.unattached {
            self.follow_interfaces();
        }
    }

    /// How long nothing is due.
    fn until_due(&self) -> Duration {
        let shortest = if self.revert_failed { RETRY } else { Duration::ZERO };
        let revert = self.until_revert().map(|until| until.max(shortest));
        let retry = self.unattached.then_some(RETRY);
        let first = revert.into_iter().chain(retry).min().unwrap_or(LONGEST_SLEEP);
        self.until_next_expiry().min(first)
    }

    fn until_next_expiry(&self) -> Duration {
        let until = self
            .current
            .lists
            .next_expiry()
            .map(|end| Duration::from_secs(end.saturating_sub(now())));
        // What could not be taken out stays overdue, and must not keep everything else from being done.
        let shortest = if self.expiry_failed { RETRY } else { Duration::ZERO };
        until.unwrap_or(LONGEST_SLEEP).clamp(shortest, LONGEST_SLEEP)
    }
}
