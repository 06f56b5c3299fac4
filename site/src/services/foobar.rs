//! foobar on a server, in its role.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use super::PATIENCE;
use crate::{
    instance::Instance,
    plan::Host,
    run::{eventually, finish, on, output, processes, service},
};

/// The configurations of the roles, by name.
const ROLES: [(&str, &str); 4] = [
    ("load-balancer", include_str!("../../../deploy/roles/load-balancer.toml")),
    ("web", include_str!("../../../deploy/roles/web.toml")),
    ("database", include_str!("../../../deploy/roles/database.toml")),
    ("monitor", include_str!("../../../deploy/roles/monitor.toml")),
];

/// foobar on one server of a site.
#[derive(Clone, Debug)]
pub struct Foobar<'a> {
    instance: &'a Instance,
    host: Host,
    binary: &'a Path,
}

impl<'a> Foobar<'a> {
    /// The one of this server.
    pub fn new(instance: &'a Instance, host: Host, binary: &'a Path) -> Self {
        Foobar { instance, host, binary }
    }

    /// Its configuration file.
    pub fn configuration(&self) -> PathBuf {
        self.instance.host_folder(self.host).join("foobar.toml")
    }

    /// Writes the configuration of the server's role.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn prepare(&self) -> Result<()> {
        let role = self.host.role().with_context(|| format!("{} has no role", self.host.name()))?;
        let text = ROLES.iter().find(|(name, _)| *name == role).context("an unknown role")?.1;
        fs::write(self.configuration(), text).context("cannot write the configuration of foobar")
    }

    /// Starts it; [`Foobar::wait`] tells when the filter is in force.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn start(&self) -> Result<()> {
        let mut words = vec![self.binary.display().to_string()];
        words.extend(self.folders());
        words.extend(["run".to_owned(), "--config".to_owned()]);
        words.push(self.configuration().display().to_string());
        let words: Vec<_> = words.iter().map(String::as_str).collect();
        service(self.instance, self.host, &words, "foobar.log")
    }

    /// Waits until it answers.
    ///
    /// # Errors
    /// If it does not, with what it wrote.
    pub fn wait(&self) -> Result<()> {
        let log = self.instance.host_folder(self.host).join("foobar.log");
        eventually("foobar to answer", PATIENCE, || self.ask(&["status"]).map(drop)).with_context(
            || {
                let log = fs::read_to_string(&log).unwrap_or_default();
                format!("foobar on {} wrote:\n{log}", self.host.name())
            },
        )
    }

    /// Runs a `foobar` command and returns what it printed.
    ///
    /// # Errors
    /// If it fails, with what it said.
    pub fn ask(&self, arguments: &[&str]) -> Result<String> {
        output(&mut self.command(arguments))
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = on(self.instance, self.host, self.binary);
        command.args(self.folders()).args(arguments);
        command
    }

    /// Takes the filter off, whether a daemon runs or not.
    ///
    /// # Errors
    /// If `foobar detach` fails.
    pub fn detach(&self) -> Result<()> {
        let output = finish(&mut self.command(&["detach"]))?;
        if !output.status.success() {
            bail!(
                "foobar detach on {}: {}",
                self.host.name(),
                String::from_utf8_lossy(&output.stderr)
            );
        }
        Ok(())
    }

    /// The daemon's process id.
    ///
    /// # Errors
    /// If none runs.
    pub fn process(&self) -> Result<i32> {
        let found = processes(&self.instance.namespace(self.host));
        let name = self.binary.file_name().unwrap_or_default().to_string_lossy();
        // The kernel keeps 15 bytes of a command's name.
        let daemon = found.into_iter().find(|(_, comm)| *comm == name[..name.len().min(15)]);
        Ok(daemon.with_context(|| format!("no foobar runs on {}", self.host.name()))?.0)
    }

    /// Kills the daemon as the kernel would, without notice.
    ///
    /// # Errors
    /// If none runs.
    pub fn kill(&self) -> Result<()> {
        kill(Pid::from_raw(self.process()?), Signal::SIGKILL).context("cannot kill foobar")
    }

    fn folders(&self) -> Vec<String> {
        let folder = self.instance.host_folder(self.host);
        let pairs = [
            ("--runtime-dir", folder.join("run")),
            ("--state-dir", folder.join("state")),
            ("--bpf-dir", self.instance.pins(self.host)),
        ];
        pairs
            .iter()
            .flat_map(|(flag, path)| [(*flag).to_owned(), path.display().to_string()])
            .collect()
    }
}
