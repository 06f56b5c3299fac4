//! A server that probes count, against its access log.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use foobar_tests::harness::{Daemon, Scrape, eventually};

use super::{servers::Server, table::Table};

pub const PATIENCE: Duration = Duration::from_secs(60);

/// Requests by port and what became of them: a class of status, or `aborted`.
pub type Counts = BTreeMap<(String, String), u64>;

/// A private copy of a program, so that its probes concern nobody else on this machine.
pub fn copy_of(program: &str, folder: &Path) -> PathBuf {
    let copy = folder.join("program");
    fs::copy(program, &copy).expect("a copy of the server");
    copy
}

/// The configuration of a daemon that observes these ports: number, protocol, source, and more of the section.
pub fn configuration(ports: &[(u16, &str, &str, &str)]) -> String {
    let numbers: Vec<_> = ports.iter().map(|(port, ..)| port.to_string()).collect();
    let mut text = format!(
        "interfaces = [\"eth0\"]\n[[rules]]\nname = \"web\"\nports = [{}]\nfrom = \"any\"\n",
        numbers.join(", ")
    );
    for (port, protocol, requests, more) in ports {
        text.push_str(&format!(
            "[[observe]]\nport = {port}\nprotocol = \"{protocol}\"\nrequests = \"{requests}\"\n{more}\n"
        ));
    }
    text
}

/// What a daemon counted by probes.
pub fn counted(page: &Scrape, ports: &[&str]) -> Counts {
    let mut counts = Counts::new();
    for port in ports {
        let mut add = |what: &str, count: f64| {
            if count > 0.0 {
                counts.insert(((*port).to_owned(), what.to_owned()), count as u64);
            }
        };
        for class in ["unknown", "1xx", "2xx", "3xx", "4xx", "5xx"] {
            let labels = [("port", *port), ("code_class", class)];
            add(class, page.find("foobar_http_requests_total", &labels).unwrap_or(0.0));
        }
        let aborted = page.find("foobar_http_requests_aborted_total", &[("port", port)]);
        add("aborted", aborted.unwrap_or(0.0));
    }
    counts
}

/// What a server logged, a line a request: port, status, and bytes sent where it says so.
pub fn logged(log: &str, ports: &[&str]) -> Counts {
    let mut counts = Counts::new();
    for line in log.lines() {
        let mut words = line.split(' ');
        let (Some(port), Some(status)) = (words.next(), words.next()) else { continue };
        if !ports.contains(&port) {
            continue;
        }
        let what = match (words.next(), status.chars().next()) {
            (Some("0"), _) => "aborted".to_owned(),
            (_, Some(class @ '1'..='5')) => format!("{class}xx"),
            _ => "unknown".to_owned(),
        };
        *counts.entry((port.to_owned(), what)).or_insert(0) += 1;
    }
    counts
}

fn less(counts: &Counts, before: &Counts) -> Counts {
    let mut rest = counts.clone();
    for (key, count) in before {
        *rest.entry(key.clone()).or_insert(0) -= count;
    }
    rest.retain(|_, count| *count > 0);
    rest
}

/// A daemon and a server, of which these ports are observed.
pub struct Probed<'a> {
    pub daemon: Daemon<'a>,
    pub server: Server,
    pub ports: &'a [&'a str],
}

impl Probed<'_> {
    pub fn logged(&self) -> Counts {
        logged(&self.server.log("access.log"), self.ports)
    }

    pub fn counted(&self) -> Counts {
        counted(&self.daemon.scrape(), self.ports)
    }

    /// Waits until probes are placed for all ports.
    pub fn ready(&self) {
        placed(&self.daemon, self.ports, 1.0);
    }

    /// Runs `work`, and waits until what it added to the log was counted as well, class by class, and nothing else.
    pub fn compare(&self, name: &str, work: impl FnOnce()) -> u64 {
        let (logged, counted) = (self.logged(), self.counted());
        work();
        let mut last = 0;
        eventually("the count", PATIENCE, || {
            std::thread::sleep(Duration::from_millis(300));
            let truth = less(&self.logged(), &logged);
            let count = less(&self.counted(), &counted);
            let total = truth.values().sum();
            // Clients may be done before the server has written its last line.
            let settled = std::mem::replace(&mut last, total) == total;
            match settled && total > 0 && truth == count {
                true => Ok(()),
                false => Err(format!("{name}: logged {truth:?}, counted {count:?}")),
            }
        });
        last
    }

    /// The same, with a row in the table.
    pub fn row(&self, table: &mut Table, name: &str, work: impl FnOnce()) {
        let count = self.compare(name, work);
        table.row(name, count, count);
    }

    /// Runs a load four times, and `disturb` once the first requests of it were logged.
    pub fn disturbed(&self, load: &(dyn Fn() + Sync), disturb: impl FnOnce()) {
        let total = || self.logged().values().sum::<u64>();
        let before = total();
        std::thread::scope(|scope| {
            let busy = scope.spawn(|| (0..4).for_each(|_| load()));
            eventually("the first requests", PATIENCE, || match total() {
                now if now > before => Ok(()),
                now => Err(now),
            });
            disturb();
            busy.join().expect("the load");
        });
    }
}

/// Waits until the daemon says of these ports whether their probes are placed.
pub fn placed(daemon: &Daemon<'_>, ports: &[&str], expected: f64) {
    eventually("the probes", PATIENCE, || {
        let page = daemon.scrape();
        let all =
            ports.iter().map(|port| page.find("foobar_http_probes_placed", &[("port", port)]));
        let all: Vec<_> = all.collect();
        match all.iter().all(|placed| *placed == Some(expected)) {
            true => Ok(()),
            false => Err((all, daemon.log())),
        }
    });
}
