//! The load balancer.

use std::fs;

use anyhow::{Context as _, Result};

use super::{certificates, write};
use crate::{instance::Instance, plan::Host, run::service};

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
