//! What processes cost: CPU time and memory, as the kernel keeps them in /proc.

use std::{
    fs,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use nix::{
    sched::{CpuSet, sched_setaffinity},
    unistd::Pid,
};

/// How often the memory of a running command is looked at.
const LOOK: Duration = Duration::from_millis(2);

/// CPU time that the main thread of a process, or a kernel thread, has spent.
pub fn cpu_time(process: u32) -> Result<Duration> {
    let path = format!("/proc/{process}/schedstat");
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
    let nanoseconds = text.split(' ').next().and_then(|first| first.parse().ok());
    nanoseconds.map(Duration::from_nanos).with_context(|| format!("{path} says `{text}`"))
}

/// Children of a process.
pub fn children(process: u32) -> Result<Vec<u32>> {
    let path = format!("/proc/{process}/task/{process}/children");
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
    Ok(text.split_whitespace().filter_map(|child| child.parse().ok()).collect())
}

/// From now on this process, or thread, runs on this CPU alone.
pub fn keep_on(process: u32, cpu: usize) -> Result<()> {
    let process = Pid::from_raw(i32::try_from(process)?);
    let mut cpus = CpuSet::new();
    cpus.set(cpu)?;
    sched_setaffinity(process, &cpus)
        .with_context(|| format!("cannot keep process {process} on CPU {cpu}"))
}

/// Kernel threads whose name starts like this.
pub fn kernel_threads(name: &str) -> Vec<u32> {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    processes
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|id| {
            fs::read_to_string(format!("/proc/{id}/comm")).is_ok_and(|comm| comm.starts_with(name))
        })
        .collect()
}

/// The most memory that a process had at once since it began, or since [`forget_peak`], in bytes.
pub fn peak_memory(process: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kilobytes: u64 = line.trim().trim_end_matches(" kB").parse().ok()?;
    Some(kilobytes * 1024)
}

/// From now on, only what a process has from now on counts as its peak (proc(5), clear_refs).
pub fn forget_peak(process: u32) -> Result<()> {
    fs::write(format!("/proc/{process}/clear_refs"), "5")
        .with_context(|| format!("cannot reset the peak of process {process}"))
}

/// What running a command to its end took.
#[derive(Clone, Copy, Debug)]
pub struct Took {
    /// From its start to its end.
    pub seconds: f64,
    /// The most memory that it had, in bytes.
    pub peak: u64,
}

/// Runs a command that has to succeed.
pub fn run(command: &mut Command) -> Result<Took> {
    let begin = Instant::now();
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start {}", command.get_program().display()))?;
    let mut peak = 0;
    let status = loop {
        peak = peak_memory(child.id()).unwrap_or(0).max(peak);
        match child.try_wait()? {
            Some(status) => break status,
            None => thread::sleep(LOOK),
        }
    };
    let seconds = begin.elapsed().as_secs_f64();
    if !status.success() {
        let mut message = String::new();
        if let Some(mut stderr) = child.stderr.take() {
            let _ = std::io::Read::read_to_string(&mut stderr, &mut message);
        }
        let message: Vec<_> = message.trim().lines().take(3).collect();
        bail!("{} failed: {}", command.get_program().display(), message.join("; "));
    }
    Ok(Took { seconds, peak })
}
