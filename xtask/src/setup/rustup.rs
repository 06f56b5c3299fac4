//! The kernel toolchain from rustup: nightly, which compiles `core` for BPF from its source.

use std::path::Path;

use anyhow::{Context as _, Result};

use super::{linker, toolchain::Toolchain};
use crate::{command, workspace};

/// Installs nightly with rust-src, and bpf-linker.
pub fn bring() -> Result<()> {
    if Toolchain::find().is_none() {
        eprintln!("setup: installing nightly with rust-src");
        let mut rustup = workspace::outside("rustup");
        rustup.args(["toolchain", "install", "nightly", "--profile=minimal"]);
        command::run(rustup.arg("--component=rust-src"))
            .context("cannot install nightly with rust-src")?;
    }
    let (toolchain, root) =
        Toolchain::find().context("rustup has installed no nightly with rust-src")?;
    let major = linker::llvm_of(&root)?;
    let llvm = Path::new("/usr/lib").join(format!("llvm-{major}"));
    if llvm.join("include/llvm").exists() {
        return linker::build(toolchain, &llvm, major);
    }
    release(toolchain)
}

/// Installs bpf-linker as released, with an LLVM of its own inside.
fn release(toolchain: Toolchain) -> Result<()> {
    if command::find("cargo-binstall").is_none() {
        eprintln!("setup: building cargo-binstall, which fetches bpf-linker (some minutes)");
        // Its newest release may want a newer compiler than the default one.
        let mut install = workspace::outside("rustup");
        install.args(["run", toolchain.name(), "cargo", "install", "cargo-binstall", "--locked"]);
        command::run(&mut install).context("cannot build cargo-binstall")?;
    }
    eprintln!("setup: fetching bpf-linker {}", linker::VERSION);
    let mut binstall = workspace::outside("cargo");
    binstall.args(["binstall", "--no-confirm", "--force"]);
    command::run(binstall.arg(format!("bpf-linker@{}", linker::VERSION))).context(
        "cannot fetch bpf-linker; https://github.com/aya-rs/bpf-linker says how to build it",
    )
}
