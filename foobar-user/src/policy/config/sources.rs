//! Everything that a configuration was read from, so that it can be kept and read again when the files are gone or broken.

use std::{collections::BTreeMap, path::PathBuf};

/// The text of a configuration and of its list files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sources {
    /// The configuration file.
    pub path: PathBuf,
    /// What it holds.
    pub text: String,
    /// The list files, by the paths under which they were opened, and what they hold.
    pub files: BTreeMap<PathBuf, Vec<u8>>,
}
