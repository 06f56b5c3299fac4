//! The benchmark: a release build, beside its peers.

use anyhow::{Result, bail};

use crate::{build, command, setup, workspace};

/// Arguments of `cargo xtask bench`.
#[derive(clap::Args)]
pub struct Args {
    /// Installs the peers first, from Debian's packages: xdp-tools, nftables, ipset, iptables, nginx, wrk
    #[arg(long)]
    peers: bool,
    /// Brings docs/performance.md and its pictures up to date
    #[arg(long)]
    update_docs: bool,
    /// Parts and options of the benchmark itself: [packet|ladder|scale|live|service|policy|observer|scrape]... [--quick] [--output json]
    /// [--save FILE]; `-- --help` names them all
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    rest: Vec<String>,
}

/// Builds and runs the benchmark.
pub fn bench(args: &Args) -> Result<()> {
    // Options may stand in any order, also behind the part's name.
    let wants = |option: &str| args.rest.iter().any(|argument| argument == option);
    if !command::is_root() {
        bail!(
            "the benchmark loads programs into the kernel and makes network namespaces, which only root may; run it as root"
        );
    }
    setup::kernel_toolchain()?;
    if args.peers || wants("--peers") {
        setup::peers()?;
    }
    let foobar = build::release()?;
    let bench = build::bench()?;
    let mut run = std::process::Command::new(bench);
    run.env("FOOBAR_BIN", foobar).env("PATH", command::search_path());
    run.args(
        args.rest
            .iter()
            .filter(|argument| !["--peers", "--update-docs", "--"].contains(&argument.as_str())),
    );
    if args.update_docs || wants("--update-docs") {
        run.arg("--update-docs").arg(workspace::root().join("docs"));
    }
    command::run(&mut run)
}
