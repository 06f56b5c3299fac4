//! The answer to `GET /v1/events`: a JSON object a line (application/x-ndjson), until the watcher goes or the daemon stops.

use std::convert::Infallible;

use axum::{
    body::{Body, Bytes},
    http::header,
    response::{IntoResponse, Response},
};
use futures_util::stream;
use serde::Serialize;

use super::{Line, Message, Suppressed, Watcher, suppressed::Account};

/// The answer. Dropping it ends the watching.
pub fn response(watcher: Watcher) -> Response {
    let account = Account::new(watcher.query);
    let lines = stream::unfold((watcher, account), async |(mut watcher, mut account)| {
        let line = next(&mut watcher, &mut account).await?;
        Some((Ok::<_, Infallible>(line), (watcher, account)))
    });
    ([(header::CONTENT_TYPE, "application/x-ndjson")], Body::from_stream(lines)).into_response()
}

/// The next line that this watcher is to get.
async fn next(watcher: &mut Watcher, account: &mut Account) -> Option<Bytes> {
    loop {
        match watcher.next().await? {
            Message::Event(event) if event.answers(&watcher.query) => {
                account.told(&event);
                return line(&*event);
            }
            Message::Request(request) if request.answers(&watcher.query) => {
                account.told_request();
                return line(&*request);
            }
            Message::Event(_) | Message::Request(_) => {}
            Message::Totals(totals) => match account.suppressed(&totals) {
                0 => {}
                suppressed => return line(&Line::Suppressed(Suppressed { suppressed })),
            },
        }
    }
}

/// `None`, which ends the stream, cannot happen: nothing here fails to be JSON.
fn line(value: &impl Serialize) -> Option<Bytes> {
    let mut bytes = serde_json::to_vec(value).ok()?;
    bytes.push(b'\n');
    Some(bytes.into())
}

#[cfg(test)]
mod tests {
    use super::super::{Event, Feed, Totals, WatchQuery, suppressed::Counts};
    use super::*;
    use http_body_util::BodyExt as _;
    use std::sync::Arc;

    fn event(verdict: &str, port: u16) -> Message {
        Message::Event(Arc::new(Event {
            verdict: verdict.to_owned(),
            destination_port: Some(port),
            ..Event::default()
        }))
    }

    fn totals(dropped: u64) -> Message {
        Message::Totals(Arc::new(Totals {
            all: Counts { passed: 0, dropped },
            ..Totals::default()
        }))
    }

    /// The lines that a watcher gets of these messages.
    async fn lines(query: WatchQuery, messages: Vec<Message>) -> Vec<Line> {
        let feed = Arc::new(Feed::default());
        let response = response(feed.watch(query).unwrap());
        assert_eq!(response.headers()[header::CONTENT_TYPE], "application/x-ndjson");
        messages.into_iter().for_each(|message| feed.send(message));
        feed.close();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        let text = String::from_utf8(body.to_vec()).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    #[tokio::test]
    async fn a_watcher_gets_what_it_asked_for() {
        let messages = || vec![event("pass", 443), event("drop", 443), event("drop", 22)];
        for (query, expected) in [
            (WatchQuery::default(), vec![("pass", 443), ("drop", 443), ("drop", 22)]),
            (
                WatchQuery { dropped: true, port: None, requests: false },
                vec![("drop", 443), ("drop", 22)],
            ),
            (
                WatchQuery { dropped: false, port: Some(443), requests: false },
                vec![("pass", 443), ("drop", 443)],
            ),
            (WatchQuery { dropped: true, port: Some(22), requests: false }, vec![("drop", 22)]),
        ] {
            let lines = lines(query, messages()).await;
            let told: Vec<_> = lines
                .iter()
                .map(|line| match line {
                    Line::Event(event) => (event.verdict.as_str(), event.destination_port.unwrap()),
                    other => panic!("{other:?}"),
                })
                .collect();
            assert_eq!(told, expected, "{query:?}");
        }
    }

    #[tokio::test]
    async fn and_how_many_more_there_were() {
        let query = WatchQuery { dropped: true, port: None, requests: false };
        let lines = lines(
            query,
            vec![totals(100), event("drop", 1), event("pass", 1), totals(150), totals(150)],
        )
        .await;
        assert_eq!(lines.len(), 2);
        assert_eq!(lines[1], Line::Suppressed(Suppressed { suppressed: 49 }));
    }

    #[tokio::test]
    async fn a_client_that_goes_no_longer_watches() {
        let feed = Arc::new(Feed::default());
        let response = response(feed.watch(WatchQuery::default()).unwrap());
        assert!(feed.demand().any);
        drop(response);
        assert!(!feed.demand().any);
    }
}
