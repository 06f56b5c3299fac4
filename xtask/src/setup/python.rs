//! Python packages that the tests need and Debian does not have, in a folder of their own: `target/test-python`.

use std::process::Command;

use anyhow::{Context as _, Result};

use crate::{command, workspace};

/// QUIC on both sides. Its dependencies come along.
const PACKAGES: &[&str] = &["aioquic==1.7.2"];
/// The folder that is there once all of them are.
const LAST: &str = "aioquic";

/// Installs them if they are not there.
pub fn bring() -> Result<()> {
    let folder = workspace::root().join("target/test-python");
    if folder.join(LAST).is_dir() {
        return Ok(());
    }
    eprintln!("setup: installing {} for Python into {}", PACKAGES.join(" "), folder.display());
    let mut pip = Command::new("python3");
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--target"])
        .arg(&folder)
        .args(PACKAGES)
        .env("PIP_ROOT_USER_ACTION", "ignore")
        .env("PATH", command::search_path())
        .env_remove("LD_LIBRARY_PATH");
    command::run(&mut pip).context("the tests of QUIC need the Python package aioquic")
}
