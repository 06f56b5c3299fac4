//! The database.

use std::{fs, path::PathBuf};

use anyhow::{Context as _, Result};

use super::{PATIENCE, folder_for, give, write};
use crate::{
    instance::Instance,
    plan::Host,
    run::{eventually, on, output, service},
};

const CONFIGURATION: &str = include_str!("../../templates/my.cnf");
const SEED: &str = include_str!("../../templates/seed.sql");

/// Makes an empty database and everything that it starts with.
///
/// # Errors
/// What MariaDB said.
pub fn prepare(instance: &Instance, password: &str) -> Result<()> {
    let folder = folder(instance);
    folder_for(&folder, "mysql")?;
    folder_for(&folder.join("data"), "mysql")?;
    for name in ["db.crt", "db.key"] {
        let to = folder.join(name);
        fs::copy(instance.folder().join(name), &to)
            .with_context(|| format!("cannot copy {name}"))?;
        give(&to, "mysql")?;
    }
    let path = folder.display().to_string();
    write(&folder.join("my.cnf"), CONFIGURATION, &[("FOLDER", &path)])?;
    write(&folder.join("seed.sql"), SEED, &[("PASSWORD", password)])?;
    give(&folder.join("seed.sql"), "mysql")?;
    let mut install = on(instance, Host::Db, "mariadb-install-db");
    install.arg(format!("--defaults-file={}", folder.join("my.cnf").display()));
    install.args(["--user=mysql", "--skip-test-db", "--skip-name-resolve"]);
    install.arg("--auth-root-authentication-method=socket");
    output(&mut install).map(drop).context("cannot make a database")
}

/// Starts MariaDB.
///
/// # Errors
/// If it cannot be started.
pub fn start(instance: &Instance) -> Result<()> {
    let file = folder(instance).join("my.cnf");
    let defaults = format!("--defaults-file={}", file.display());
    service(instance, Host::Db, &["mariadbd", &defaults], "mariadb.log")
}

/// Waits until it answers.
///
/// # Errors
/// If it does not.
pub fn wait(instance: &Instance) -> Result<()> {
    eventually("MariaDB to answer", PATIENCE, || {
        ask(instance, "SELECT text FROM site.greeting").map(drop)
    })
}

/// Asks the database, as its administrator on the server itself; a line a row.
///
/// # Errors
/// What it said.
pub fn ask(instance: &Instance, query: &str) -> Result<String> {
    let mut client = on(instance, Host::Db, "mariadb");
    client.arg("--no-defaults");
    client.arg(format!("--socket={}", folder(instance).join("mysql.sock").display()));
    output(client.args(["--skip-column-names", "--execute", query]))
}

/// Its own, apart from that of foobar, which is for root alone.
fn folder(instance: &Instance) -> PathBuf {
    instance.host_folder(Host::Db).join("mariadb")
}
