//! Writing to standard output.

use std::io::{self, Write};

use anyhow::{Context, Result};
use serde::Serialize;

/// Prints text that ends with a line break of its own.
///
/// # Errors
/// Standard output cannot be written to; a reader that went away (`foobar status | head -1`) is none.
pub fn text(text: &str) -> Result<()> {
    let mut output = io::stdout().lock();
    match output.write_all(text.as_bytes()).and_then(|()| output.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(error).context("cannot write to standard output")
        }
        _ => Ok(()),
    }
}

/// Prints one line of several, at once. Returns whether anybody still reads.
///
/// # Errors
/// Standard output cannot be written to.
pub fn line(line: &str) -> Result<bool> {
    let mut output = io::stdout().lock();
    match writeln!(output, "{line}").and_then(|()| output.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        other => other.context("cannot write to standard output").map(|()| true),
    }
}

/// Prints a value as JSON.
///
/// # Errors
/// Those of [`text`].
pub fn json(value: &impl Serialize) -> Result<()> {
    text(&format!("{}\n", serde_json::to_string_pretty(value)?))
}
