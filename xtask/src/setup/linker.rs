//! bpf-linker: finding it, building it, and seeing that it understands the compiler's bitcode.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail};

use super::toolchain::{self, Toolchain};
use crate::{command, workspace};

/// The version that fits aya 0.14 and LLVM 21 to 23.
pub const VERSION: &str = "0.13.0";

/// The least that is a kernel program.
const PROGRAM: &str = "#![no_std]
#![no_main]
#[unsafe(no_mangle)]
#[unsafe(link_section = \"xdp\")]
fn program(_: *mut core::ffi::c_void) -> u32 { 2 }
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! { loop {} }
";

/// Where bpf-linker is.
pub fn find() -> Option<PathBuf> {
    command::find("bpf-linker")
}

/// Whether there is a compiler for the kernel programs and a linker that understands it: their
/// LLVM must match, and nothing tells but trying.
pub fn check() -> Result<()> {
    let (toolchain, root) =
        Toolchain::find().context("no compiler for the kernel programs is installed")?;
    let linker = find().context("bpf-linker is not installed, or not in a folder of PATH")?;
    if toolchain == Toolchain::Nightly {
        // Nothing to try with before `core` is built; releases of bpf-linker read what nightly
        // compilers write.
        return Ok(());
    }
    let folder = workspace::scratch()?;
    let source = folder.join("program.rs");
    fs::write(&source, PROGRAM).with_context(|| format!("cannot write {}", source.display()))?;
    let object = folder.join("program.o");
    if object.exists() {
        fs::remove_file(&object).with_context(|| format!("cannot remove {}", object.display()))?;
    }
    let output = workspace::outside(root.join("bin/rustc"))
        .args(["--edition=2024", "--crate-type=bin", "-Copt-level=3", "-Clink-arg=--btf", "-g"])
        .arg(format!("--target={}", toolchain::target()))
        .arg(format!("-Clinker={}", linker.display()))
        .args([Path::new("-o"), &object, &source])
        .output()
        .with_context(|| format!("cannot start the compiler in {}", root.display()))?;
    // Something else of that name may end well and write nothing.
    if !output.status.success() || !object.exists() {
        bail!(
            "{} does not link what {} compiles (the LLVM of both must be the same):\n{}",
            linker.display(),
            root.join("bin/rustc").display(),
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Ok(())
}

/// Builds bpf-linker against an LLVM.
///
/// `prefix` is the folder of that LLVM, `major` its version, `toolchain` the compiler to use.
pub fn build(toolchain: Toolchain, prefix: &Path, major: u32) -> Result<()> {
    eprintln!("setup: building bpf-linker {VERSION} against LLVM {major} (about a minute)");
    let mut path = prefix.join("bin").into_os_string();
    path.push(":");
    path.push(env::var_os("PATH").unwrap_or_default());
    let mut install = workspace::outside("rustup");
    install
        .args(["run", toolchain.name(), "cargo", "install", "bpf-linker", "--locked", "--force"])
        .arg(format!("--version={VERSION}"))
        .args(["--no-default-features", &format!("--features=llvm-{major}")])
        .env("LLVM_PREFIX", prefix)
        .env("PATH", path);
    command::run(&mut install).context("cannot build bpf-linker")
}

/// The version of the LLVM inside a compiler.
pub fn llvm_of(root: &Path) -> Result<u32> {
    let version = command::output(workspace::outside(root.join("bin/rustc")).arg("-vV"))?;
    version
        .lines()
        .find_map(|line| line.strip_prefix("LLVM version: ")?.split('.').next()?.parse().ok())
        .with_context(|| format!("the compiler in {} names no LLVM:\n{version}", root.display()))
}
