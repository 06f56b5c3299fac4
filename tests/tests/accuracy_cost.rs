//! What observing costs a request and a handshake: the run time of both classifiers, by the kernel's own clock (`kernel.bpf_stats_enabled`).
//!
//! It measures, so it runs only when it is asked for:
//! `UPDATE_DOCS=1 cargo nextest run -p foobar-tests --test accuracy_cost --run-ignored all --no-capture`.

use std::{fmt::Write as _, fs, process::Command};

use foobar_tests::harness::{Daemon, Lan, Leaks, Nginx, try_run};

const CONFIGURATION: &str = r#"
interfaces = ["eth0"]
[[rules]]
name = "web"
ports = [80, 443]
from = "any"
[[observe]]
port = 80
protocol = "http"
[[observe]]
port = 443
protocol = "https"
requests = "turns"
"#;

/// What it is counted by, how many, the client's command.
const WORKLOADS: [(&str, u32, &str); 5] = [
    ("request, HTTP/1.1, kept alive", 40_000, "h2load --h1 -c8 -n40000 http://192.0.2.1/"),
    ("request, HTTP/1.1, pipelined by 8", 40_000, "h2load --h1 -c8 -m8 -n40000 http://192.0.2.1/"),
    ("connection with one request", 200, "h2load --h1 -c200 -n200 http://192.0.2.1/"),
    ("request over TLS, kept alive", 40_000, "h2load --h1 -c8 -n40000 https://192.0.2.1/"),
    ("TLS connection with one request", 200, "h2load --h1 -c200 -n200 https://192.0.2.1/"),
];

const NAMES: [&str; 2] = ["observe_ingress", "egress"];
const DOCUMENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/accuracy.md");
const BEGIN: &str = "<!-- cost: written by tests/tests/accuracy_cost.rs -->\n";
const END: &str = "<!-- end of cost -->\n";

/// Nanoseconds and runs of each classifier so far.
fn run_times(daemon: &Daemon<'_>) -> [(u64, u64); 2] {
    NAMES.map(|name| {
        let pin = daemon.bpf_dir().join("v1/instances/1/programs").join(name);
        let mut command = Command::new("bpftool");
        let output = try_run(command.args(["-j", "prog", "show", "pinned"]).arg(&pin));
        assert_eq!(output.code, Some(0), "{}: {}", pin.display(), output.text());
        let program: serde_json::Value = serde_json::from_str(&output.stdout).expect("JSON");
        let number = |key: &str| program[key].as_u64().unwrap_or(0);
        (number("run_time_ns"), number("run_cnt"))
    })
}

/// The kernel takes the time of programs while this lives.
struct Clock(String);

impl Clock {
    const PATH: &'static str = "/proc/sys/kernel/bpf_stats_enabled";

    fn start() -> Self {
        let before = fs::read_to_string(Self::PATH).expect(Self::PATH);
        fs::write(Self::PATH, "1").expect(Self::PATH);
        Clock(before)
    }
}

impl Drop for Clock {
    fn drop(&mut self) {
        let _ = fs::write(Self::PATH, &self.0);
    }
}

#[test]
#[ignore = "it measures, and takes the time of every program of the machine"]
fn run_time_of_the_observer() {
    let _leaks = Leaks::watch();
    let lan = Lan::new();
    let client = lan.client(10);
    let _nginx = Nginx::start(&lan.server);
    let daemon = Daemon::start(&lan.server, CONFIGURATION);
    let _clock = Clock::start();
    let mut table =
        "\n| for each | arriving | leaving | together |\n|---|---|---|---|\n".to_owned();
    for (what, count, line) in WORKLOADS {
        // The median of five.
        let mut samples: Vec<_> = (0..5)
            .map(|_| {
                let before = run_times(&daemon);
                let mut words = line.split_whitespace();
                let mut command = client.command(words.next().expect("a program"));
                let output = try_run(command.args(words));
                assert_eq!(output.code, Some(0), "{line}: {}", output.text());
                let after = run_times(&daemon);
                [0, 1].map(|way| {
                    let per = |one: u64| one as f64 / f64::from(count);
                    (per(after[way].0 - before[way].0), per(after[way].1 - before[way].1))
                })
            })
            .collect();
        samples.sort_by(|one, other| (one[0].0 + one[1].0).total_cmp(&(other[0].0 + other[1].0)));
        let [arriving, leaving] = samples[samples.len() / 2];
        let text = |(time, runs): (f64, f64)| format!("{time:.0} ns in {runs:.2} runs");
        let both = arriving.0 + leaving.0;
        writeln!(table, "| {what} | {} | {} | {both:.0} ns |", text(arriving), text(leaving))
            .expect("a string");
    }
    table.push('\n');
    println!("{table}");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        let document = fs::read_to_string(DOCUMENT).expect(DOCUMENT);
        let (before, rest) = document.split_once(BEGIN).expect(BEGIN);
        let (_, after) = rest.split_once(END).expect(END);
        fs::write(DOCUMENT, format!("{before}{BEGIN}{table}{END}{after}")).expect(DOCUMENT);
    }
}
