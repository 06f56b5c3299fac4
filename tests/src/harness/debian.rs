//! A Debian of its own for a test: a root folder with the essential packages, in mount and network namespaces of its own.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use tempfile::TempDir;

use super::{Netns, Output, Process, eventually, foobar_binary, pins::link_ids_by, run, try_run};

/// The release that packages are tried on: the oldest that they are made for.
const RELEASE: &str = "bookworm";

/// Shows who holds the mount namespace; it ends with the test.
const HOLD: &str = "
set -e
mount --make-rprivate /
mount --bind \"$1\" \"$1\"
mount -t proc proc \"$1/proc\"
mount --bind /sys \"$1/sys\"
mount -t bpf bpf \"$1/sys/fs/bpf\"
echo mounted
exec sleep infinity
";

/// A Debian with nothing but what every Debian has. Its `/proc`, `/sys` and BPF file system are mounted where nobody else sees
/// them, and are gone with it.
#[derive(Debug)]
pub struct Debian {
    holder: Process,
    folder: TempDir,
}

impl Debian {
    /// Unpacks it; the first one on a machine is fetched from Debian's archive, which takes a minute.
    ///
    /// # Panics
    /// If it cannot be had.
    pub fn new(namespace: &Netns) -> Self {
        let folder = tempfile::Builder::new().prefix("foobar-debian-").tempdir().expect("a folder");
        let root = folder.path().join("root");
        fs::create_dir(&root).expect("a folder");
        let tar = archive();
        run("tar", &["-xf", &tar.display().to_string(), "-C", &root.display().to_string()]);
        let mut command = namespace.command("unshare");
        command.args(["--mount", "--", "sh", "-c", HOLD, "sh"]).arg(&root);
        let mut holder = Process::start(command, &folder.path().join("holder.log"));
        eventually("the mounts", Duration::from_secs(20), || {
            let log = holder.log();
            assert!(holder.ended().is_none(), "cannot mount: {log}");
            if log.contains("mounted") { Ok(()) } else { Err(log) }
        });
        Debian { holder, folder }
    }

    /// Its root, as this machine sees it.
    pub fn root(&self) -> PathBuf {
        self.folder.path().join("root")
    }

    /// A command that sees this Debian only.
    pub fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--target={}", self.holder.id())).args(["--mount", "--net", "--"]);
        command.arg("chroot").arg(self.root()).args(words);
        command
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("DEBIAN_FRONTEND", "noninteractive");
        command
    }

    /// Runs a command inside to its end.
    pub fn run(&self, words: &[&str]) -> Output {
        try_run(&mut self.command(words))
    }

    /// Runs a command that has to succeed, and returns what it printed.
    ///
    /// # Panics
    /// If it fails.
    pub fn ok(&self, words: &[&str]) -> String {
        let output = self.run(words);
        assert_eq!(output.code, Some(0), "{words:?} failed:\n{}", output.text());
        output.stdout
    }

    /// Starts a program inside that runs on.
    pub fn start(&self, words: &[&str]) -> Process {
        Process::start(self.command(words), &self.folder.path().join("program.log"))
    }

    /// All files and folders, without those of the package manager and the log.
    pub fn files(&self) -> Vec<String> {
        let mut find = Command::new("find");
        find.arg(self.root()).args(["-xdev", "-printf", "%P %M\n"]);
        let found = try_run(&mut find).stdout;
        let of_the_system = ["var/lib/dpkg", "var/log", "var/cache", "var/lib/systemd"];
        let mut files: Vec<_> = found
            .lines()
            .filter(|file| !of_the_system.iter().any(|folder| file.starts_with(folder)))
            .map(str::to_owned)
            .collect();
        files.sort_unstable();
        files
    }

    /// The links that foobar has pinned in its BPF file system.
    pub fn link_ids(&self) -> BTreeMap<String, u64> {
        link_ids_by(&self.root().join("sys/fs/bpf/foobar"), |words| {
            let mut command = Command::new("nsenter");
            command.arg(format!("--target={}", self.holder.id())).args(["--mount", "--net", "--"]);
            let output = try_run(command.args(words));
            assert_eq!(output.code, Some(0), "{words:?}: {}", output.text());
            output.stdout
        })
    }

    /// What is pinned in its BPF file system, without the kernel's own files there (`maps.debug`, `progs.debug`).
    pub fn pins(&self) -> Vec<String> {
        let found = self.ok(&["find", "/sys/fs/bpf", "-mindepth", "1"]);
        found.lines().filter(|path| !path.ends_with(".debug")).map(str::to_owned).collect()
    }
}

/// The archive of the essential packages, beside what else set-up has brought.
fn archive() -> PathBuf {
    let binary = foobar_binary();
    let target = binary.parent().and_then(Path::parent).expect("target/PROFILE/foobar");
    let folder = target.join("xtask");
    fs::create_dir_all(&folder).expect("the scratch folder");
    let path = folder.join(format!("{RELEASE}.tar"));
    let lock = File::create(folder.join(format!("{RELEASE}.lock"))).expect("a lock");
    lock.lock().expect("to wait for another test");
    if !path.exists() {
        let new = folder.join(format!("{RELEASE}-new.tar"));
        run("mmdebstrap", &["--quiet", "--variant=essential", RELEASE, &new.display().to_string()]);
        fs::rename(&new, &path).expect("the archive in its place");
    }
    path
}
