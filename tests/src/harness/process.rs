//! Long-running programs of a test.

use std::{
    fs::{self, File},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, killpg},
    unistd::Pid,
};

use super::tag::{MARK, Tag};

/// How long a program may take to stop when asked to.
const PATIENCE: Duration = Duration::from_secs(5);

/// A program that runs in the background. It is ended, with all that it started, when dropped.
#[derive(Debug)]
pub struct Process {
    child: Child,
    log: PathBuf,
    // Last: the name is in use until the process is gone.
    _tag: Tag,
}

impl Process {
    /// Starts the command; both its streams are appended to the file `log`.
    ///
    /// # Panics
    /// If it cannot be started.
    pub fn start(mut command: Command, log: &Path) -> Self {
        let tag = Tag::unique();
        let file = File::options().create(true).append(true).open(log).expect("a log file");
        command
            .env(MARK, tag.to_string())
            .stdin(Stdio::null())
            .stdout(file.try_clone().expect("a second handle of the log"))
            .stderr(file)
            // A group of its own, so that it can be ended with its workers.
            .process_group(0);
        let child =
            command.spawn().unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
        Process { child, log: log.to_owned(), _tag: tag }
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it wrote so far.
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// How it ended, if it did.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("the state of a child")
    }

    /// Sends a signal to it and all that it started.
    pub fn signal(&self, signal: Signal) {
        let group = Pid::from_raw(self.child.id().try_into().expect("a process id"));
        // Nobody is there any more: all the better.
        let _ = killpg(group, signal);
    }

    /// Waits until it ends by itself.
    ///
    /// # Panics
    /// If it does not within `limit`.
    pub fn wait(&mut self, limit: Duration) -> ExitStatus {
        self.ended_within(limit).unwrap_or_else(|| {
            panic!("it should have ended within {limit:?}; it wrote:\n{}", self.log())
        })
    }

    /// Kills it as the kernel would, without notice.
    pub fn kill(&mut self) {
        self.signal(Signal::SIGKILL);
        let _ = self.child.wait();
    }

    /// Asks it to stop, waits, and kills it if it does not. Returns how it ended.
    pub fn stop(&mut self) -> Option<ExitStatus> {
        if self.ended().is_none() {
            self.signal(Signal::SIGTERM);
        }
        let status = self.ended_within(PATIENCE);
        self.kill();
        status
    }

    fn ended_within(&mut self, limit: Duration) -> Option<ExitStatus> {
        let deadline = Instant::now() + limit;
        loop {
            match self.ended() {
                None if Instant::now() < deadline => thread::sleep(Duration::from_millis(5)),
                status => return status,
            }
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.stop();
        if thread::panicking() {
            eprintln!("--- {} ---\n{}", self.log.display(), self.log());
        }
    }
}
