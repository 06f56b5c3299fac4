//! The memory of the site: Prometheus.

use std::fs;

use anyhow::{Context as _, Result};

use super::{folder_for, write};
use crate::{
    instance::Instance,
    plan::{Host, NAME},
    run::{as_user, service},
    tempo::Tempo,
};

const CONFIGURATION: &str = include_str!("../../templates/prometheus.yml");
/// The rules as they are for real, by file name.
pub const RULES: [(&str, &str); 2] = [
    ("recording.yml", include_str!("../../../deploy/prometheus/recording.yml")),
    ("alerts.yml", include_str!("../../../deploy/prometheus/alerts.yml")),
];
/// The port of foobar's metrics.
pub const FOOBAR_PORT: u16 = 9898;
/// The port of node_exporter.
pub const NODE_PORT: u16 = 9100;

/// Starts Prometheus with the rules of `deploy/prometheus` in this tempo.
///
/// # Errors
/// If it cannot be started.
pub fn start(instance: &Instance, tempo: Tempo) -> Result<()> {
    let folder = instance.host_folder(Host::Monitor).join("prometheus");
    let rules = folder.join("rules");
    for path in [&folder, &rules, &folder.join("data")] {
        folder_for(path, "prometheus")?;
    }
    for (name, text) in RULES {
        fs::write(rules.join(name), tempo.apply(text)).context("cannot write rules")?;
    }
    let path = folder.display().to_string();
    let (foobar, node) = (targets(FOOBAR_PORT), targets(NODE_PORT));
    let file = folder.join("prometheus.yml");
    write(&file, CONFIGURATION, &[("FOLDER", &path), ("FOOBAR", &foobar), ("NODE", &node)])?;
    let words = [
        format!("--config.file={}", file.display()),
        format!("--storage.tsdb.path={path}/data"),
        "--storage.tsdb.retention.time=6h".to_owned(),
        "--web.listen-address=:9090".to_owned(),
    ];
    let mut arguments = vec!["prometheus"];
    arguments.extend(words.iter().map(String::as_str));
    service(instance, Host::Monitor, &as_user("prometheus", &arguments), "prometheus.log")
}

/// The servers as targets on this port, each with its name, role and site.
fn targets(port: u16) -> String {
    let target = |host: Host| {
        let role = host.role()?;
        // The monitor's own are fetched without the network.
        let address =
            if host == Host::Monitor { "127.0.0.1".to_owned() } else { host.ipv4().to_string() };
        Some(format!(
            "      - targets: [\"{address}:{port}\"]\n        labels: {{ instance: {}, role: {role}, site: {NAME} }}",
            host.name()
        ))
    };
    Host::SERVERS.into_iter().filter_map(target).collect::<Vec<_>>().join("\n")
}
