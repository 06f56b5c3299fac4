//! The command line: one file a command. Exit codes: 0 done, 1 failed, 2 usage.

mod check;
mod completions;
mod configuration;
mod detach;
mod doctor;
mod explain;
mod failure;
mod lists;
mod manual;
mod note;
mod options;
mod print;
mod reload;
mod replay;
mod run;
mod session;
mod status;
mod table;
mod top;
mod watch;

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
    Reload(reload::Reload),
    Confirm(reload::Confirm),
    /// Shows and changes allowlists: who may reach the ports whose rules name the list.
    #[command(subcommand, after_help = lists::ALLOW_EXAMPLES)]
    Allow(lists::Action),
    /// Shows and changes blocklists: who may reach nothing at all.
    #[command(subcommand, after_help = lists::BLOCK_EXAMPLES)]
    Block(lists::Action),
    Explain(explain::Explain),
    Top(top::Top),
    Watch(watch::Watch),
    Replay(replay::Replay),
    Detach(detach::Detach),
    Doctor(doctor::Doctor),
    Completions(completions::Completions),
    Manual(manual::Manual),
}

/// Reads the command line and does what it says.
pub fn run() -> ExitCode {
    let Cli { options, command } = Cli::parse();
    let done = match command {
        Command::Run(run) => run.run(&options),
        Command::Check(check) => check.run(&options),
        Command::Status(status) => status.run(&options),
        Command::Reload(reload) => reload.run(&options),
        Command::Confirm(confirm) => confirm.run(&options),
        Command::Allow(action) => action.run(&options, ListKind::Allow),
        Command::Block(action) => action.run(&options, ListKind::Block),
        Command::Explain(explain) => explain.run(&options),
        Command::Top(top) => top.run(&options),
        Command::Watch(watch) => watch.run(&options),
        Command::Replay(replay) => replay.run(&options),
        Command::Detach(detach) => detach.run(&options),
        Command::Doctor(doctor) => doctor.run(&options),
        Command::Completions(completions) => completions.run(),
        Command::Manual(manual) => manual.run(),
    };
    match done {
        Ok(code) => code,
        Err(error) => failure::report(&error, options.output),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn definitions_are_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_has_an_example() {
        fn check(path: &str, command: &clap::Command) {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(help.contains("foobar "), "{path} has no example");
            for inner in command.get_subcommands() {
                check(&format!("{path} {}", inner.get_name()), inner);
            }
        }
        for command in Cli::command().get_subcommands() {
            check(command.get_name(), command);
        }
    }
}
