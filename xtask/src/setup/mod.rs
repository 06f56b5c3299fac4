//! Set-up: the compiler for the kernel programs, and what the tests run against.
//!
//! Each function first looks whether all is there, which takes a millisecond and prints nothing.

mod apt;
mod debian;
mod linker;
mod python;
mod rustup;
mod services;
mod stamp;
mod toolchain;
mod tools;

use std::fs::File;

use anyhow::{Context as _, Result, bail};

use crate::{command, workspace};
use toolchain::Toolchain;

/// Arguments of `cargo xtask setup`.
#[derive(clap::Args)]
pub struct Args {
    /// Brings the programs that the tests run against as well, such as nginx and Prometheus
    #[arg(long)]
    tests: bool,
}

/// Brings what is missing.
pub fn setup(args: &Args) -> Result<()> {
    kernel_toolchain()?;
    if args.tests { test_tools() } else { Ok(()) }
}

/// Brings what the tests run against.
pub fn test_tools() -> Result<()> {
    tools::bring(tools::TESTS)?;
    python::bring()?;
    site_tools()
}

/// Brings the programs of the site www.foobar.com.
pub fn site_tools() -> Result<()> {
    tools::bring(tools::SITE)
}

/// Brings what making a Debian package needs.
pub fn package_tools() -> Result<()> {
    tools::bring(tools::PACKAGE)?;
    cargo_tool("cargo-deb", "a minute or two")
}

/// Brings cargo-deny.
pub fn deny_tool() -> Result<()> {
    cargo_tool("cargo-deny", "three minutes or more")
}

/// Builds a subcommand of cargo, if it is not there.
fn cargo_tool(name: &str, takes: &str) -> Result<()> {
    if command::find(name).is_some() {
        return Ok(());
    }
    eprintln!("setup: building {name} ({takes})");
    let mut install = workspace::outside("cargo");
    install.args(["install", name, "--locked"]).stdout(std::io::stderr());
    command::run(&mut install).with_context(|| format!("cannot build {name}"))
}

/// Brings what the benchmark compares with.
pub fn peers() -> Result<()> {
    tools::bring(tools::PEERS)
}

/// Brings what virtual machines need.
pub fn vm_tools() -> Result<()> {
    tools::bring(tools::VIRTUAL_MACHINES)
}

/// Brings a compiler and a linker for the kernel programs.
pub fn kernel_toolchain() -> Result<()> {
    if stamp::is_current()? {
        return Ok(());
    }
    let lock = workspace::scratch()?.join("setup.lock");
    let lock = File::create(&lock).with_context(|| format!("cannot write {}", lock.display()))?;
    lock.lock().context("cannot wait for another set-up to end")?;
    if linker::check().is_ok() {
        return stamp::write();
    }
    bring_kernel_toolchain()?;
    linker::check().context("set-up is done, but the toolchain does not work")?;
    stamp::write()
}

/// A way to a compiler for the kernel programs.
enum Route {
    /// Debian's rustc-web and LLVM; bpf-linker built against that LLVM.
    Debian,
    /// rustup's nightly with rust-src; bpf-linker as released.
    Rustup,
}

fn bring_kernel_toolchain() -> Result<()> {
    if command::find("rustup").is_none() {
        bail!(
            "rustup is missing, by which the build picks the compiler for the kernel programs; \
             install it as https://rustup.rs says, then run `cargo xtask setup` again"
        );
    }
    let (route, why) = choose();
    let (name, bring): (_, fn() -> Result<()>) = match route {
        Route::Debian => ("Debian's packages", debian::bring),
        Route::Rustup => ("rustup", rustup::bring),
    };
    eprintln!("setup: kernel toolchain by {name}: {why}");
    bring()?;
    eprintln!("setup: kernel toolchain is ready");
    Ok(())
}

/// The route to take, and why.
fn choose() -> (Route, String) {
    match (Toolchain::find(), debian::offer()) {
        (Some((Toolchain::Prebuilt, _)), Ok(_)) => {
            (Route::Debian, "rustup's toolchain `bpf` is here, its linker is not".into())
        }
        (_, Ok(offer)) => (Route::Debian, offer),
        (Some((Toolchain::Nightly, _)), Err(obstacle)) => {
            (Route::Rustup, format!("nightly with rust-src is here, its linker is not; {obstacle}"))
        }
        (_, Err(obstacle)) => (Route::Rustup, obstacle),
    }
}
