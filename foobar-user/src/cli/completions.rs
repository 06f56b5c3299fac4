//! `foobar completions`: what a shell needs to complete a command line.

use std::{io, process::ExitCode};

use anyhow::Result;
use clap::{Args, CommandFactory};
use clap_complete::Shell;

/// Prints the completion script of a shell.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  foobar completions bash > /etc/bash_completion.d/foobar")]
pub struct Completions {
    /// The shell
    shell: Shell,
}

impl Completions {
    pub fn run(&self) -> Result<ExitCode> {
        clap_complete::generate(
            self.shell,
            &mut super::Cli::command(),
            "foobar",
            &mut io::stdout(),
        );
        Ok(ExitCode::SUCCESS)
    }
}
