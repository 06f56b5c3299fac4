//! What tells the administrators: Alertmanager.

use anyhow::Result;

use super::{folder_for, write};
use crate::{
    instance::Instance,
    plan::Host,
    run::{as_user, service},
};

const CONFIGURATION: &str = include_str!("../../templates/alertmanager.yml");

/// Starts Alertmanager.
///
/// # Errors
/// If it cannot be started.
pub fn start(instance: &Instance) -> Result<()> {
    let folder = instance.host_folder(Host::Monitor).join("alertmanager");
    folder_for(&folder, "prometheus")?;
    let file = folder.join("alertmanager.yml");
    write(&file, CONFIGURATION, &[])?;
    let words = [
        format!("--config.file={}", file.display()),
        format!("--storage.path={}", folder.join("data").display()),
        "--web.listen-address=:9093".to_owned(),
        // One of its kind: no cluster.
        "--cluster.listen-address=".to_owned(),
    ];
    let mut arguments = vec!["prometheus-alertmanager"];
    arguments.extend(words.iter().map(String::as_str));
    service(instance, Host::Monitor, &as_user("prometheus", &arguments), "alertmanager.log")
}
