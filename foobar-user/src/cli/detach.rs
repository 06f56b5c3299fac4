//! `foobar detach`: takes the filter off.

use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Args;

use super::{
    options::{Options, Output},
    print,
};
use crate::{
    control::{api::Detached, client::NotRunning},
    kernel,
};

/// Takes the filter off all interfaces and removes every program, map and pin.
///
/// The server is unprotected afterwards. A running daemon does it and stops; without one it is done directly. Lists that were
/// changed at runtime stay on disk for the next start.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  foobar detach")]
pub struct Detach {}

impl Detach {
    pub fn run(&self, options: &Options) -> Result<ExitCode> {
        let detached = match options.ask(async |client| client.detach().await) {
            Ok(detached) => detached,
            Err(error) if error.downcast_ref().is_some_and(NotRunning::is_certain) => {
                let detached = kernel::detach(&options.bpf_dir).with_context(|| {
                    format!("cannot take away what is pinned in {}", options.bpf_dir.display())
                })?;
                Detached::from(detached)
            }
            Err(error) => return Err(error),
        };
        match options.output {
            Output::Json => print::json(&detached)?,
            Output::Text => print::text(&text(&detached, options))?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn text(detached: &Detached, options: &Options) -> String {
    let mut text = if !detached.found {
        format!("nothing to do: no filter is pinned in {}\n", options.bpf_dir.display())
    } else if detached.interfaces.is_empty() {
        "the filter is gone; it was on no interface any more\n".to_owned()
    } else {
        format!(
            "the filter is off {}; this server is no longer protected by it\n",
            detached.interfaces.join(", ")
        )
    };
    for note in &detached.notes {
        text.push_str(&format!("note: {note}\n"));
    }
    text
}
