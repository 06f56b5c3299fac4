//! What a listener does not let its clients do.

use std::io::{Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::{PATIENCE, Quiet, Running, Source, is_closed, parts};
use crate::live::{Live, Since};
use crate::metrics::Snapshot;
use crate::metrics::listener::ListenerLimits;

#[test]
fn a_client_that_sends_no_whole_request_is_closed() {
    let header_timeout = Duration::from_millis(300);
    let running =
        Running::start(Quiet, ListenerLimits { header_timeout, ..ListenerLimits::default() });
    let begun = Instant::now();
    let mut silent = running.connect();
    let mut slow = running.connect();
    slow.write_all(b"GET /metrics HTTP/1.1\r\nHost:").unwrap();
    let mut idle = running.connect();
    idle.write_all(b"HEAD /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    let mut answer = String::new();
    idle.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
    assert!(is_closed(&mut silent));
    let _ = slow.read_to_end(&mut Vec::new());
    assert!(begun.elapsed() >= header_timeout, "not closed at once");
}

#[test]
fn a_connection_does_not_last_for_ever() {
    let limits =
        ListenerLimits { lifetime: Duration::from_millis(400), ..ListenerLimits::default() };
    let running = Running::start(Quiet, limits);
    let mut stream = running.connect();
    let begun = Instant::now();
    // Busy all the time, so no timeout between requests applies.
    let request = b"HEAD /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";
    while stream.write_all(request).is_ok()
        && stream.read(&mut [0; 4096]).is_ok_and(|read| read > 0)
    {
        assert!(begun.elapsed() < PATIENCE);
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(begun.elapsed() >= limits.lifetime);
}

#[test]
fn one_who_scrapes_gets_through_whoever_fills_the_port() {
    let limits = ListenerLimits { connections: 8, ..ListenerLimits::default() };
    let running = Running::start(Quiet, limits);
    let mut half_open: Vec<_> = (0..50).map(|_| running.connect()).collect();
    for stream in &mut half_open {
        let _ = stream.write_all(b"GET /metr");
    }
    let begun = Instant::now();
    assert_eq!(parts(&running.ask("GET", "/metrics")).0, "HTTP/1.1 200 OK");
    // Not by waiting until they are timed out.
    assert!(begun.elapsed() < limits.header_timeout, "{:?}", begun.elapsed());
    assert!(is_closed(&mut half_open[0]), "the one that had been idle for longest had to go");
}

/// Counts how often it is read, and how often at the same time.
#[derive(Clone, Default)]
struct Counting {
    reads: Arc<AtomicU64>,
    now: Arc<AtomicU64>,
    most: Arc<AtomicU64>,
}

impl Source for Counting {
    fn snapshot(&self) -> anyhow::Result<Snapshot> {
        self.most.fetch_max(self.now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        std::thread::sleep(Duration::from_millis(50));
        self.now.fetch_sub(1, Ordering::SeqCst);
        let mut snapshot = Quiet.snapshot()?;
        snapshot.policy.generation = self.reads.fetch_add(1, Ordering::SeqCst) + 1;
        Ok(snapshot)
    }

    fn live(&self, _: Since) -> Live {
        Live::default()
    }

    fn health(&self) -> Result<(), String> {
        Ok(())
    }
}

#[test]
fn a_hundred_who_scrape_at_once_share_the_reading() {
    let source = Counting::default();
    // More scrape than there are connections.
    let running = Running::start(
        source.clone(),
        ListenerLimits { connections: 64, ..ListenerLimits::default() },
    );
    std::thread::scope(|scope| {
        let scrapes: Vec<_> =
            (0..100).map(|_| scope.spawn(|| running.ask("GET", "/metrics"))).collect();
        for scrape in scrapes {
            let answer = scrape.join().expect("no scrape fails");
            assert_eq!(parts(&answer).0, "HTTP/1.1 200 OK");
        }
    });
    assert_eq!(source.most.load(Ordering::SeqCst), 1, "never two readings at once");
    assert!(
        source.reads.load(Ordering::SeqCst) < 50,
        "{} readings",
        source.reads.load(Ordering::SeqCst)
    );
}

#[test]
fn a_page_is_never_older_than_the_question() {
    let source = Counting::default();
    let running = Running::start(source, ListenerLimits::default());
    for expected in 1..=3 {
        let answer = running.ask("GET", "/metrics");
        assert!(
            answer.contains(&format!("\nfoobar_policy_generation {expected}\n")),
            "reading {expected}"
        );
    }
}
