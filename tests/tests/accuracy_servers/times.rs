//! Time to the first byte against nginx's `$request_time` and HAProxy's `%Ta`: both say how many requests took longer than each bound of the histogram.
//!
//! The log has milliseconds, of a clock that nginx reads once for each round of its event loop; and it begins where the server reads the
//! request, foobar where it arrives. So the delays are far from the bounds on both sides, and the shortest bounds are left alone.

use std::{fmt::Write as _, process::Command};

use foobar_tests::harness::{Scrape, try_run};

use super::{
    servers::{HAPROXY, NGINX},
    site::Site,
};

/// Delay in ms, requests.
const DELAYS: [(u32, u32); 3] = [(0, 60), (50, 20), (250, 10)];
/// Bounds in s that lie well between the delays.
const BOUNDS: [f64; 3] = [0.025, 0.1, 0.5];

/// Cumulative counts at the bounds, all of them, and the sum in ms.
#[derive(Clone, Copy, Debug, Default)]
struct Times {
    below: [u64; BOUNDS.len()],
    all: u64,
    sum_ms: f64,
}

impl Times {
    fn logged(lines: &[String]) -> Self {
        let mut times = Times::default();
        for line in lines {
            let word = line.split(' ').nth(3).expect(line);
            let time: f64 = word.parse().expect(line);
            // nginx has seconds with three digits behind the point, HAProxy whole milliseconds.
            let seconds = if word.contains('.') { time } else { time / 1000.0 };
            for (below, bound) in times.below.iter_mut().zip(BOUNDS) {
                *below += (seconds <= bound) as u64;
            }
            times.all += 1;
            times.sum_ms += 1000.0 * seconds;
        }
        times
    }

    fn counted(scrape: &Scrape, port: u16) -> Self {
        let port = port.to_string();
        let name = "foobar_http_time_to_first_byte_seconds";
        let below = BOUNDS.map(|bound| {
            let le = bound.to_string();
            scrape.sum(&format!("{name}_bucket"), &[("port", &port), ("le", &le)]) as u64
        });
        Times {
            below,
            all: scrape.sum(&format!("{name}_count"), &[("port", &port)]) as u64,
            sum_ms: 1000.0 * scrape.sum(&format!("{name}_sum"), &[("port", &port)]),
        }
    }

    fn since(&self, before: &Times) -> Times {
        Times {
            below: std::array::from_fn(|at| self.below[at] - before.below[at]),
            all: self.all - before.all,
            sum_ms: self.sum_ms - before.sum_ms,
        }
    }
}

/// Gives back the rows of a table. A machine that stalls between the arrival of a request and nginx's look at it is given another
/// attempt, two at most.
pub fn compare(site: &mut Site<'_>) -> String {
    let mut rows = String::new();
    for (server, port) in [("nginx", NGINX), ("HAProxy", HAPROXY)] {
        let mut attempt = 1;
        let (logged, counted) = loop {
            let (logged, counted) = once(site, port);
            assert_eq!(logged.all, counted.all, "{server}: requests whose time was taken");
            let is_same = logged.below == counted.below;
            let apart = (logged.sum_ms - counted.sum_ms).abs() / logged.all as f64;
            if is_same && apart < 5.0 {
                break (logged, counted);
            }
            assert!(attempt < 3, "{server}: logged {logged:?}, counted {counted:?}");
            attempt += 1;
        };
        let text = |times: &Times| {
            let below = times.below.map(|below| below.to_string()).join(", ");
            format!("{below} of {}; {:.1} ms", times.all, times.sum_ms / times.all as f64)
        };
        writeln!(rows, "| {server} | {} | {} |", text(&logged), text(&counted)).expect("a string");
    }
    rows
}

fn once(site: &mut Site<'_>, port: u16) -> (Times, Times) {
    site.skip_logged();
    let before = Times::counted(&site.daemon.scrape(), port);
    let mut requests = 0;
    for (delay, count) in DELAYS {
        let url = format!("http://192.0.2.1:{port}/delay/{delay}?[1-{count}]");
        let mut command: Command = site.command(&format!("curl -sSf -o /dev/null {url}"));
        let output = try_run(&mut command);
        assert_eq!(output.code, Some(0), "{}", output.text());
        requests += count as u64;
    }
    foobar_tests::harness::eventually("the log", std::time::Duration::from_secs(20), || {
        let (lines, counted) = (site.logged().len(), Times::counted(&site.daemon.scrape(), port));
        if lines as u64 == requests && counted.since(&before).all == requests {
            Ok(())
        } else {
            Err((lines, counted))
        }
    });
    let counted = Times::counted(&site.daemon.scrape(), port).since(&before);
    let logged = Times::logged(&site.logged());
    site.skip_logged();
    (logged, counted)
}
