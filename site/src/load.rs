//! Wanted traffic: visitors, by h2load, a counted number of requests at a steady rate.

use std::{fmt, thread, time::Duration};

use anyhow::{Context as _, Result, bail};

use crate::{
    instance::Instance,
    plan::{Host, NAME},
    run::{on, output},
};

/// What visitors speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// HTTP/1.1 with keep-alive, over TLS.
    Http1,
    /// HTTP/2, over TLS.
    Http2,
    /// HTTP/1.1 in clear: the load balancer answers with a redirect.
    Plain,
}

/// Visitors: a number of connections, each asking at a steady rate for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Load {
    /// What they speak.
    pub version: Version,
    /// How many connections.
    pub connections: u32,
    /// Requests a second of each connection.
    pub rate: u32,
    /// For how many seconds, if the site keeps up.
    pub seconds: u32,
}

/// What the load generator reports.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Served {
    /// Requests that were made.
    pub requests: u64,
    /// Of them, those that got a status of 2xx or 3xx.
    pub succeeded: u64,
    /// Requests that failed, in the transport or by their status.
    pub failed: u64,
    /// Requests a second, over the whole of it.
    pub rate: f64,
    /// Mean time for a request.
    pub mean: Duration,
}

impl Served {
    /// Several, one after the other.
    pub fn all(served: &[Served]) -> Served {
        let sum = |of: fn(&Served) -> u64| served.iter().map(of).sum::<u64>();
        let requests = sum(|one| one.requests);
        let weighted = |of: fn(&Served) -> f64| {
            served.iter().map(|one| one.requests as f64 * of(one)).sum::<f64>()
        };
        let seconds = weighted(|one| if one.rate > 0.0 { one.rate.recip() } else { 0.0 });
        Served {
            requests,
            succeeded: sum(|one| one.succeeded),
            failed: sum(|one| one.failed),
            rate: if seconds > 0.0 { requests as f64 / seconds } else { 0.0 },
            mean: Duration::from_secs_f64(
                weighted(|one| one.mean.as_secs_f64()) / requests.max(1) as f64,
            ),
        }
    }
}

impl fmt::Display for Served {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "{} requests, {} answered well, {} failed, {:.1} a second, {:.2?} on average",
            self.requests, self.succeeded, self.failed, self.rate, self.mean
        )
    }
}

impl Load {
    /// How many requests this makes.
    pub const fn requests(&self) -> u32 {
        self.connections * self.rate * self.seconds
    }

    /// Runs it from the client.
    ///
    /// # Errors
    /// If h2load cannot run or its report cannot be read; failed requests are no error but are counted.
    pub fn run(&self, instance: &Instance) -> Result<Served> {
        let (scheme, port) = match self.version {
            Version::Plain => ("http", 80),
            _ => ("https", 443),
        };
        let mut h2load = on(instance, Host::Client, "h2load");
        h2load.args(["--clients", &self.connections.to_string()]);
        h2load.args(["--requests", &self.requests().to_string()]);
        h2load.args(["--rps", &self.rate.to_string(), "--max-concurrent-streams", "4"]);
        h2load.arg(format!("--connect-to={}:{port}", Host::Lb.ipv4()));
        if self.version != Version::Http2 {
            h2load.arg("--h1");
        }
        let report = output(h2load.arg(format!("{scheme}://{NAME}/")))?;
        read(&report).with_context(|| format!("cannot read what h2load reports:\n{report}"))
    }
}

/// Runs several loads at once.
///
/// # Errors
/// Those of [`Load::run`].
pub fn together(instance: &Instance, loads: &[Load]) -> Result<Vec<Served>> {
    thread::scope(|scope| {
        let running: Vec<_> = loads.iter().map(|load| scope.spawn(|| load.run(instance))).collect();
        let served = running.into_iter().map(|load| match load.join() {
            Ok(served) => served,
            Err(_) => bail!("a load panicked"),
        });
        served.collect()
    })
}

fn read(report: &str) -> Result<Served> {
    let line = |start: &str| {
        let mut lines = report.lines().filter_map(|line| line.strip_prefix(start));
        lines.next().with_context(|| format!("no line \"{start}\""))
    };
    // requests: 200 total, 200 started, 200 done, 200 succeeded, 0 failed, 0 errored, 0 timeout
    let requests = line("requests: ")?;
    let number = |line: &str, word: &str| {
        let mut parts = line.split(", ").filter_map(|part| part.split_once(' '));
        let found = parts.find(|(_, name)| *name == word).context("a number")?;
        found.0.trim().parse::<u64>().context("a number")
    };
    // status codes: 200 2xx, 0 3xx, 0 4xx, 0 5xx
    let codes = line("status codes: ")?;
    let good = number(codes, "2xx")? + number(codes, "3xx")?;
    let total = number(requests, "total")?;
    // finished in 5.02s, 39.85 req/s, 43.26KB/s
    let finished = line("finished in ")?;
    let rate = finished.split(", ").find_map(|part| part.strip_suffix(" req/s"));
    // time for request: min max mean sd
    let times = line("time for request:")?;
    Ok(Served {
        requests: total,
        succeeded: good,
        failed: total.saturating_sub(good),
        rate: rate.context("no rate")?.parse().context("a rate")?,
        mean: duration(times.split_whitespace().nth(2).context("no mean")?)?,
    })
}

/// A time as h2load writes it: `46.90ms`, `570us`, `1.20s`.
fn duration(text: &str) -> Result<Duration> {
    let number = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let seconds = match &text[number.len()..] {
        "us" => 1e-6,
        "ms" => 1e-3,
        "s" => 1.0,
        unit => bail!("the unit \"{unit}\" of \"{text}\" is unknown"),
    };
    let number: f64 = number.parse().with_context(|| format!("no time: {text}"))?;
    Ok(Duration::from_secs_f64(number * seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_report_of_h2load_is_understood() {
        let report = "finished in 5.02s, 39.85 req/s, 43.26KB/s\n\
            requests: 200 total, 200 started, 200 done, 199 succeeded, 1 failed, 0 errored, 0 timeout\n\
            status codes: 190 2xx, 9 3xx, 0 4xx, 1 5xx\n\
            traffic: 217.19KB (222400) total\n\
            \x20                    min         max         mean         sd        +/- sd\n\
            time for request:     1.97ms     10.11ms      3.21ms      1.04ms    88.50%\n";
        let mean = Duration::from_micros(3210);
        let served = Served { requests: 200, succeeded: 199, failed: 1, rate: 39.85, mean };
        assert_eq!(read(report).unwrap(), served);
    }

    #[test]
    fn loads_one_after_the_other_add_up() {
        let ms = Duration::from_millis;
        let slow = Served { requests: 10, succeeded: 9, failed: 1, rate: 5.0, mean: ms(40) };
        let fast = Served { requests: 30, succeeded: 30, failed: 0, rate: 15.0, mean: ms(20) };
        let both = Served { requests: 40, succeeded: 39, failed: 1, rate: 10.0, mean: ms(25) };
        assert_eq!(Served::all(&[slow, fast]), both);
        assert_eq!(Served::all(&[]), Served::default());
    }
}
