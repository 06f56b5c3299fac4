//! Configurations, good and bad.

mod bad;
mod good;
mod mutated;
mod whole;

use std::path::Path;

use super::{Config, Loaded};
use crate::policy::diagnostic::ConfigError;

/// Reads a configuration that has no list files.
fn parse(text: &str) -> Result<Loaded, ConfigError> {
    Config::parse(text, Path::new("foobar.toml"))
}
