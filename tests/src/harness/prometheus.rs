//! A real Prometheus that scrapes one target.

use std::{fs, time::Duration};

use serde_json::Value;
use tempfile::TempDir;

use super::{Netns, Process, curl, eventually};

/// Prometheus in a namespace, scraping one target five times a second.
#[derive(Debug)]
pub struct Prometheus<'a> {
    namespace: &'a Netns,
    process: Process,
    _folder: TempDir,
}

impl<'a> Prometheus<'a> {
    /// Where it listens, inside its namespace.
    pub const LISTEN: &'static str = "127.0.0.1:9090";

    /// Starts it and waits until it is ready.
    ///
    /// # Panics
    /// If it does not start.
    pub fn start(namespace: &'a Netns, target: &str) -> Self {
        Self::start_with(namespace, target, "")
    }

    /// The same, with more settings of the job: lines of YAML, such as `  scheme: https`.
    ///
    /// # Panics
    /// If it does not start.
    pub fn start_with(namespace: &'a Netns, target: &str, job: &str) -> Self {
        let folder =
            tempfile::Builder::new().prefix("foobar-prometheus-").tempdir().expect("a folder");
        let file = folder.path().join("prometheus.yml");
        let configuration = format!(
            "global: {{ scrape_interval: 200ms, scrape_timeout: 200ms }}\n\
             scrape_configs:\n- job_name: foobar\n  static_configs:\n  - targets: ['{target}']\n{job}"
        );
        fs::write(&file, configuration).expect("prometheus.yml");
        let mut command = namespace.command("prometheus");
        command
            .arg(format!("--config.file={}", file.display()))
            .arg(format!("--storage.tsdb.path={}", folder.path().join("data").display()))
            .arg(format!("--web.listen-address={}", Self::LISTEN));
        let process = Process::start(command, &folder.path().join("output.log"));
        let mut prometheus = Prometheus { namespace, process, _folder: folder };
        eventually("Prometheus to be ready", Duration::from_secs(30), || {
            if let Some(status) = prometheus.process.ended() {
                panic!("Prometheus ended ({status}): {}", prometheus.process.log());
            }
            let ready = curl(prometheus.namespace).get(&format!("http://{}/-/ready", Self::LISTEN));
            ready.and_then(|page| if page.status == 200 { Ok(()) } else { Err((0, page.body)) })
        });
        prometheus
    }

    /// The value of a query that has one series as its result; nothing if it has none.
    ///
    /// # Panics
    /// If Prometheus refuses the query or the result has more than one series.
    pub fn query(&self, query: &str) -> Option<f64> {
        let encoded: String = query.bytes().map(|byte| format!("%{byte:02x}")).collect();
        let url = format!("http://{}/api/v1/query?query={encoded}", Self::LISTEN);
        let page = curl(self.namespace).get(&url).expect("an answer of Prometheus");
        let answer: Value = serde_json::from_str(&page.body).expect("JSON");
        assert_eq!(answer["status"], "success", "{query}: {answer}");
        let series = answer["data"]["result"].as_array().expect("a vector");
        assert!(series.len() <= 1, "{query} has more than one series: {answer}");
        series.first()?["value"][1].as_str()?.parse().ok()
    }
}
