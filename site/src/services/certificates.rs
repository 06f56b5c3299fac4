//! A certificate authority that is made on the spot, and what it signs. Its key does not outlive the site.

use std::{fs, path::PathBuf, process::Command};

use anyhow::{Context as _, Result};

use crate::{
    instance::Instance,
    plan::{DATABASE_NAME, Host, NAME, WEB_NAME},
    run::output,
};

/// How long certificates are valid, in days.
const DAYS: &str = "30";
/// How long the one is valid that somebody should have renewed, in days.
const LAST_DAYS: &str = "7";

/// The certificate of the authority, which clients trust.
pub fn authority(instance: &Instance) -> PathBuf {
    instance.folder().join("ca.pem")
}

/// Makes the authority and a certificate for each server that speaks TLS.
///
/// # Errors
/// What openssl said.
pub fn make(instance: &Instance) -> Result<()> {
    let folder = instance.folder();
    let path = |name: &str| folder.join(name).display().to_string();
    let mut root = openssl(&["req", "-x509", "-subj", "/CN=CA of the demonstration"]);
    root.args(["-keyout", &path("ca.key"), "-out", &path("ca.pem"), "-days", DAYS]);
    output(root.args(NEW_KEY)).context("cannot make a certificate authority")?;
    sign(instance, "www", &format!("DNS:{NAME}"), DAYS)?;
    sign(instance, "web", &format!("DNS:{WEB_NAME}"), DAYS)?;
    sign(instance, "web-expiring", &format!("DNS:{WEB_NAME}"), LAST_DAYS)?;
    sign(instance, "db", &format!("DNS:{DATABASE_NAME},IP:{}", Host::Db.ipv4()), DAYS)?;
    fs::remove_file(folder.join("ca.key")).context("cannot remove the authority's key")
}

const NEW_KEY: [&str; 5] = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];

/// Makes `NAME.key`, `NAME.crt` and both in one file, `NAME.pem`.
fn sign(instance: &Instance, name: &str, names: &str, days: &str) -> Result<()> {
    let folder = instance.folder();
    let path = |name: &str, kind: &str| folder.join(format!("{name}.{kind}")).display().to_string();
    let mut request = openssl(&["req", "-x509", "-subj", &format!("/CN={name}"), "-days", days]);
    request.args(NEW_KEY).args(["-addext", &format!("subjectAltName={names}")]);
    request.args(["-addext", "basicConstraints=critical,CA:FALSE"]);
    request.args(["-CA", &path("ca", "pem"), "-CAkey", &path("ca", "key")]);
    request.args(["-keyout", &path(name, "key"), "-out", &path(name, "crt")]);
    output(&mut request).with_context(|| format!("cannot make the certificate {name}"))?;
    let read = |kind| fs::read_to_string(path(name, kind)).context("a file of openssl");
    let both = read("crt")? + &read("key")?;
    fs::write(path(name, "pem"), both).context("cannot write a certificate")
}

fn openssl(arguments: &[&str]) -> Command {
    let mut command = Command::new("openssl");
    command.args(arguments);
    command
}
