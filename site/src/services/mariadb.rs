//! The database.

use std::fs;

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
    let folder = instance.host_folder(Host::Db);
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
    let file = instance.host_folder(Host::Db).join("my.cnf");
    let defaults = format!("--defaults-file={}", file.display());
    service(instance, Host::Db, &["mariadbd", &defaults], "mariadb.log")
}

/// Waits until it answers.
///
/// # Errors
/// If it does not.
pub fn wait(instance: &Instance) -> Result<()> {
    let socket = instance.host_folder(Host::Db).join("mysql.sock");
    eventually("MariaDB to answer", PATIENCE, || {
        let mut ask = on(instance, Host::Db, "mariadb");
        ask.arg("--no-defaults").arg(format!("--socket={}", socket.display()));
        output(ask.args(["--execute", "SELECT text FROM site.greeting"])).map(drop)
    })
}
