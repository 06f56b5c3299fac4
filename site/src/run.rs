//! Running programs inside of namespaces: to their end, or as services that outlive this process.

use std::{
    env,
    ffi::OsStr,
    fs::{self, File},
    path::Path,
    process::{Command, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use nix::{
    sched::{CloneFlags, setns},
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::{
    instance::{Instance, namespace_file},
    plan::Host,
};

/// A command in a namespace. `ip netns exec` would mount a new `/sys` and hide the BPF file system.
pub fn inside(namespace: &str, program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new("nsenter");
    command.arg(format!("--net={}", namespace_file(namespace).display()));
    command.arg("--").arg(program);
    // Debian keeps servers where `su` does not look.
    let mut path = env::var_os("PATH").unwrap_or_default();
    path.push(":/usr/local/sbin:/usr/sbin:/sbin");
    command.env("PATH", path).stdin(Stdio::null());
    command
}

/// A command on a host of the site.
pub fn on(instance: &Instance, host: Host, program: impl AsRef<OsStr>) -> Command {
    inside(&instance.namespace(host), program)
}

/// Runs a command to its end and returns what it printed.
///
/// # Errors
/// If it cannot be started or fails, with all that it said.
pub fn output(command: &mut Command) -> Result<String> {
    let output = finish(command)?;
    if !output.status.success() {
        bail!(
            "`{}` failed ({}):\n{}{}",
            shown(command),
            output.status,
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Runs a command to its end, whatever it returns.
///
/// # Errors
/// If it cannot be started.
pub fn finish(command: &mut Command) -> Result<Output> {
    command.output().with_context(|| format!("cannot start `{}`", shown(command)))
}

/// Starts a service: in a session of its own, its output in `log`, with no descriptor of ours. `down` finds it by its
/// namespace.
///
/// # Errors
/// If it cannot be started.
pub fn service(instance: &Instance, host: Host, arguments: &[&str], log: &str) -> Result<()> {
    let log = instance.host_folder(host).join(log);
    let file = File::options()
        .create(true)
        .append(true)
        .open(&log)
        .with_context(|| format!("cannot write {}", log.display()))?;
    let mut command = on(instance, host, "setsid");
    command.args(arguments);
    let errors = file.try_clone().context("cannot use the log twice")?;
    command.stdout(file).stderr(errors).current_dir("/");
    let mut child =
        command.spawn().with_context(|| format!("cannot start `{}`", shown(&command)))?;
    // Somebody must wait for it, or it stays a zombie while this process lives.
    thread::spawn(move || child.wait());
    Ok(())
}

/// Runs a command as another user.
pub fn as_user<'a>(user: &'a str, arguments: &[&'a str]) -> Vec<&'a str> {
    let mut words = vec!["setpriv", "--reuid", user, "--regid", user, "--init-groups", "--"];
    words.extend(arguments);
    words
}

/// Tries `condition` until it gives a value.
///
/// # Errors
/// After `limit`, with what was awaited and what the last try said.
pub fn eventually<T>(
    what: &str,
    limit: Duration,
    mut condition: impl FnMut() -> Result<T>,
) -> Result<T> {
    let deadline = Instant::now() + limit;
    loop {
        match condition() {
            Ok(value) => return Ok(value),
            Err(last) if Instant::now() >= deadline => {
                return Err(last).with_context(|| format!("waited {limit:?} in vain for {what}"));
            }
            Err(_) => thread::sleep(Duration::from_millis(50)),
        }
    }
}

/// Runs `work` on a thread of its own that is inside the namespace.
///
/// # Errors
/// If there is no such namespace, and those of `work`.
pub fn enter<T: Send>(namespace: &str, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    let file = namespace_file(namespace);
    let inside = || {
        let open = File::open(&file).with_context(|| format!("cannot open {}", file.display()))?;
        setns(open, CloneFlags::CLONE_NEWNET)
            .with_context(|| format!("cannot enter {}", file.display()))?;
        work()
    };
    thread::scope(|scope| {
        scope.spawn(inside).join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// Process ids in a namespace, with their command names.
pub fn processes(namespace: &str) -> Vec<(i32, String)> {
    let listed = Command::new("ip").args(["netns", "pids", namespace]).output();
    let listed = listed.map(|output| output.stdout).unwrap_or_default();
    String::from_utf8_lossy(&listed)
        .lines()
        .filter_map(|line| line.trim().parse::<i32>().ok())
        .filter_map(|id| {
            let name = fs::read_to_string(Path::new("/proc").join(id.to_string()).join("comm"));
            Some((id, name.ok()?.trim_end().to_owned()))
        })
        .collect()
}

/// Ends every process of these namespaces: asks first, and kills what is still there after `patience`.
///
/// # Errors
/// If one stays.
pub fn end_processes(namespaces: &[String], patience: Duration) -> Result<()> {
    let all = || namespaces.iter().flat_map(|name| processes(name)).collect::<Vec<_>>();
    let send = |signal| {
        for (id, _) in all() {
            // Gone already: all the better.
            let _ = kill(Pid::from_raw(id), signal);
        }
    };
    let gone = || {
        let left = all();
        if left.is_empty() { Ok(()) } else { bail!("still running: {left:?}") }
    };
    send(Signal::SIGTERM);
    if eventually("processes to end", patience, gone).is_ok() {
        return Ok(());
    }
    send(Signal::SIGKILL);
    eventually("killed processes to be gone", Duration::from_secs(20), gone)
}

fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}
