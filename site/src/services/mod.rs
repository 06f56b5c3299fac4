//! The programs of the site: each file knows how one is configured, started, and when it is ready.

pub mod alertmanager;
pub mod certificates;
pub mod foobar;
pub mod haproxy;
pub mod mariadb;
pub mod nginx;
pub mod node_exporter;
pub mod prometheus;

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path, time::Duration};

use anyhow::{Context as _, Result};
use nix::unistd::{User, chown};

/// How long a service may take to start, on a machine with much else to do.
pub const PATIENCE: Duration = Duration::from_secs(90);

/// Writes a file from a template, in which `@WORD@` stands for a value.
///
/// # Errors
/// If it cannot be written.
pub fn write(path: &Path, template: &str, values: &[(&str, &str)]) -> Result<()> {
    let mut text = template.to_owned();
    for (word, value) in values {
        text = text.replace(&format!("@{word}@"), value);
    }
    fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

/// Gives a file or folder to a user, who alone may read it.
///
/// # Errors
/// If there is no such user or file.
pub fn give(path: &Path, user: &str) -> Result<()> {
    let found = User::from_name(user)?.with_context(|| format!("there is no user {user} here"))?;
    chown(path, Some(found.uid), Some(found.gid))
        .with_context(|| format!("cannot give {} to {user}", path.display()))?;
    let mode = if path.is_dir() { 0o700 } else { 0o600 };
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
        .with_context(|| format!("cannot protect {}", path.display()))
}

/// Makes a folder that a user alone may use.
///
/// # Errors
/// If it cannot be made.
pub fn folder_for(path: &Path, user: &str) -> Result<()> {
    fs::create_dir_all(path).with_context(|| format!("cannot make {}", path.display()))?;
    give(path, user)
}
