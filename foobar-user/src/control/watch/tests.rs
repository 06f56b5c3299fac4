//! Explaining and watching over a real socket.

use std::{sync::Arc, time::Duration};

use tempfile::TempDir;
use tokio::time::{sleep, timeout};

use super::{Event, Feed, Line, Message, WatchQuery};
use crate::{
    control::{
        Access, Client, Refusal,
        command::{Command, Handle},
        server, socket,
    },
    explain::{Answer, Question},
};

/// A daemon that can do nothing else.
struct Fixture {
    folder: TempDir,
    feed: Arc<Feed>,
}

impl Fixture {
    fn start() -> Self {
        let folder = TempDir::new().unwrap();
        let feed = Arc::new(Feed::default());
        let (handle, mut inbox) = Handle::new();
        let listener = socket::bind(folder.path(), &Access::default()).unwrap();
        tokio::spawn(server::serve(listener, Access::default(), handle, std::future::pending()));
        let watched = Arc::clone(&feed);
        tokio::spawn(async move {
            while let Some(command) = inbox.recv().await {
                match command {
                    Command::Watch(query, reply) => {
                        reply.send(watched.watch(query).ok_or_else(Refusal::stopping)).unwrap();
                    }
                    Command::Explain(question, reply) => reply.send(answer(&question)).unwrap(),
                    other => panic!("no test here asks {other:?}"),
                }
            }
        });
        Self { folder, feed }
    }

    fn client(&self) -> Client {
        Client::new(self.folder.path())
    }

    /// Waits until so many watch or none does.
    async fn until_watched(&self, any: bool) {
        let wait = async {
            while self.feed.demand().any != any {
                sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(Duration::from_secs(10), wait).await.expect("the watcher comes and goes");
    }

    fn tell(&self, port: u16) {
        let event =
            Event { verdict: "drop".into(), destination_port: Some(port), ..Event::default() };
        self.feed.send(Message::Event(Arc::new(event)));
    }
}

fn answer(question: &Question) -> Result<Answer, Refusal> {
    let packet = question
        .packet(&[])
        .map_err(|error| Refusal::invalid(error.to_string()).help(error.help))?;
    Ok(Answer {
        packet: packet.to_string(),
        verdict: "pass".into(),
        reason: "rule".into(),
        explanation: String::new(),
        rule: Some("web".into()),
        list: None,
        entry: None,
        source_in: Vec::new(),
        rules_for_port: Vec::new(),
        mode: "enforce".into(),
        audited: false,
        generation: Some(3),
    })
}

#[tokio::test]
async fn events_arrive_as_they_happen() {
    let daemon = Fixture::start();
    let client = daemon.client();
    let watching = tokio::spawn(async move {
        let mut ports = Vec::new();
        let query = WatchQuery { dropped: true, ..WatchQuery::default() };
        let each = |line| {
            let Line::Event(event) = line else { panic!("{line:?}") };
            ports.extend(event.destination_port);
            Ok(ports.len() < 3)
        };
        client.watch(&query, each).await.unwrap();
        ports
    });
    daemon.until_watched(true).await;
    assert_eq!(daemon.feed.demand().ports, [None]);
    (1..10).for_each(|port| daemon.tell(port));
    assert_eq!(watching.await.unwrap(), [1, 2, 3]);
    daemon.until_watched(false).await;
}

/// Nothing is told, so nothing is written to the connection: that the client is gone must be seen all the same.
#[tokio::test]
async fn a_client_that_is_killed_no_longer_watches() {
    let daemon = Fixture::start();
    let client = daemon.client();
    let watching =
        tokio::spawn(async move { client.watch(&WatchQuery::default(), |_| Ok(true)).await });
    daemon.until_watched(true).await;
    watching.abort();
    daemon.until_watched(false).await;
}

#[tokio::test]
async fn a_daemon_that_stops_ends_the_stream() {
    let daemon = Fixture::start();
    let client = daemon.client();
    let watching =
        tokio::spawn(async move { client.watch(&WatchQuery::default(), |_| Ok(true)).await });
    daemon.until_watched(true).await;
    daemon.feed.close();
    timeout(Duration::from_secs(10), watching).await.unwrap().unwrap().unwrap();
    let refused = daemon.client().watch(&WatchQuery::default(), |_| Ok(true)).await.unwrap_err();
    assert!(refused.to_string().contains("the daemon is stopping"), "{refused}");
}

#[tokio::test]
async fn questions_are_answered_or_refused_with_a_remedy() {
    let daemon = Fixture::start();
    let mut question = Question {
        from: "5.6.7.8".parse().unwrap(),
        to: Some("192.0.2.1".parse().unwrap()),
        protocol: None,
        port: Some(443),
    };
    let told = daemon.client().explain(&question).await.unwrap();
    assert_eq!(
        (told.packet.as_str(), told.rule.as_deref()),
        ("tcp 5.6.7.8:50000 > 192.0.2.1:443 (SYN)", Some("web"))
    );
    question.port = None;
    let refused =
        daemon.client().explain(&question).await.unwrap_err().downcast::<Refusal>().unwrap();
    assert_eq!(
        (refused.error.as_str(), refused.help.as_deref()),
        ("tcp needs a destination port", Some("give it with --port"))
    );
}
