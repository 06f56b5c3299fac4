//! The state of the machine: processor, memory, disk, network.
//!
//! Hosts of the demonstration share one machine, so all but the network is the same on each.

use anyhow::Result;

use crate::{instance::Instance, plan::Host, run::service};

/// What it tells of; a demonstration on one machine has no need for the rest.
const COLLECTORS: [&str; 8] =
    ["cpu", "diskstats", "filesystem", "loadavg", "meminfo", "netdev", "netstat", "sockstat"];

/// Starts it on a server.
///
/// # Errors
/// If it cannot be started.
pub fn start(instance: &Instance, host: Host) -> Result<()> {
    let mut words = vec!["--web.listen-address=:9100".to_owned()];
    words.push("--collector.disable-defaults".to_owned());
    words.extend(COLLECTORS.iter().map(|name| format!("--collector.{name}")));
    let mut arguments = vec!["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"];
    arguments.extend(["--", "prometheus-node-exporter"]);
    arguments.extend(words.iter().map(String::as_str));
    service(instance, host, &arguments, "node-exporter.log")
}
