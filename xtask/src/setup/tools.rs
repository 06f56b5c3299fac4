//! Programs that tests start, and the Debian packages that bring them.

use anyhow::{Result, bail};

use super::apt;
use crate::command;

/// A program, where it comes from, and what else comes with it.
pub struct Tool {
    program: &'static str,
    package: &'static str,
    /// A service of that package, which must not run beside the tests' own.
    service: Option<&'static str>,
}

const fn tool(program: &'static str, package: &'static str) -> Tool {
    Tool { program, package, service: None }
}

/// What the tests run against.
pub const TESTS: &[Tool] = &[
    tool("curl", "curl"),
    tool("ip", "iproute2"),
    tool("nft", "nftables"),
    Tool { program: "nginx", package: "nginx", service: Some("nginx.service") },
    tool("openssl", "openssl"),
    Tool { program: "prometheus", package: "prometheus", service: Some("prometheus.service") },
    tool("promtool", "prometheus"),
    tool("python3", "python3"),
    tool("setpriv", "util-linux"),
    tool("bpftool", "bpftool"),
    tool("ping", "iputils-ping"),
];

/// What xtask/vm-run.sh needs.
pub const VIRTUAL_MACHINES: &[Tool] =
    &[tool("busybox", "busybox-static"), tool("qemu-system-x86_64", "qemu-system-x86")];

/// Installs the packages of those programs that are not here.
pub fn bring(tools: &[Tool]) -> Result<()> {
    let missing: Vec<_> =
        tools.iter().filter(|tool| command::find(tool.program).is_none()).collect();
    if missing.is_empty() {
        return Ok(());
    }
    if !apt::is_here() {
        let programs = missing.iter().map(|tool| tool.program).collect::<Vec<_>>();
        bail!(
            "these programs are missing, and without apt-get you need to install them yourself: {}",
            programs.join(", ")
        );
    }
    let mut packages = missing.iter().map(|tool| tool.package).collect::<Vec<_>>();
    packages.dedup();
    let services = missing.iter().filter_map(|tool| tool.service).collect::<Vec<_>>();
    apt::install(&packages, &services)
}
