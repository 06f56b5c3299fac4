//! What the server hands to the daemon's owner task (the keeper), and the way back.

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

use super::{
    Peer, Refusal,
    api::{Detached, ListEdited, ListPage, Status},
    live::Viewer,
    reload::{Confirmed, ReloadRequest, Reloaded},
    watch::{WatchQuery, Watcher},
};
use crate::{
    explain::{Answer, Question},
    policy::{Entry, ListKind, Prefix, PrefixSet},
};

/// Requests that wait for the keeper at most; more wait in their connections.
const QUEUE: usize = 256;

/// One request, with the way back to who asked.
#[derive(Debug)]
pub enum Command {
    /// What runs, how, and with which policy.
    Status(oneshot::Sender<Status>),
    /// A part of a list.
    List(ListRequest, oneshot::Sender<Result<ListPage, Refusal>>),
    /// A change of a list.
    Edit(EditRequest, oneshot::Sender<Result<ListEdited, Refusal>>),
    /// What becomes of a packet, and why.
    Explain(Question, oneshot::Sender<Result<Answer, Refusal>>),
    /// Sampled packets from now on.
    Watch(WatchQuery, oneshot::Sender<Result<Watcher, Refusal>>),
    /// What is shown live, from now on.
    Live(oneshot::Sender<Result<Viewer, Refusal>>),
    /// The configuration is read again.
    Reload(ReloadRequest, oneshot::Sender<Result<Reloaded, Refusal>>),
    /// The last change stays.
    Confirm(Peer, oneshot::Sender<Result<Confirmed, Refusal>>),
    /// Takes the filter off the interfaces and stops the daemon.
    Detach(Peer, oneshot::Sender<Result<Detached, Refusal>>),
}

/// Which part of which list.
#[derive(Clone, Debug)]
pub struct ListRequest {
    /// Allowlist or blocklist.
    pub kind: ListKind,
    /// Name of the list.
    pub name: String,
    /// Only entries behind this one.
    pub after: Option<Prefix>,
    /// At most this many.
    pub limit: usize,
}

/// What the client that wants a change says about itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Caution {
    /// Whether it wants the change whoever is cut.
    pub force: bool,
    /// The variable `SSH_CONNECTION` of its session (sshd(8)): addresses and ports of client and server.
    pub ssh_connection: Option<String>,
}

/// A change of a list that was understood.
#[derive(Clone, Debug)]
pub struct EditRequest {
    /// Who wants it.
    pub peer: Peer,
    /// Allowlist or blocklist.
    pub kind: ListKind,
    /// Name of the list.
    pub name: String,
    /// What to do with it.
    pub edit: Edit,
    /// What was noted while the request was read.
    pub notes: Vec<String>,
    /// Only if the policy is still of this generation.
    pub if_generation: Option<u64>,
    /// Whom it may cut off.
    pub caution: Caution,
}

/// What to do with a list.
#[derive(Clone, Debug)]
pub enum Edit {
    /// These are in it from now on.
    Add(Vec<Entry>),
    /// These are no longer in it.
    Remove(Vec<Prefix>),
    /// It holds these and no others.
    Replace(Vec<Entry>),
    /// It holds these and no others, and none has a comment or a lifetime: a million of them need no more room.
    ReplaceSet(Arc<PrefixSet>),
}

/// The keeper's letter box.
#[derive(Clone, Debug)]
pub struct Handle(mpsc::Sender<Command>);

impl Handle {
    /// A letter box, and what the keeper reads from it.
    pub fn new() -> (Self, mpsc::Receiver<Command>) {
        let (sender, receiver) = mpsc::channel(QUEUE);
        (Self(sender), receiver)
    }

    /// Sends a command and waits for its answer.
    ///
    /// # Errors
    /// [`Refusal::stopping`] if the keeper is gone.
    pub async fn ask<T>(
        &self,
        command: impl FnOnce(oneshot::Sender<T>) -> Command,
    ) -> Result<T, Refusal> {
        let (reply, answer) = oneshot::channel();
        self.0.send(command(reply)).await.map_err(|_| Refusal::stopping())?;
        answer.await.map_err(|_| Refusal::stopping())
    }
}
