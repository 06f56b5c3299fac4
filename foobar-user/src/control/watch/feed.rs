//! One sender, many watchers. The daemon asks what is wanted and samples no more than that; without a watcher, nothing.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::{Notify, broadcast};

use super::{Event, Request, Totals, WatchQuery};

/// Messages that a slow watcher may be behind; it loses what is older, and is told how much that was.
const BACKLOG: usize = 4096;

/// What watchers get.
#[derive(Clone, Debug)]
pub enum Message {
    /// A packet.
    Event(Arc<Event>),
    /// A request.
    Request(Arc<Request>),
    /// What the counters said: once a second, after the events that they count.
    Totals(Arc<Totals>),
}

/// Where events come in and watchers hang on.
#[derive(Debug, Default)]
pub struct Feed {
    state: Mutex<State>,
    /// Somebody began to watch.
    began: Notify,
}

#[derive(Debug, Default)]
struct State {
    /// `None` before the first watcher, and after the end.
    sender: Option<broadcast::Sender<Message>>,
    watchers: BTreeMap<u64, WatchQuery>,
    next: u64,
    closed: bool,
}

/// What all watchers together want.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Demand {
    /// Somebody watches packets.
    pub any: bool,
    /// Somebody wants passed packets as well.
    pub passes: bool,
    /// The ports whose packets are asked for, each once; `None` is every port.
    pub ports: Vec<Option<u16>>,
    /// The ports whose requests are asked for, in the same way.
    pub requests: Vec<Option<u16>>,
}

impl Demand {
    /// Whether somebody watches at all.
    pub fn is_any(&self) -> bool {
        self.any || !self.requests.is_empty()
    }
}

/// Somebody who watches; dropping it ends that.
#[derive(Debug)]
pub struct Watcher {
    /// What is asked for.
    pub query: WatchQuery,
    receiver: broadcast::Receiver<Message>,
    feed: Arc<Feed>,
    number: u64,
}

impl Feed {
    /// Begins to watch; `None` once the daemon is stopping.
    pub fn watch(self: &Arc<Self>, query: WatchQuery) -> Option<Watcher> {
        let mut state = self.lock();
        if state.closed {
            return None;
        }
        let receiver =
            state.sender.get_or_insert_with(|| broadcast::channel(BACKLOG).0).subscribe();
        let number = state.next;
        state.next += 1;
        state.watchers.insert(number, query);
        drop(state);
        self.began.notify_one();
        Some(Watcher { query, receiver, feed: Arc::clone(self), number })
    }

    /// Waits until somebody begins to watch; at once, if somebody did since the last call.
    pub async fn began(&self) {
        self.began.notified().await;
    }

    /// What is wanted now.
    pub fn demand(&self) -> Demand {
        let state = self.lock();
        let of = |requests: bool| {
            state.watchers.values().filter(move |query| query.requests == requests)
        };
        let ports = |requests| {
            let mut ports: Vec<_> = of(requests).map(|query| query.port).collect();
            ports.sort_unstable();
            ports.dedup();
            ports
        };
        Demand {
            any: of(false).next().is_some(),
            passes: of(false).any(|query| !query.dropped),
            ports: ports(false),
            requests: ports(true),
        }
    }

    /// Tells all watchers.
    pub fn send(&self, message: Message) {
        if let Some(sender) = &self.lock().sender {
            // An error means that the last watcher has just gone.
            let _ = sender.send(message);
        }
    }

    /// Ends all watching, for good.
    pub fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        state.sender = None;
    }

    /// The state stays consistent whatever panics: each change is one assignment.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Watcher {
    /// The next message; `None` at the end. What this watcher was too slow for is skipped: the totals tell of it.
    pub async fn next(&mut self) -> Option<Message> {
        loop {
            match self.receiver.recv().await {
                Ok(message) => return Some(message),
                Err(broadcast::error::RecvError::Lagged(_)) => {}
                Err(broadcast::error::RecvError::Closed) => return None,
            }
        }
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        let mut state = self.feed.lock();
        state.watchers.remove(&self.number);
        if state.watchers.is_empty() {
            state.sender = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(length: u32) -> Message {
        Message::Event(Arc::new(Event { length, ..Event::default() }))
    }

    async fn length(watcher: &mut Watcher) -> Option<u32> {
        match watcher.next().await? {
            Message::Event(event) => Some(event.length),
            other => panic!("{other:?} was not sent"),
        }
    }

    #[tokio::test]
    async fn every_watcher_gets_every_message_until_the_end() {
        let feed = Arc::new(Feed::default());
        feed.send(event(1));
        let mut first = feed.watch(WatchQuery::default()).unwrap();
        feed.send(event(2));
        let mut second = feed.watch(WatchQuery::default()).unwrap();
        feed.send(event(3));
        feed.close();
        assert_eq!(
            [length(&mut first).await, length(&mut first).await, length(&mut first).await],
            [Some(2), Some(3), None]
        );
        assert_eq!([length(&mut second).await, length(&mut second).await], [Some(3), None]);
        assert!(feed.watch(WatchQuery::default()).is_none(), "the daemon is stopping");
    }

    #[tokio::test]
    async fn a_watcher_that_lags_loses_the_oldest() {
        let feed = Arc::new(Feed::default());
        let mut watcher = feed.watch(WatchQuery::default()).unwrap();
        (0..BACKLOG as u32 + 10).for_each(|number| feed.send(event(number)));
        assert_eq!(length(&mut watcher).await, Some(10));
    }

    #[tokio::test]
    async fn demand_is_that_of_those_who_still_watch() {
        let feed = Arc::new(Feed::default());
        assert_eq!(feed.demand(), Demand::default());
        let dropped =
            feed.watch(WatchQuery { dropped: true, port: Some(443), requests: false }).unwrap();
        feed.began().await;
        assert_eq!(
            feed.demand(),
            Demand { any: true, ports: vec![Some(443)], ..Demand::default() }
        );
        let all = feed.watch(WatchQuery::default()).unwrap();
        let again =
            feed.watch(WatchQuery { dropped: true, port: Some(443), requests: false }).unwrap();
        let both = vec![None, Some(443)];
        let wanted = Demand { any: true, passes: true, ports: both, requests: vec![] };
        assert_eq!(feed.demand(), wanted);
        let requests = feed.watch(WatchQuery { requests: true, ..WatchQuery::default() }).unwrap();
        assert_eq!(feed.demand(), Demand { requests: vec![None], ..wanted });
        assert!(feed.demand().is_any());
        drop(requests);
        drop(all);
        assert_eq!(
            feed.demand(),
            Demand { any: true, ports: vec![Some(443)], ..Demand::default() }
        );
        drop((dropped, again));
        assert_eq!(feed.demand(), Demand::default());
    }
}
