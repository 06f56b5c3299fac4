//! The daemon under test.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use tempfile::TempDir;

use super::{
    Control, Netns, Output, Process, Scrape, eventually, fetch, foobar_binary, leaks::unpin,
    tag::Tag, try_run,
};

/// `foobar` in a namespace, with folders of its own for control socket, state and pins. Dropping it stops the daemon, detaches
/// the programs and removes the folders.
#[derive(Debug)]
pub struct Daemon<'a> {
    namespace: &'a Netns,
    binary: PathBuf,
    folder: TempDir,
    process: Option<Process>,
    // Last: the folder for pins is in use until it is removed.
    tag: Tag,
}

impl<'a> Daemon<'a> {
    /// Where the metrics are, inside the namespace.
    pub const METRICS: &'static str = "127.0.0.1:9898";
    /// A configuration for tests of what surrounds the filter: one list may reach the web server, nobody else.
    pub const FRIENDS_TO_WEB: &'static str = r#"
interfaces = ["eth0"]
[metrics]
listen = "127.0.0.1:9898"
[allowlists.friends]
entries = ["192.0.2.10"]
[[rules]]
name = "web"
ports = [80]
from = ["friends"]
"#;

    /// One for tests of what is observed: a web server for everybody.
    pub const WEB_FOR_ALL: &'static str = r#"
interfaces = ["eth0"]
[metrics]
listen = "127.0.0.1:9898"
[[rules]]
name = "web"
ports = [80, 443]
from = "any"
"#;

    /// Prepares folders and writes the configuration, but starts nothing.
    pub fn prepare(namespace: &'a Netns, configuration: &str) -> Self {
        let folder = tempfile::Builder::new().prefix("foobar-test-").tempdir().expect("a folder");
        let daemon = Daemon {
            namespace,
            binary: foobar_binary(),
            folder,
            process: None,
            tag: Tag::unique(),
        };
        daemon.configure(configuration);
        daemon
    }

    /// Starts the daemon with this configuration and waits until it answers.
    ///
    /// # Panics
    /// If it does not start, with what it said.
    pub fn start(namespace: &'a Netns, configuration: &str) -> Self {
        let mut daemon = Self::prepare(namespace, configuration);
        daemon.launch();
        daemon
    }

    /// Writes the configuration file anew.
    pub fn configure(&self, configuration: &str) {
        fs::write(self.configuration(), configuration).expect("the configuration file");
    }

    /// The configuration file.
    pub fn configuration(&self) -> PathBuf {
        self.folder.path().join("foobar.toml")
    }

    /// The folder of the test, for further files.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The folder of pins.
    pub fn bpf_dir(&self) -> PathBuf {
        self.tag.bpf_dir()
    }

    /// The folder of the state file.
    pub fn state_dir(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    /// The folder of the control socket.
    pub fn runtime_dir(&self) -> PathBuf {
        self.folder.path().join("run")
    }

    /// From now on the daemon and its commands are those of this binary.
    pub fn use_binary(&mut self, binary: &Path) {
        binary.clone_into(&mut self.binary);
    }

    /// Starts the daemon (again), and does not wait until it answers.
    pub fn spawn(&mut self) -> &mut Process {
        let process = Process::start(self.run_command(), &self.folder.path().join("daemon.log"));
        self.process.insert(process)
    }

    /// The control socket.
    pub fn control(&self) -> Control {
        Control::new(self.runtime_dir().join("control.sock"))
    }

    /// Starts the daemon (again) and waits until it answers.
    ///
    /// # Panics
    /// If it does not start, with what it said.
    pub fn launch(&mut self) {
        let id = self.spawn().id();
        eventually("the daemon to answer", Duration::from_secs(20), || {
            let process = self.process.as_mut().expect("it was started");
            if let Some(status) = process.ended() {
                panic!("the daemon {id} ended ({status}):\n{}", process.log());
            }
            if !self.runtime_dir().join("control.sock").exists() {
                // Processes that ask in vain would only take the daemon's time.
                return Err(None);
            }
            let status = self.foobar(&["status"]);
            if status.code == Some(0) { Ok(()) } else { Err(Some(status)) }
        });
    }

    /// Runs the daemon in the foreground although it is expected to end by itself, at most for 20 seconds.
    pub fn run_to_end(&self) -> Output {
        let mut command = Command::new("timeout");
        let inner = self.run_command();
        command.args(["--kill-after=1", "20"]).arg(inner.get_program()).args(inner.get_args());
        try_run(&mut command)
    }

    fn run_command(&self) -> Command {
        let mut command = self.command(&["run", "--config"]);
        command.arg(self.configuration());
        command
    }

    /// A `foobar` command with the folders of this instance.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.namespace.command(&self.binary);
        command.args(["--runtime-dir", &self.runtime_dir().display().to_string()]);
        command.args(["--state-dir", &self.state_dir().display().to_string()]);
        command.args(["--bpf-dir", &self.bpf_dir().display().to_string()]);
        command.args(arguments);
        command
    }

    /// Runs a `foobar` command to its end.
    pub fn foobar(&self, arguments: &[&str]) -> Output {
        try_run(&mut self.command(arguments))
    }

    /// Runs a `foobar` command that has to succeed, and returns what it printed.
    ///
    /// # Panics
    /// If it fails.
    pub fn ok(&self, arguments: &[&str]) -> String {
        let output = self.foobar(arguments);
        assert_eq!(output.code, Some(0), "foobar {arguments:?} failed:\n{}", output.text());
        output.stdout
    }

    /// The page `/metrics`.
    ///
    /// # Panics
    /// If it cannot be fetched.
    pub fn scrape(&self) -> Scrape {
        let page = fetch(self.namespace, Self::METRICS, "/metrics").expect("the page /metrics");
        assert_eq!(page.status, 200, "{}", page.body);
        Scrape::parse(&page.body)
    }

    /// The process of the daemon.
    ///
    /// # Panics
    /// If it is not running.
    pub fn process(&mut self) -> &mut Process {
        self.process.as_mut().expect("the daemon was started")
    }

    /// What the daemon wrote so far.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("daemon.log")).unwrap_or_default()
    }
}

impl Drop for Daemon<'_> {
    fn drop(&mut self) {
        drop(self.process.take());
        // The product's own way out first, and then the certain one, so that nothing stays even if the product fails.
        let _ = self.command(&["detach"]).output();
        unpin(&self.bpf_dir());
    }
}
