//! Prometheus asks for the metrics: how long it takes, and how much it gets.

use std::{
    fmt::Write as _,
    io::{Read as _, Write as _},
    net::TcpStream,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use foobar_tests::harness::{Daemon, Netns};

use crate::{lane::Lane, results::Table};

const INTERFACE: &str = "eth0";
/// Packets a second.
const RATE: u32 = 1_000_000;
/// Rules, each with a port of its own.
const RULES: usize = 40;

/// Measures the page, idle and under flood.
pub fn measure(quick: bool) -> Result<Vec<Table>> {
    let mut time = Table::new("scrape", "Scrape: milliseconds for the page /metrics", "ms", None);
    let mut size = Table::new("scrape-size", "Scrape: the page /metrics", "", None);
    let server = Netns::new();
    let lane = Lane::new(&server, INTERFACE, 8443)?;
    let mut policy =
        format!("interfaces = [\"{INTERFACE}\"]\n[metrics]\nlisten = \"{}\"\n", Daemon::METRICS);
    for number in 0..RULES {
        let _ = write!(
            policy,
            "[[rules]]\nname = \"rule-{number}\"\nports = [{}]\nfrom = \"any\"\n",
            8000 + number
        );
    }
    let _daemon = Daemon::start(&server, &policy);
    let rounds = if quick { 20 } else { 100 };
    let scrapes = || -> Result<Vec<(f64, String)>> {
        server.enter(|| (0..rounds).map(|_| scrape()).collect())
    };
    // A packet for each kind of series, so that they are there.
    let ((), _) = lane.flood_while(RATE / 10, || Ok(()))?;
    let idle = scrapes()?;
    let (flooded, _) = lane.flood_while(RATE, scrapes)?;
    let page = &idle.last().context("a page")?.1;
    let series = page.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).count();
    size.add("bytes", "foobar", vec![page.len() as f64], None);
    size.add("series", "foobar", vec![series as f64], None);
    for (case, scrapes) in [("idle", idle), ("under flood", flooded)] {
        time.add(case, "foobar", scrapes.into_iter().map(|(time, _)| time).collect(), None);
    }
    Ok(vec![time, size])
}

/// Milliseconds from the connection's start to the end of the page, and the page.
fn scrape() -> Result<(f64, String)> {
    let begin = Instant::now();
    let mut connection = TcpStream::connect(Daemon::METRICS)?;
    connection.set_read_timeout(Some(Duration::from_secs(10)))?;
    connection.write_all(
        b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nAccept: text/plain\r\n\r\n",
    )?;
    let mut answer = String::new();
    connection.read_to_string(&mut answer)?;
    let took = begin.elapsed().as_secs_f64() * 1e3;
    ensure!(answer.starts_with("HTTP/1.1 200"), "{}", answer.lines().next().unwrap_or("nothing"));
    let (_, page) = answer.split_once("\r\n\r\n").context("no page")?;
    Ok((took, page.to_owned()))
}
