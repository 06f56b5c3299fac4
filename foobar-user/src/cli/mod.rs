//! The command line: one file a command. Exit codes: 0 done, 1 failed, 2 usage.

mod check;
mod completions;
mod configuration;
mod detach;
mod failure;
mod lists;
mod note;
mod options;
mod print;
mod replay;
mod run;
mod status;
mod table;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::policy::lists::ListKind;

/// Host firewall and traffic observer for web servers.
///
/// XDP drops what the policy does not allow and counts the rest, per port; Prometheus scrapes the counters; allowlists and
/// blocklists change while it runs.
#[derive(Debug, Parser)]
#[command(name = "foobar", version, disable_help_subcommand = true, after_help = EXAMPLES)]
pub struct Cli {
    #[command(flatten)]
    options: options::Options,
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  foobar check --config /etc/foobar/foobar.toml
  foobar run --config /etc/foobar/foobar.toml --mode audit
  foobar status
  foobar allow add admins 198.51.100.7 --ttl 1h --comment 'on call'";

#[derive(Debug, Subcommand)]
enum Command {
    Run(run::Run),
    Check(check::Check),
    Status(status::Status),
    /// Shows and changes allowlists: who may reach the ports whose rules name the list.
    #[command(subcommand, after_help = lists::ALLOW_EXAMPLES)]
    Allow(lists::Action),
    /// Shows and changes blocklists: who may reach nothing at all.
    #[command(subcommand, after_help = lists::BLOCK_EXAMPLES)]
    Block(lists::Action),
    Replay(replay::Replay),
    Detach(detach::Detach),
    Completions(completions::Completions),
}

/// Reads the command line and does what it says.
pub fn run() -> ExitCode {
    let Cli { options, command } = Cli::parse();
    let done = match command {
        Command::Run(run) => run.run(&options),
        Command::Check(check) => check.run(&options),
        Command::Status(status) => status.run(&options),
        Command::Allow(action) => action.run(&options, ListKind::Allow),
        Command::Block(action) => action.run(&options, ListKind::Block),
        Command::Replay(replay) => replay.run(&options),
        Command::Detach(detach) => detach.run(&options),
        Command::Completions(completions) => completions.run(),
    };
    match done {
        Ok(code) => code,
        Err(error) => failure::report(&error, options.output),
    }
}
