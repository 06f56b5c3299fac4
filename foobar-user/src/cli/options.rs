//! Options that every command takes.

use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::{Args, ValueEnum};

use crate::control::Client;

/// Heading of the options that every command takes, so that its own come first.
const EVERYWHERE: &str = "Options of every command";

/// Folders and output; several daemons live on one machine, each with folders of its own.
#[derive(Debug, Args)]
pub struct Options {
    /// Folder of the control socket
    #[arg(long, global = true, help_heading = EVERYWHERE, value_name = "DIR", default_value = "/run/foobar")]
    pub runtime_dir: PathBuf,
    /// Folder of what must survive a restart
    #[arg(long, global = true, help_heading = EVERYWHERE, value_name = "DIR", default_value = "/var/lib/foobar")]
    pub state_dir: PathBuf,
    /// Folder of the pinned programs and maps, on a bpf file system
    #[arg(long, global = true, help_heading = EVERYWHERE, value_name = "DIR", default_value = "/sys/fs/bpf/foobar")]
    pub bpf_dir: PathBuf,
    /// For people or for programs
    #[arg(long, global = true, help_heading = EVERYWHERE, value_enum, default_value_t = Output::Text)]
    pub output: Output,
}

/// How a command answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people
    Text,
    /// One JSON value; errors as {"error", "help"} on standard error
    Json,
}

impl Options {
    /// Speaks to the daemon.
    ///
    /// # Errors
    /// Those of the request.
    pub fn ask<T>(&self, request: impl AsyncFnOnce(Client) -> Result<T>) -> Result<T> {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .context("cannot start the runtime of the client")?
            .block_on(request(Client::new(&self.runtime_dir)))
    }
}
