//! Keeping the services of newly installed packages from running.

use std::{
    fs, io,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::{self, Command},
};

use anyhow::{Context as _, Result};

use crate::command;

/// The script that Debian's packages ask whether they may start a service: exit status 101 is no.
const POLICY: &str = "/usr/sbin/policy-rc.d";
/// By this our own script is known again.
const MARK: &str = "# Placed by the set-up of foobar";

/// While this lives, installing a package starts no service.
pub struct Held {
    ours: bool,
}

impl Held {
    /// Places the script. One that the administrator has placed decides instead of ours.
    pub fn new() -> Result<Self> {
        let path = Path::new(POLICY);
        if path.exists() && !is_ours(path) {
            return Ok(Self { ours: false });
        }
        // If we are killed before we can remove it, it says yes again by itself.
        let script = format!(
            "#!/bin/sh\n{MARK}; harmless, and may be removed.\n\
             if kill -0 {} 2>/dev/null; then exit 101; fi\n",
            process::id()
        );
        fs::write(path, script)
            .and_then(|()| fs::set_permissions(path, fs::Permissions::from_mode(0o755)))
            .with_context(|| {
                format!("cannot write {POLICY}, which keeps services from starting")
            })?;
        Ok(Self { ours: true })
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if self.ours
            && let Err(error) = fs::remove_file(POLICY)
        {
            eprintln!("setup: cannot remove {POLICY}: {error}");
        }
    }
}

/// Stops services and keeps them from starting at boot.
pub fn disable(services: &[&str]) -> Result<()> {
    // Without systemd no boot starts them either: Debian's containers and chroots.
    if services.is_empty() || command::find("systemctl").is_none() {
        return Ok(());
    }
    let running = Path::new("/run/systemd/system").is_dir();
    let mut systemctl = Command::new("systemctl");
    let services = services.iter().flat_map(|service| units(service));
    systemctl.args(["--quiet", "disable"]).args(running.then_some("--now")).args(services);
    command::run(systemctl.stdout(io::stderr())).context("the tests start servers of their own")
}

/// The unit of this name; where a star stands for a version, those that are installed.
fn units(service: &str) -> Vec<String> {
    let Some((start, end)) = service.split_once('*') else { return vec![service.to_owned()] };
    let installed = fs::read_dir("/lib/systemd/system").into_iter().flatten().flatten();
    let names = installed.filter_map(|entry| entry.file_name().into_string().ok());
    names.filter(|name| name.starts_with(start) && name.ends_with(end)).collect()
}

fn is_ours(policy: &Path) -> bool {
    fs::read_to_string(policy).is_ok_and(|script| script.contains(MARK))
}
