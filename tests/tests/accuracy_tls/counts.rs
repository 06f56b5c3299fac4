//! What foobar counts of a port, and a table of it against the truth.

use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    time::{Duration, Instant},
};

use foobar_tests::harness::{Daemon, Scrape};

/// Metrics of which every series of the port is compared.
const METRICS: [&str; 10] = [
    "tls_client_hellos_total",
    "tls_alpn_offers_total",
    "tls_server_name_hellos_total",
    "tls_early_data_offers_total",
    "tls_hello_retry_requests_total",
    "tls_handshakes_total",
    "tls_handshake_failures_total",
    "tls_handshake_duration_seconds_count",
    "tls_unparsed_connections_total",
    "quic_initials_total",
];

/// Counts by what is counted: `tls_handshakes_total 1.3 false`.
pub type Counts = BTreeMap<String, u64>;

/// Reads the counts of a port.
pub fn read(page: &Scrape, port: u16) -> Counts {
    let mut counts = Counts::new();
    for metric in METRICS {
        for line in page.text().lines() {
            let Some(labels) = line.strip_prefix(&format!("foobar_{metric}{{")) else { continue };
            let (labels, value) = labels.split_once("} ").expect("labels and a value");
            let mut of_port = false;
            let mut name = metric.to_owned();
            // In the order of their names, as the page has them.
            for label in labels.split(',') {
                let (key, value) = label.split_once('=').expect("a label");
                let value = value.trim_matches('"');
                if key == "port" {
                    of_port = value == port.to_string();
                } else {
                    name = format!("{name} {value}");
                }
            }
            if of_port {
                counts.insert(name, value.parse::<f64>().expect("a number") as u64);
            }
        }
    }
    assert!(!counts.is_empty(), "nothing is counted of port {port}:\n{}", page.text());
    counts
}

