//! Network namespaces.

use std::{
    ffi::OsStr,
    fs::{self, File},
    path::{Path, PathBuf},
    process::Command,
    sync::Once,
    thread,
};

use nix::sched::{CloneFlags, setns};

use super::{
    command::{run, try_run},
    leaks,
    tag::{MARK, Tag},
};

/// A network namespace with a name of its own. It is removed when dropped.
#[derive(Debug)]
pub struct Netns {
    tag: Tag,
}

impl Netns {
    /// A new namespace whose loopback is up and whose IPv6 addresses are usable at once.
    ///
    /// # Panics
    /// Without root.
    pub fn new() -> Self {
        static SWEEP: Once = Once::new();
        assert!(
            nix::unistd::geteuid().is_root(),
            "this test makes network namespaces and loads kernel programs: it needs root"
        );
        SWEEP.call_once(leaks::sweep);
        let namespace = Netns { tag: Tag::unique() };
        run("ip", &["netns", "add", &namespace.name()]);
        namespace.ip("link set lo up");
        // Else an address is tentative for a second, and nobody answers from it.
        for interfaces in ["all", "default"] {
            namespace.sysctl(&format!("net/ipv6/conf/{interfaces}/accept_dad"), "0");
        }
        namespace
    }

    /// Its name, as `ip netns` shows it.
    pub fn name(&self) -> String {
        self.tag.netns()
    }

    /// Its file, for `nsenter --net=`.
    pub fn path(&self) -> PathBuf {
        Path::new("/run/netns").join(self.name())
    }

    /// A command that will run inside. `ip netns exec` would mount a new `/sys` and hide the BPF file system.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net={}", self.path().display())).arg("--").arg(program);
        command.env(MARK, self.tag.to_string());
        command
    }

    /// Runs `ip ARGUMENTS` inside, the arguments split at white space, and returns what it printed.
    ///
    /// # Panics
    /// If it fails.
    pub fn ip(&self, arguments: &str) -> String {
        let mut command = self.command("ip");
        let output = try_run(command.args(arguments.split_whitespace()));
        assert_eq!(output.code, Some(0), "ip {arguments} in {}: {}", self.name(), output.text());
        output.stdout
    }

    /// Writes a setting below `/proc/sys`.
    ///
    /// # Panics
    /// If there is no such setting or it does not take the value.
    pub fn sysctl(&self, key: &str, value: &str) {
        let path = Path::new("/proc/sys").join(key);
        self.enter(|| {
            fs::write(&path, value).unwrap_or_else(|error| {
                panic!("cannot write {value} to {}: {error}", path.display())
            });
        });
    }

    /// Runs `work` on a thread of its own that is inside the namespace.
    ///
    /// # Panics
    /// With what `work` panics with.
    pub fn enter<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        let outcome = thread::scope(|scope| {
            let inside = scope.spawn(|| {
                let file = File::open(self.path()).expect("the namespace's file");
                setns(file, CloneFlags::CLONE_NEWNET).expect("setns");
                work()
            });
            inside.join()
        });
        outcome.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}

impl Default for Netns {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Netns {
    fn drop(&mut self) {
        // No panic here: the test may be unwinding already. The leak check tells if this failed.
        let _ = Command::new("ip").args(["netns", "delete", &self.name()]).output();
    }
}
