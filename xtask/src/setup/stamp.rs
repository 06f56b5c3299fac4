//! Remembers which compiler and linker were seen to work together, so that they need not be tried
//! again until one of them changes.

use std::{fs, path::Path, time::UNIX_EPOCH};

use anyhow::{Context as _, Result};

use super::{linker, toolchain::Toolchain};
use crate::workspace;

/// Whether the compiler and linker that are here now have been seen to work.
pub fn is_current() -> Result<bool> {
    let seen = fs::read_to_string(path()?).unwrap_or_default();
    Ok(here().is_some_and(|here| here == seen))
}

/// Remembers those that are here now.
pub fn write() -> Result<()> {
    let path = path()?;
    fs::write(&path, here().unwrap_or_default())
        .with_context(|| format!("cannot write {}", path.display()))
}

fn path() -> Result<std::path::PathBuf> {
    Ok(workspace::scratch()?.join("kernel-toolchain"))
}

/// Compiler and linker by path, size and time of change.
fn here() -> Option<String> {
    let (toolchain, root) = Toolchain::find()?;
    let compiler = identity(&root.join("bin/rustc"))?;
    let linker = identity(&linker::find()?)?;
    Some(format!("{}\n{compiler}\n{linker}\n", toolchain.name()))
}

fn identity(file: &Path) -> Option<String> {
    let metadata = fs::metadata(file).ok()?;
    let changed = metadata.modified().ok()?.duration_since(UNIX_EPOCH).ok()?;
    Some(format!("{} {} {}", file.display(), metadata.len(), changed.as_nanos()))
}
