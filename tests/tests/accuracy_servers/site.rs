//! A workload, what was logged of it, and what was counted.

use std::{
    collections::BTreeMap,
    process::Command,
    time::{Duration, Instant},
};

use foobar_tests::harness::{Daemon, Netns, Process, Scrape, try_run};

use super::servers::{PORTS, Servers};

/// How many by what: `80 1.1 2xx`, `80 aborted`, `80 unparsed`.
pub type Tally = BTreeMap<String, u64>;
/// What the logs do not have, or have and ought not to.
pub type More = BTreeMap<String, i64>;

/// Servers, a client, and foobar in between.
pub struct Site<'a> {
    pub client: &'a Netns,
    pub servers: &'a Servers,
    pub daemon: Daemon<'a>,
    /// What arrives may be out of order, which makes a hole where it is no body: once it is unparsed, once it is not.
    pub out_of_order: bool,
    /// Lines of each log that belong to cases before.
    read: Vec<usize>,
    /// Case, truth, counted.
    pub rows: Vec<(String, Tally, Tally)>,
}

impl<'a> Site<'a> {
    pub fn new(client: &'a Netns, servers: &'a Servers, daemon: Daemon<'a>) -> Self {
        Site { client, servers, daemon, out_of_order: false, read: vec![0; 3], rows: Vec::new() }
    }

    /// Lines that were logged since the last case.
    pub fn logged(&self) -> Vec<String> {
        let logs = self.servers.logged().into_iter().zip(&self.read);
        logs.flat_map(|(log, read)| log.into_iter().skip(*read)).collect()
    }

    /// Forgets what was logged so far.
    pub fn skip_logged(&mut self) {
        self.read = self.servers.logged().iter().map(Vec::len).collect();
    }

    /// Runs a workload to its end, then waits until as much is counted as is logged. The workload gives back what no log has.
    pub fn case(&mut self, name: &str, work: impl FnOnce(&mut Self) -> More) {
        let before = counted(&self.daemon.scrape());
        let more = work(self);
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            let mut truth = tally(&self.logged());
            for (key, count) in &more {
                let logged = truth.entry(key.clone()).or_default();
                *logged = logged.saturating_add_signed(*count);
            }
            truth.retain(|_, count| *count != 0);
            let mut now = counted(&self.daemon.scrape());
            for (key, count) in &mut now {
                *count -= before.get(key).copied().unwrap_or(0);
            }
            if self.out_of_order {
                now.retain(|key, _| !key.ends_with("unparsed"));
            }
            now.retain(|_, count| *count != 0);
            if truth == now && !(truth.is_empty() && more.is_empty()) || Instant::now() > deadline {
                println!("{name}\n    true    {truth:?}\n    counted {now:?}");
                self.rows.push((name.to_owned(), truth, now));
                break;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        self.skip_logged();
    }

    /// The case is a script of the client.
    pub fn script(
        &mut self,
        name: &str,
        port: u16,
        script: &str,
        count: u64,
        more: &[(&str, i64)],
    ) {
        self.case(name, |site| {
            site.run(&mut site.python("192.0.2.1", port, script, count));
            owned(port, more)
        });
    }

    /// The case is a command of the client.
    pub fn commands(&mut self, name: &str, line: &str) {
        self.case(name, |site| {
            site.run(&mut site.command(line));
            More::new()
        });
    }

    /// A script of the client.
    pub fn python(&self, host: &str, port: u16, script: &str, count: u64) -> Command {
        let mut command = self.client.command("timeout");
        command.args(["60", "python3"]).arg(self.servers.file("client.py")).args([script, host]);
        command.args([port.to_string(), count.to_string()]);
        command
    }

    /// A command in the client's namespace.
    pub fn command(&self, line: &str) -> Command {
        let mut words = line.split_whitespace();
        let mut command = self.client.command(words.next().expect("a program"));
        command.args(words).current_dir(self.servers.file(""));
        command
    }

    /// Runs it; it has to succeed.
    pub fn run(&self, command: &mut Command) {
        let output = try_run(command);
        assert_eq!(output.code, Some(0), "{command:?}: {}", output.text());
    }

    /// Runs commands at the same time; all have to succeed.
    pub fn run_at_once(&self, lines: &[String]) {
        let log = self.servers.file("clients.log");
        let start = |line: &String| Process::start(self.command(line), &log);
        for mut client in lines.iter().map(start).collect::<Vec<_>>() {
            assert!(client.wait(Duration::from_secs(100)).success(), "{}", client.log());
        }
    }
}

/// What no log has, of one port.
pub fn owned(port: u16, counts: &[(&str, i64)]) -> More {
    counts.iter().map(|(key, count)| (format!("{port} {key}"), *count)).collect()
}

/// What the logs say.
fn tally(lines: &[String]) -> Tally {
    let mut tally = Tally::new();
    for line in lines {
        let words: Vec<_> = line.split(' ').collect();
        let [port, protocol, status, ..] = words[..] else { panic!("no line of a log: {line}") };
        let key = match (protocol, status) {
            // nginx and HAProxy: the client was gone before there was a response.
            (_, "499" | "-1") => format!("{port} aborted"),
            // Apache: what was asked in HTTP/1.1 is answered there by 101, whatever follows in HTTP/2.
            ("HTTP/2.0", _) if words.get(3) == Some(&"h2c") => format!("{port} 1.1 1xx"),
            ("HTTP/2.0", _) => format!("{port} 2 {}xx", &status[..1]),
            // The version of the response is what is counted, and none of these servers speaks an older one.
            _ => format!("{port} 1.1 {}xx", &status[..1]),
        };
        *tally.entry(key).or_default() += 1;
    }
    tally
}

/// Everything that is counted.
pub fn counted(scrape: &Scrape) -> Tally {
    let mut tally = Tally::new();
    for port in PORTS.map(|port| port.to_string()) {
        for version in ["1.0", "1.1", "2"] {
            for class in ["unknown", "1xx", "2xx", "3xx", "4xx", "5xx"] {
                let labels = [("port", &*port), ("http_version", version), ("code_class", class)];
                let count = scrape.sum("foobar_http_requests_total", &labels);
                tally.insert(format!("{port} {version} {class}"), count as u64);
            }
        }
        for (name, metric) in [
            ("aborted", "foobar_http_requests_aborted_total"),
            ("unparsed", "foobar_http_unparsed_total"),
        ] {
            let count = scrape.sum(metric, &[("port", &port)]);
            tally.insert(format!("{port} {name}"), count as u64);
        }
    }
    tally
}
