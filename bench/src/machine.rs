//! What it ran on: without it no figure means anything.

use std::{fs, process::Command};

use serde::Serialize;

/// The machine, and what of it matters to the figures.
#[derive(Debug, Serialize)]
pub struct Machine {
    /// Kernel release and version.
    pub kernel: String,
    /// Name of the CPU.
    pub cpu: String,
    /// Number of CPUs that may be used.
    pub cpus: usize,
    /// Whether the processor reports a hypervisor.
    pub virtual_machine: bool,
    /// What guards the processor against attacks on its predictions, and makes each return from a function dearer.
    pub guards: Option<String>,
    /// Average number of running processes in the last minute, when the benchmark began: above the number of CPUs, others took
    /// part of the machine.
    pub load: f64,
    /// Versions of foobar and its peers.
    pub versions: Vec<(String, String)>,
}

impl Machine {
    /// Asks this machine.
    pub fn this() -> Self {
        let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let field = |name: &str| {
            let line = cpuinfo.lines().find(|line| line.starts_with(name));
            line.and_then(|line| line.split_once(':')).map(|(_, value)| value.trim().to_owned())
        };
        let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
        Machine {
            kernel: fs::read_to_string("/proc/sys/kernel/osrelease")
                .unwrap_or_default()
                .trim()
                .to_owned(),
            cpu: field("model name").unwrap_or_default(),
            cpus: std::thread::available_parallelism().map_or(1, usize::from),
            virtual_machine: field("flags")
                .is_some_and(|flags| flags.split(' ').any(|flag| flag == "hypervisor")),
            guards: guards(),
            load: load.split(' ').next().and_then(|load| load.parse().ok()).unwrap_or(0.0),
            versions: versions(),
        }
    }
}

/// Mitigations that cost time at each call, return or indirect branch.
fn guards() -> Option<String> {
    const FOLDER: &str = "/sys/devices/system/cpu/vulnerabilities";
    const KINDS: [&str; 4] =
        ["spectre_v2", "retbleed", "spec_rstack_overflow", "indirect_target_selection"];
    let guards: Vec<String> = KINDS
        .iter()
        .filter_map(|kind| {
            let text = fs::read_to_string(format!("{FOLDER}/{kind}")).ok()?;
            let guard = text.trim().strip_prefix("Mitigation: ")?;
            Some(format!("{kind} ({})", guard.split(';').next().unwrap_or(guard)))
        })
        .collect();
    (!guards.is_empty()).then(|| guards.join(", "))
}

/// Versions of what is compared, as Debian's package database has them.
fn versions() -> Vec<(String, String)> {
    const PACKAGES: [&str; 6] = ["xdp-tools", "nftables", "iptables", "ipset", "nginx", "wrk"];
    let mut versions = vec![("foobar".to_owned(), env!("CARGO_PKG_VERSION").to_owned())];
    versions.extend(PACKAGES.iter().map(|package| {
        let query = Command::new("dpkg-query")
            .args(["--show", "--showformat=${Version}", package])
            .output();
        let version = query.ok().filter(|output| output.status.success());
        let version = version.map_or("not installed".into(), |output| {
            String::from_utf8_lossy(&output.stdout).into_owned()
        });
        ((*package).to_owned(), version)
    }));
    versions
}
