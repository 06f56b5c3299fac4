//! Installing Debian packages without starting what they bring.

use std::{
    io,
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Result, bail};

use super::services;
use crate::command;

/// Whether packages come by apt here.
pub fn is_here() -> bool {
    command::find("apt-get").is_some()
}

/// Whether a package is installed.
pub fn is_installed(package: &str) -> bool {
    Path::new("/var/lib/dpkg/info").join(format!("{package}.list")).exists()
}

/// The version that apt would install, after a look at the archive if none is known yet; the error
/// says why there is none.
pub fn candidate(package: &str) -> Result<String, String> {
    let known = known_candidate(package).or_else(|| {
        update().ok()?;
        known_candidate(package)
    });
    known.ok_or_else(|| format!("the archive has no package {package}"))
}

/// Installs packages and removes none. `services` are units that come with them: they are not
/// started, neither now nor at boot.
pub fn install(packages: &[&str], services: &[&str]) -> Result<()> {
    let names = packages.join(" ");
    if !command::is_root() {
        bail!("packages are missing, and only root may install them: apt-get install {names}");
    }
    let unknown = packages.iter().any(|package| known_candidate(package).is_none());
    if unknown {
        update()?;
    }
    eprintln!("setup: installing {names}");
    let held = services::Held::new()?;
    if let Err(error) = command::run(&mut install_command(packages)) {
        // What apt knows of the archive may be older than the archive.
        if unknown {
            return Err(error);
        }
        update()?;
        command::run(&mut install_command(packages))?;
    }
    drop(held);
    services::disable(services)
}

fn install_command(packages: &[&str]) -> Command {
    let mut command = apt_get();
    command.args(["install", "--yes", "--no-install-recommends", "--no-remove"]).args(packages);
    command
}

/// Asks the archive what it has; does nothing without root, who alone may.
pub fn update() -> Result<()> {
    if !command::is_root() {
        return Ok(());
    }
    eprintln!("setup: apt-get update");
    command::run(apt_get().arg("update"))
}

fn apt_get() -> Command {
    let mut command = Command::new("apt-get");
    command
        .args(["-q", "-o", "Dpkg::Use-Pty=0", "-o", "DPkg::Lock::Timeout=300"])
        .env("DEBIAN_FRONTEND", "noninteractive")
        .env("PATH", command::search_path())
        .env_remove("LD_LIBRARY_PATH")
        .stdout(io::stderr()) // stdout belongs to the task that set-up serves
        .stdin(Stdio::null());
    command
}

fn known_candidate(package: &str) -> Option<String> {
    let mut policy = Command::new("apt-cache");
    let policy = command::output(policy.args(["policy", package]).env("LC_ALL", "C")).ok()?;
    let version = policy.lines().find_map(|line| line.trim().strip_prefix("Candidate: "))?;
    (version != "(none)").then(|| version.to_owned())
}
