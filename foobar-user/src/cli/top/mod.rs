//! `foobar top`: what happens now, in the terminal.
//!
//! - [`screen`]: what is shown and how: the numbers, their order, whether time stands still.
//! - [`picture`]: from a screen to lines of text; [`ports`], [`drops`], [`cells`], [`spark`] are its parts.
//! - [`terminal`]: the terminal itself: keys, signals, and how it is left.

mod cells;
mod drops;
mod picture;
mod ports;
mod screen;
mod spark;
mod terminal;
#[cfg(test)]
mod tests;

use std::{
    io::{IsTerminal as _, stdout},
    process::ExitCode,
    time::{Duration, Instant},
};

use anyhow::{Result, bail};
use clap::Args;

use super::{
    options::{Options, Output},
    print,
};
use crate::control::Client;

/// How long drops are sampled for a frame that is printed.
const SAMPLED: Duration = Duration::from_secs(1);
/// Width of a frame that is printed to no terminal.
const WIDTH: u16 = 80;

/// Shows connections and requests a second, response times, drops and who is dropped most, live.
///
/// Keys: q quits, p pauses, s sorts the ports, b sorts the blocked sources, w changes the time that rates are over, ? explains.
/// Blocked sources are estimated from sampled packets, which the kernel tells of only while somebody looks; they are kept
/// nowhere. With --output json each reading is an object on a line of its own.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  foobar top
  foobar top --once
  foobar top --once --output json | jq '.ports[] | {port, connections}'")]
pub struct Top {
    /// Print one frame as text, after a second of looking, and end
    #[arg(long)]
    once: bool,
}

impl Top {
    pub fn run(&self, options: &Options) -> Result<ExitCode> {
        if options.output == Output::Text && !self.once && !stdout().is_terminal() {
            bail!("standard output is no terminal; `foobar top --once` prints one frame as text");
        }
        options.ask(async |client| match (options.output, self.once) {
            (Output::Text, false) => terminal::run(client).await,
            (output, once) => print(client, output, once).await,
        })?;
        Ok(ExitCode::SUCCESS)
    }
}

/// Prints frames, or one. That has a second of sampled sources, and so it is not the first.
async fn print(client: Client, output: Output, once: bool) -> Result<()> {
    let mut screen = screen::Screen::default();
    let mut lines = 0;
    let began = Instant::now();
    client
        .live(|live| {
            lines += 1;
            if output == Output::Json && !once {
                return print::line(&serde_json::to_string(&live)?);
            }
            screen.take(live);
            if lines < 2 || began.elapsed() < SAMPLED {
                return Ok(true);
            }
            match output {
                Output::Json => print::json(screen.live())?,
                Output::Text => print::text(&text(&screen))?,
            }
            Ok(false)
        })
        .await?;
    if once && lines < 2 {
        bail!("the daemon stopped before the counters were read");
    }
    Ok(())
}

fn text(screen: &screen::Screen) -> String {
    let width = match stdout().is_terminal() {
        true => crossterm::terminal::size().map_or(WIDTH, |(columns, _)| columns),
        false => WIDTH,
    };
    picture::lines(screen, width, None, cells::Palette::plain())
        .iter()
        .map(|line| format!("{}\n", line.to_string().trim_end()))
        .collect()
}
