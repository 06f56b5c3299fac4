//! The load balancer.

use std::fs;

use anyhow::{Context as _, Result};

use super::{certificates, write};
use crate::{ask::fetch, instance::Instance, plan::Host, run::service};

const CONFIGURATION: &str = include_str!("../../templates/haproxy.cfg");
/// Its log, a line a request: source address and port, own port, status, server, time to first byte.
pub const LOG: &str = "haproxy.log";

/// Starts HAProxy.
///
/// # Errors
/// If it cannot be started.
pub fn start(instance: &Instance) -> Result<()> {
    let folder = instance.host_folder(Host::Lb);
    for (from, to) in [
        (instance.folder().join("www.pem"), folder.join("www.pem")),
        (certificates::authority(instance), folder.join("ca.pem")),
    ] {
        fs::copy(&from, &to).with_context(|| format!("cannot copy {}", from.display()))?;
    }
    let file = folder.join("haproxy.cfg");
    write(&file, CONFIGURATION, &[("FOLDER", &folder.display().to_string())])?;
    let file = file.display().to_string();
    service(instance, Host::Lb, &["haproxy", "-db", "-f", &file], LOG)
}

/// What HAProxy says of a web server: `UP` or `DOWN`, and more while it changes its mind.
///
/// # Errors
/// If it cannot be asked.
pub fn state(instance: &Instance, host: Host) -> Result<String> {
    let page = fetch(instance, Host::Lb, "http://127.0.0.1:8404/;csv", &[])?;
    // # pxname,svname,...,status,...
    let mut lines = page.lines().map(|line| line.split(',').collect::<Vec<_>>());
    let names = lines.next().unwrap_or_default();
    let at = names.iter().position(|name| *name == "status").context("no status")?;
    let server = lines.find(|words| words.get(..2) == Some(&["web", host.name()]));
    let server = server.with_context(|| format!("HAProxy knows no {}", host.name()))?;
    Ok(server.get(at).copied().unwrap_or_default().to_owned())
}
