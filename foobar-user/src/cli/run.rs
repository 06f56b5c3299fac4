//! `foobar run`: the daemon.

use std::{path::PathBuf, process::ExitCode};

use anyhow::Result;
use clap::Args;

use super::options::{Options, Output};
use crate::{
    daemon::{self, logging},
    policy::model::Mode,
};

/// Puts the filter in force and keeps it up to date until SIGTERM; the filter stays when the daemon stops.
///
/// Log lines go to standard error (JSON with --output json); the variable RUST_LOG chooses which, as in RUST_LOG=debug.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  foobar run --config /etc/foobar/foobar.toml
  foobar run --config /etc/foobar/foobar.toml --interface eth1 --mode audit")]
pub struct Run {
    /// The configuration file
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Instead of the configuration's interfaces: a name, a pattern such as eth*, or `default`; may be repeated
    #[arg(long = "interface", value_name = "NAME")]
    interfaces: Vec<String>,
    /// Instead of the configuration's mode: audit drops nothing and counts what enforce would drop
    #[arg(long, value_name = "MODE", value_parser = ["audit", "enforce"])]
    mode: Option<String>,
    /// Takes the place of another XDP program on the interface instead of refusing to start
    #[arg(long)]
    replace: bool,
    /// Starts although it cuts SSH sessions that are open now
    #[arg(long)]
    force: bool,
}

impl Run {
    pub fn run(&self, options: &Options) -> Result<ExitCode> {
        logging::start(options.output == Output::Json)?;
        let wanted = daemon::Options {
            config: self.config.clone(),
            interfaces: self.interfaces.clone(),
            mode: self
                .mode
                .as_deref()
                .map(|mode| if mode == "audit" { Mode::Audit } else { Mode::Enforce }),
            replace: self.replace,
            force: self.force,
            runtime_dir: options.runtime_dir.clone(),
            state_dir: options.state_dir.clone(),
            bpf_dir: options.bpf_dir.clone(),
        };
        daemon::run(wanted)?;
        Ok(ExitCode::SUCCESS)
    }
}
