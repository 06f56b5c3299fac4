//! The connections of the listener, and who must go when there are too many.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::task::{AbortHandle, Id};
use tokio::time::Instant;

/// How long a connection may be idle, at least, before it must make room: a request that comes right behind the handshake
/// is never cut off.
pub const GRACE: Duration = Duration::from_millis(100);

/// Whether a connection waits for its client, and since when.
#[derive(Clone, Debug)]
pub struct Activity(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    answering: u32,
    since: Instant,
}

impl Activity {
    /// A connection that was just accepted.
    pub fn new() -> Self {
        Activity(Arc::new(Mutex::new(State { answering: 0, since: Instant::now() })))
    }

    /// A request is being answered until the guard is dropped.
    pub fn answering(&self) -> Answering {
        self.change(|state| state.answering += 1);
        Answering(self.clone())
    }

    /// Since when the connection has been idle; `None` while a request is being answered.
    fn idle_since(&self) -> Option<Instant> {
        self.change(|state| (state.answering == 0).then_some(state.since))
    }

    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// While it lives, its connection is busy.
pub struct Answering(Activity);

impl Drop for Answering {
    fn drop(&mut self) {
        self.0.change(|state| {
            state.answering -= 1;
            state.since = Instant::now();
        });
    }
}

/// All connections.
#[derive(Default)]
pub struct Clients(HashMap<Id, (AbortHandle, Activity)>);

impl Clients {
    /// A connection's task was started.
    pub fn insert(&mut self, task: AbortHandle, activity: Activity) {
        self.0.insert(task.id(), (task, activity));
    }

    /// A connection's task is over.
    pub fn remove(&mut self, task: Id) {
        self.0.remove(&task);
    }

    /// Ends the connection that has been idle for longest, if that is longer than [`GRACE`]. Returns how long to wait before
    /// it makes sense to try again, if no connection ends till then.
    pub fn make_room(&mut self) -> Duration {
        let idle = self
            .0
            .iter()
            .filter_map(|(id, (_, activity))| Some((*id, activity.idle_since()?.elapsed())));
        match idle.max_by_key(|(_, time)| *time) {
            Some((id, time)) if time >= GRACE => {
                if let Some((task, _)) = self.0.remove(&id) {
                    task.abort();
                }
                GRACE
            }
            Some((_, time)) => GRACE - time,
            None => GRACE,
        }
    }
}
