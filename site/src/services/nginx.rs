//! A web server: nginx, and PHP behind it.

use std::{fs, path::PathBuf, time::Duration};

use anyhow::{Context as _, Result, bail};

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

/// Starts PHP and nginx on a web server.
///
/// # Errors
/// If one cannot be started.
pub fn start(instance: &Instance, host: Host, password: &str) -> Result<()> {
    let folder = instance.host_folder(host);
    for (from, to) in [
        (instance.folder().join("web.pem"), folder.join("web.pem")),
        (certificates::authority(instance), folder.join("ca.pem")),
    ] {
        fs::copy(&from, &to).with_context(|| format!("cannot copy {}", from.display()))?;
    }
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

/// How long health checks of the load balancer take to notice a web server, and to miss it.
pub const HEALTH_CHECK: Duration = Duration::from_secs(1);

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