/// What is expected of a workload; everything that is not said is 0.
#[derive(Clone, Debug, Default)]
pub struct Expected {
    pub port: u16,
    /// Hellos that offer TLS 1.3, with this offer of protocols, for this name.
    pub hellos: u64,
    /// The newest version that they offer, `1.3` if it is not said.
    pub newest: &'static str,
    /// What they offer to speak.
    pub alpn: &'static str,
    /// For whom they ask.
    pub name: &'static str,
    pub early: u64,
    pub retries: u64,
    /// Version, whether resumed, how many.
    pub handshakes: Vec<(&'static str, bool, u64)>,
    pub failures: Vec<(&'static str, u64)>,
    pub unparsed: u64,
    pub quic: u64,
}

impl Expected {
    fn counts(&self) -> Counts {
        let newest = if self.newest.is_empty() { "1.3" } else { self.newest };
        let mut counts = Counts::new();
        let mut add = |name: String, count: u64| *counts.entry(name).or_default() += count;
        add(format!("tls_client_hellos_total {newest}"), self.hellos);
        add(format!("tls_alpn_offers_total {}", self.alpn), self.hellos);
        add(format!("tls_server_name_hellos_total {}", self.name), self.hellos);
        add("tls_early_data_offers_total".into(), self.early);
        add("tls_hello_retry_requests_total".into(), self.retries);
        for (version, resumed, count) in &self.handshakes {
            let how = if *resumed { "true" } else { "false" };
            add(format!("tls_handshakes_total {version} {how}"), *count);
            add("tls_handshake_duration_seconds_count".into(), *count);
        }
        for (reason, count) in &self.failures {
            add(format!("tls_handshake_failures_total {reason}"), *count);
        }
        add("tls_unparsed_connections_total".into(), self.unparsed);
        add("quic_initials_total".into(), self.quic);
        counts.retain(|_, count| *count > 0);
        counts
    }
}

/// True counts against those of foobar.
#[derive(Default)]
pub struct Table {
    rows: Vec<(String, Counts, Counts)>,
    /// Requests by the server's log, and as estimated.
    turns: Vec<(String, u64, u64)>,
}

impl Table {
    /// Waits until as much is counted as expected, and keeps what was counted in the end.
    pub fn compare(
        &mut self,
        case: &str,
        daemon: &Daemon<'_>,
        before: &Counts,
        expected: &Expected,
    ) {
        let truth = expected.counts();
        let deadline = Instant::now() + Duration::from_secs(5);
        loop {
            let mut counted = read(&daemon.scrape(), expected.port);
            for (name, count) in &mut counted {
                *count -= before.get(name).copied().unwrap_or_default();
            }
            counted.retain(|_, count| *count > 0);
            if counted == truth || Instant::now() > deadline {
                println!("{case}\n    true    {truth:?}\n    counted {counted:?}");
                self.rows.push((case.to_owned(), truth, counted));
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Keeps how many requests were logged and estimated.
    pub fn estimate(&mut self, case: &str, logged: u64, estimated: u64) {
        println!("{case}\n    logged {logged}, estimated {estimated}");
        self.turns.push((case.to_owned(), logged, estimated));
    }

    /// Cases in which something is off.
    pub fn wrong(&self) -> Vec<String> {
        let wrong = self.rows.iter().filter(|(_, truth, counted)| truth != counted);
        wrong
            .map(|(case, truth, counted)| format!("{case}: {truth:?}, counted {counted:?}"))
            .collect()
    }

    /// As Markdown: hellos, completed handshakes, failed ones, connections that could not be followed, QUIC connections.
    pub fn markdown(&self) -> String {
        let sum = |counts: &Counts, metric: &str| -> u64 {
            let of = counts.iter().filter(|(name, _)| name.split(' ').next() == Some(metric));
            of.map(|(_, count)| *count).sum()
        };
        let columns = [
            ("hellos", "tls_client_hellos_total"),
            ("completed", "tls_handshakes_total"),
            ("failed", "tls_handshake_failures_total"),
            ("not followed", "tls_unparsed_connections_total"),
            ("QUIC", "quic_initials_total"),
        ];
        let mut text = "| case |".to_owned();
        for (title, _) in columns {
            text += &format!(" {title} |");
        }
        text += " what else was compared |\n|---|---|---|---|---|---|---|\n";
        for (case, truth, counted) in &self.rows {
            text += &format!("| {case} |");
            for (_, metric) in columns {
                let (truth, counted) = (sum(truth, metric), sum(counted, metric));
                text += &match (truth, counted) {
                    (0, 0) => " |".to_owned(),
                    _ if truth == counted => format!(" {truth} of {truth} |"),
                    _ => format!(" **{counted} of {truth}** |"),
                };
            }
            let others: Vec<_> = truth
                .keys()
                .filter(|name| name.contains(' '))
                .map(|name| {
                    let (metric, labels) = name.split_once(' ').expect("labels");
                    match metric {
                        "tls_handshakes_total" => {
                            let (version, resumed) = labels.split_once(' ').expect("two labels");
                            let how = if resumed == "true" { " resumed" } else { "" };
                            format!("TLS {version}{how}")
                        }
                        "tls_alpn_offers_total" => format!("offers {labels}"),
                        "tls_server_name_hellos_total" => format!("name {labels}"),
                        "tls_handshake_failures_total" => labels.to_owned(),
                        _ => String::new(),
                    }
                })
                .filter(|text| !text.is_empty())
                .collect();
            text += &format!(" {} |\n", others.join(", "));
        }
        text += "\nRequest turns, the estimate for connections that cannot speak HTTP/2, against the access log:\n\n";
        text += "| case | logged | estimated | off |\n|---|---|---|---|\n";
        for (case, logged, estimated) in &self.turns {
            let off = 100.0 * (*estimated as f64 - *logged as f64) / *logged as f64;
            text += &format!("| {case} | {logged} | {estimated} | {off:+.2} % |\n");
        }
        text
    }

    /// Writes the table into `docs/accuracy.md` if the environment has `UPDATE_DOCS`.
    pub fn write(&self) {
        const BEGIN: &str = "<!-- tls: written by tests/tests/accuracy_tls -->";
        const END: &str = "<!-- tls: end -->";
        if std::env::var_os("UPDATE_DOCS").is_none() {
            return;
        }
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/accuracy.md");
        let text = fs::read_to_string(&path).expect("docs/accuracy.md");
        let (head, rest) = text.split_once(BEGIN).expect("the section's first mark");
        let (_, tail) = rest.split_once(END).expect("the section's last mark");
        let text = format!("{head}{BEGIN}\n{}{END}{tail}", self.markdown());
        fs::write(path, text).expect("docs/accuracy.md");
    }
}
