//! A configuration file that a command reads by itself, without the daemon.

use std::path::Path;

use anyhow::{Result, bail};

use super::{note, options::Output};
use crate::policy::{Config, Loaded};

/// Reads a configuration; what is noteworthy about it goes to standard error.
///
/// # Errors
/// Everything that is wrong with it, with line and column.
pub fn load(path: &Path, output: Output) -> Result<Config> {
    match Config::load(path) {
        Ok(Loaded { config, notes, .. }) => {
            for diagnostic in notes {
                note::tell(output, &diagnostic.to_string());
            }
            Ok(config)
        }
        Err(error) => bail!("the configuration {} cannot be used:\n{error}", path.display()),
    }
}
