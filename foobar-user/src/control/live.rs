//! The answer to `GET /v1/live`: what is shown live, an object a line (application/x-ndjson), one with each reading of the
//! counters, until the client goes or the daemon stops. The first has all of the history, the others what came since.
//!
//! Who is dropped most is gathered for each client apart, in memory, from the packets that are sampled while it looks.

use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::{
    body::{Body, Bytes},
    http::header,
    response::{IntoResponse, Response},
};
use futures_util::stream;
use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};

use super::watch::{Message, Watcher};
use crate::live::{Audience, Board, Since, blocked::Blocked};

/// A line comes after this time also without a reading, so that the client sees that the daemon is there.
const SIGN_OF_LIFE: Duration = Duration::from_secs(3);

/// Somebody who looks; dropping it ends that.
#[derive(Debug)]
pub struct Viewer {
    board: Arc<Board>,
    watcher: Watcher,
    readings: watch::Receiver<u64>,
    blocked: Blocked,
    since: Since,
    is_first: bool,
}

impl Viewer {
    /// Looks at a board, and at sampled drops.
    pub fn new(board: Arc<Board>, watcher: Watcher) -> Self {
        let readings = board.readings();
        let (blocked, since) = (Blocked::default(), Since::default());
        Self { board, watcher, readings, blocked, since, is_first: true }
    }

    /// The next line; `None` when the daemon stops.
    async fn next(&mut self) -> Option<Bytes> {
        let deadline = Instant::now() + SIGN_OF_LIFE;
        while !std::mem::take(&mut self.is_first) {
            tokio::select! {
                changed = self.readings.changed() => {
                    changed.ok()?;
                    break;
                }
                () = sleep_until(deadline) => break,
                message = self.watcher.next() => match message? {
                    Message::Event(event) => {
                        if let Some(dropped) = event.dropped() {
                            self.blocked.sample(&dropped);
                        }
                    }
                    Message::Request(_) | Message::Totals(_) => {}
                },
            }
        }
        let mut live = self.board.view(self.since, Audience::Trusted);
        if live.history.last != self.since.after {
            self.blocked.second(live.packets.dropped);
        }
        self.since = Since { after: live.history.last, id: live.history.id };
        live.blocked = Some(self.blocked.top());
        // Nothing here fails to be JSON.
        let mut line = serde_json::to_vec(&live).ok()?;
        line.push(b'\n');
        Some(line.into())
    }
}

/// The answer. Dropping it ends the looking.
pub fn response(viewer: Viewer) -> Response {
    let lines = stream::unfold(viewer, async |mut viewer| {
        let line = viewer.next().await?;
        Some((Ok::<_, Infallible>(line), viewer))
    });
    ([(header::CONTENT_TYPE, "application/x-ndjson")], Body::from_stream(lines)).into_response()
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;
    use crate::{
        control::watch::{Event, Feed, WatchQuery},
        live::{Live, PortReading, Reading},
    };
    use foobar_common::reason::Reason;

    fn reading(second: u64) -> Reading {
        Reading {
            ports: vec![PortReading { dropped: 40 * second, ..PortReading::default() }],
            refused: [(Reason::NoRule, 40 * second)].into(),
            ..Reading::default()
        }
    }

    #[tokio::test]
    async fn each_line_has_what_came_since_and_the_sources_of_drops() {
        let (feed, board) = (Arc::new(Feed::default()), Arc::new(Board::default()));
        let start = std::time::Instant::now();
        let record = |second| board.record(start + Duration::from_secs(second), reading(second));
        (0..6).for_each(record);
        let watcher = feed.watch(WatchQuery { dropped: true, ..WatchQuery::default() }).unwrap();
        let mut body = response(Viewer::new(Arc::clone(&board), watcher)).into_body();
        let mut next = async || {
            let frame = body.frame().await.expect("a line").unwrap().into_data().unwrap();
            serde_json::from_slice::<Live>(&frame).unwrap()
        };
        let first = next().await;
        assert_eq!((first.history.points, first.blocked), (5, Some(Vec::new())));
        let (second, ()) = tokio::join!(next(), async {
            // What passed, and what goes out, is nobody's drop.
            for (source, verdict, direction) in [
                ("192.0.2.7", "drop", "ingress"),
                ("192.0.2.7", "drop", "ingress"),
                ("192.0.2.8", "drop", "ingress"),
                ("192.0.2.9", "pass", "ingress"),
                ("192.0.2.1", "drop", "egress"),
            ] {
                feed.send(Message::Event(Arc::new(Event {
                    verdict: verdict.to_owned(),
                    direction: direction.to_owned(),
                    source: Some(source.to_owned()),
                    ..Event::default()
                })));
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
            record(6);
        });
        assert_eq!((second.history.id, second.history.points), (first.history.id, 1));
        assert_eq!(second.packets.dropped, 40.0);
        let blocked = second.blocked.unwrap();
        assert_eq!((blocked.len(), blocked[0].source.as_str()), (2, "192.0.2.7"));
        assert!((blocked[0].packets - 27.0).abs() < 1.0, "{blocked:?}");
        feed.close();
        assert!(body.frame().await.is_none(), "the daemon stops");
        drop(body);
        assert!(!feed.demand().any, "nothing is sampled for one who is gone");
    }
}
