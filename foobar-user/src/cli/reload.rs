//! `foobar reload` and `foobar confirm`: the configuration read again, for good or on trial.

use std::{process::ExitCode, time::Duration};

use anyhow::Result;
use clap::Args;

use super::{
    options::{Options, Output},
    print, session,
};
use crate::control::reload::{Reload as Wanted, Reloaded};

/// Reads the configuration and its list files again and puts them in force, all or nothing.
///
/// Prints what is different. SIGHUP to the daemon does the same without options.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  foobar reload
  foobar reload --confirm 60s && foobar confirm")]
pub struct Reload {
    /// Takes the change back after this time, such as 60s, unless `foobar confirm` comes
    #[arg(long, value_name = "TIME", value_parser = window)]
    confirm: Option<Duration>,
    /// Only if the policy is still of this generation
    #[arg(long, value_name = "N")]
    if_generation: Option<u64>,
    /// Also if it cuts your SSH session
    #[arg(long)]
    force: bool,
}

/// Keeps the last change, which `foobar reload --confirm` made on trial.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  foobar confirm")]
pub struct Confirm {}

impl Reload {
    pub fn run(&self, options: &Options) -> Result<ExitCode> {
        let wanted = Wanted {
            confirm_seconds: self.confirm.map(|window| window.as_secs()),
            if_generation: self.if_generation,
            force: self.force,
            ssh_connection: session::ssh_connection(),
        };
        let done = options.ask(async |client| client.reload(&wanted).await)?;
        match options.output {
            Output::Json => print::json(&done)?,
            Output::Text => print::text(&text(&done))?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Confirm {
    pub fn run(&self, options: &Options) -> Result<ExitCode> {
        let done = options.ask(async |client| client.confirm().await)?;
        match options.output {
            Output::Json => print::json(&done)?,
            Output::Text => {
                print::text(&format!("confirmed: generation {} stays\n", done.generation))?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn text(done: &Reloaded) -> String {
    let Reloaded { generation, changes, attached, released, notes, confirm_within_seconds } = done;
    let mut text = changes.to_string();
    for (what, interfaces) in [("filtered now", attached), ("no longer filtered", released)] {
        if !interfaces.is_empty() {
            text.push_str(&format!("{what}: {}\n", interfaces.join(", ")));
        }
    }
    if text.is_empty() {
        text.push_str("rules and lists are as before\n");
    }
    for note in notes {
        text.push_str(&format!("note: {note}\n"));
    }
    text.push_str(&format!("in force: generation {generation}\n"));
    if let Some(seconds) = confirm_within_seconds {
        text.push_str(&format!("taken back in {seconds} s unless `foobar confirm` comes\n"));
    }
    text
}

fn window(text: &str) -> Result<Duration, String> {
    const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);
    match humantime::parse_duration(text) {
        Ok(time) if (1..=LONGEST.as_secs()).contains(&time.as_secs()) => Ok(time),
        Ok(_) => Err("it is shorter than a second or longer than a day".to_owned()),
        Err(error) => Err(format!("{error}; write for example 60s or 10m")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_window_is_a_second_to_a_day() {
        assert_eq!(window("60s"), Ok(Duration::from_secs(60)));
        assert_eq!(window("1day"), Ok(Duration::from_secs(86_400)));
        for wrong in ["0s", "500ms", "25h", "60", "soon"] {
            assert!(window(wrong).is_err(), "{wrong}");
        }
    }
}
