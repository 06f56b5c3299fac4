//! The kernel toolchain from Debian's archive: a stable compiler with a prebuilt `core` for BPF.

use std::path::Path;

use anyhow::{Context as _, Result};

use super::{
    apt, linker,
    toolchain::{self, Toolchain},
};
use crate::{command, workspace};

const COMPILER: &str = "rustc-web";
const CORE: &str = "libstd-rust-web-dev-bpf";
/// Where Debian's compiler is installed.
const PREFIX: &str = "/usr";

/// Whether this route can be taken: what speaks for it, or what stands in its way.
pub fn offer() -> Result<String, String> {
    if !apt::is_here() {
        return Err("there is no apt-get here".into());
    }
    if prebuilt_core().exists() {
        return Ok("Debian's compiler with a core for BPF is installed".into());
    }
    if apt::is_installed("rustc") || apt::is_installed("rustup") {
        return Err("Debian's rustc-web would remove the installed package rustc or rustup".into());
    }
    if !command::is_root() {
        return Err("only root may install Debian's packages".into());
    }
    let wanted = env!("CARGO_PKG_RUST_VERSION");
    // The core first: looking for it may bring apt up to date, and only then is the compiler's version that of today.
    apt::candidate(CORE)?;
    let mut version = apt::candidate(COMPILER)?;
    if minor(&version) < minor(wanted) {
        apt::update().map_err(|error| format!("{error:#}"))?;
        version = apt::candidate(COMPILER)?;
    }
    if minor(&version) < minor(wanted) {
        return Err(format!("the archive's {COMPILER} is {version}, and {wanted} is wanted"));
    }
    Ok(format!("the archive has {COMPILER} {version} with a prebuilt core for BPF"))
}

/// Installs what is missing, makes the compiler known to rustup, builds the linker.
pub fn bring() -> Result<()> {
    if !prebuilt_core().exists() {
        apt::install(&[COMPILER, "cargo-web", CORE], &[])?;
    }
    let prefix = Path::new(PREFIX);
    if Toolchain::find().is_none_or(|(toolchain, _)| toolchain != Toolchain::Prebuilt) {
        let name = Toolchain::Prebuilt.name();
        let mut link = workspace::outside("rustup");
        command::run(link.args(["toolchain", "link", name]).arg(prefix))
            .context("cannot make Debian's compiler known to rustup")?;
    }
    let major = linker::llvm_of(prefix)?;
    let llvm = Path::new("/usr/lib").join(format!("llvm-{major}"));
    if !llvm.join("include/llvm").exists() {
        apt::install(&[&format!("llvm-{major}-dev"), "g++"], &[])?;
    }
    linker::build(Toolchain::Prebuilt, &llvm, major)
}

fn prebuilt_core() -> std::path::PathBuf {
    Path::new(PREFIX).join("lib/rustlib").join(toolchain::target()).join("lib")
}

/// 96 of `1.96.0+dfsg1-1~deb12u2`; Rust's major version is 1.
fn minor(version: &str) -> Option<u32> {
    version.split('.').nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_by_number() {
        assert!(minor("1.96.0+dfsg1-1~deb12u2") > minor("1.95"));
        assert!(minor("1.100.0") > minor("1.95"));
        assert!(minor("1.78.0+dfsg1-2") < minor("1.95"));
    }
}
