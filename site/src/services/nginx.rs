//! A web server: nginx, and PHP behind it.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use super::{PATIENCE, certificates, give, write};
use crate::{
    instance::Instance,
    plan::Host,
    run::{eventually, service},
};

const CONFIGURATION: &str = include_str!("../../templates/nginx.conf");
const PHP: &str = include_str!("../../templates/php-fpm.conf");
const PAGE: &str = include_str!("../../templates/index.php");
/// Its log, a line a request: own port, status, connection, seconds.
pub const LOG: &str = "access.log";
/// The certificate that nginx reads, in the folder of its host.
const SERVED: &str = "web.pem";

/// Starts PHP and nginx on a web server.
///
/// # Errors
/// If one cannot be started.
pub fn start(instance: &Instance, host: Host, password: &str) -> Result<()> {
    let folder = instance.host_folder(host);
    copy(&Certificate::Renewed.file(instance), &folder.join(SERVED))?;
    copy(&certificates::authority(instance), &folder.join("ca.pem"))?;
    let values = [
        ("FOLDER", folder.display().to_string()),
        ("HOST", host.name().to_owned()),
        ("DATABASE", Host::Db.ipv4().to_string()),
    ];
    let values: Vec<_> = values.iter().map(|(word, value)| (*word, value.as_str())).collect();
    write(&folder.join("nginx.conf"), CONFIGURATION, &values)?;
    write(&folder.join("php-fpm.conf"), PHP, &values)?;
    write(&folder.join("index.php"), PAGE, &values)?;
    let secret = folder.join("database.ini");
    write(&secret, &format!("password = \"{password}\"\n"), &[])?;
    give(&secret, "www-data")?;

    let file = |name: &str| folder.join(name).display().to_string();
    let php = php()?.display().to_string();
    service(instance, host, &[&php, "-F", "-y", &file("php-fpm.conf")], "php-output.log")?;
    let socket = folder.join("php.sock");
    eventually("PHP to listen", PATIENCE, || {
        if socket.exists() { Ok(()) } else { bail!("{} is not there", socket.display()) }
    })?;
    let errors = file("nginx-error.log");
    let arguments = ["nginx", "-p", &file(""), "-c", &file("nginx.conf"), "-e", &errors];
    service(instance, host, &arguments, "nginx-output.log")
}

/// Certificates that a web server may serve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Certificate {
    /// The one that it begins with.
    Renewed,
    /// One that ends within a week, as if nobody had renewed it.
    Expiring,
}

impl Certificate {
    fn file(self, instance: &Instance) -> PathBuf {
        instance.folder().join(match self {
            Certificate::Renewed => "web.pem",
            Certificate::Expiring => "web-expiring.pem",
        })
    }
}

/// Has a web server serve another certificate; its connections stay.
///
/// # Errors
/// If nginx does not run.
pub fn serve(instance: &Instance, host: Host, certificate: Certificate) -> Result<()> {
    let folder = instance.host_folder(host);
    copy(&certificate.file(instance), &folder.join(SERVED))?;
    let id = fs::read_to_string(folder.join("nginx.pid")).context("nginx does not run")?;
    let id = id.trim().parse().context("no process id in nginx.pid")?;
    kill(Pid::from_raw(id), Signal::SIGHUP).context("nginx cannot be told to read its files again")
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::copy(from, to).map(drop).with_context(|| format!("cannot copy {}", from.display()))
}

/// Debian's PHP has its version in its name.
fn php() -> Result<PathBuf> {
    let programs = fs::read_dir("/usr/sbin").context("cannot read /usr/sbin")?.flatten();
    let mut found: Vec<_> = programs
        .map(|entry| entry.path())
        .filter(|path| {
            path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("php-fpm"))
        })
        .collect();
    found.sort();
    found.pop().context("there is no /usr/sbin/php-fpm*: install the package php-fpm")
}
