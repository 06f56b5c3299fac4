//! Programs that tests start, and the Debian packages that bring them.

use anyhow::{Result, bail};

use super::apt;
use crate::command;

/// A program, where it comes from, and what else comes with it.
pub struct Tool {
    /// Its name; a star at the end stands for a version. Empty for a package without a program.
    program: &'static str,
    package: &'static str,
    /// A service of that package, which must not run beside the tests' own; a star stands for a version.
    service: Option<&'static str>,
}

const fn tool(program: &'static str, package: &'static str) -> Tool {
    Tool { program, package, service: None }
}

const fn served(program: &'static str, package: &'static str, service: &'static str) -> Tool {
    Tool { program, package, service: Some(service) }
}

impl Tool {
    fn is_here(&self) -> bool {
        match self.program.strip_suffix('*') {
            Some(start) => command::find_by_start(start).is_some(),
            None if self.program.is_empty() => apt::is_installed(self.package),
            None => command::find(self.program).is_some(),
        }
    }

    /// What to say is missing.
    fn name(&self) -> &'static str {
        if self.program.is_empty() { self.package } else { self.program }
    }
}

/// What the tests run against.
pub const TESTS: &[Tool] = &[
    served("apache2", "apache2", "apache2.service"),
    tool("curl", "curl"),
    tool("h2load", "nghttp2-client"),
    served("haproxy", "haproxy", "haproxy.service"),
    tool("ip", "iproute2"),
    tool("nft", "nftables"),
    Tool { program: "nginx", package: "nginx", service: Some("nginx.service") },
    tool("openssl", "openssl"),
    Tool { program: "prometheus", package: "prometheus", service: Some("prometheus.service") },
    tool("promtool", "prometheus"),
    tool("pip3", "python3-pip"),
    tool("python3", "python3"),
    tool("prlimit", "util-linux"),
    tool("setpriv", "util-linux"),
    tool("strace", "strace"),
    tool("systemd-analyze", "systemd"),
    tool("bpftool", "bpftool"),
    tool("chromium", "chromium"),
    tool("wrk", "wrk"),
    tool("ping", "iputils-ping"),
    tool("mmdebstrap", "mmdebstrap"),
];

/// What the site www.foobar.com is made of, and what it is loaded and attacked with.
pub const SITE: &[Tool] = &[
    served("haproxy", "haproxy", "haproxy.service"),
    served("mariadbd", "mariadb-server", "mariadb.service"),
    served("nginx", "nginx", "nginx.service"),
    // Debian's PHP has its version in the names of program and service.
    served("php-fpm*", "php-fpm", "php*-fpm.service"),
    tool("", "php-mysql"),
    served("prometheus", "prometheus", "prometheus.service"),
    served("prometheus-alertmanager", "prometheus-alertmanager", "prometheus-alertmanager.service"),
    served(
        "prometheus-node-exporter",
        "prometheus-node-exporter",
        "prometheus-node-exporter.service",
    ),
    tool("curl", "curl"),
    tool("h2load", "nghttp2-client"),
    tool("hping3", "hping3"),
    tool("ip", "iproute2"),
    tool("nmap", "nmap"),
    tool("openssl", "openssl"),
    tool("apache2", "apache2-bin"),
    tool("promtool", "prometheus"),
];

/// What making a Debian package needs, beside cargo-deb.
pub const PACKAGE: &[Tool] =
    &[tool("dpkg-deb", "dpkg"), tool("dpkg-shlibdeps", "dpkg-dev"), tool("strip", "binutils")];

/// What the benchmark runs beside foobar, and with it.
pub const PEERS: &[Tool] = &[
    tool("xdp-filter", "xdp-tools"),
    tool("nft", "nftables"),
    tool("ipset", "ipset"),
    tool("iptables", "iptables"),
    tool("ethtool", "ethtool"),
    tool("bpftool", "bpftool"),
    tool("wrk", "wrk"),
    served("nginx", "nginx", "nginx.service"),
];

/// What xtask/vm-run.sh needs.
pub const VIRTUAL_MACHINES: &[Tool] =
    &[tool("busybox", "busybox-static"), tool("qemu-system-x86_64", "qemu-system-x86")];

/// Installs the packages of those programs that are not here.
pub fn bring(tools: &[Tool]) -> Result<()> {
    let missing: Vec<_> = tools.iter().filter(|tool| !tool.is_here()).collect();
    if missing.is_empty() {
        return Ok(());
    }
    if !apt::is_here() {
        let programs = missing.iter().map(|tool| tool.name()).collect::<Vec<_>>();
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
