//! Builds the kernel programs and leaves them as `$OUT_DIR/foobar`, for `include_bytes_aligned!`.

#[path = "../xtask/src/setup/toolchain.rs"]
mod toolchain;

use std::{env, process::Command};

use anyhow::{Result, bail};
use aya_build::{Package, Toolchain};

fn main() -> Result<()> {
    // aya-build turns every line of the inner cargo into a warning. Only what the compiler has to
    // say should be one, so this script runs itself again with a quiet cargo below it.
    if env::var_os("CARGO_TERM_QUIET").is_none_or(|quiet| quiet != "true") {
        let status = Command::new(env::current_exe()?).env("CARGO_TERM_QUIET", "true").status()?;
        std::process::exit(status.code().unwrap_or(1));
    }

    // aya-build watches the kernel crate itself; these go into it as well.
    for path in ["../foobar-common", "../Cargo.toml", "../Cargo.lock", "../.cargo/config.toml"] {
        println!("cargo:rerun-if-changed={path}");
    }
    let kernel_crate =
        Package { name: "foobar-ebpf", root_dir: "../foobar-ebpf", ..Package::default() };
    aya_build::build_ebpf([kernel_crate], compiler()?)
}

/// The compiler for the kernel programs.
fn compiler() -> Result<Toolchain<'static>> {
    let on_path = env::var_os("PATH").unwrap_or_default();
    if !env::split_paths(&on_path).any(|folder| folder.join("bpf-linker").is_file()) {
        bail!("no bpf-linker on PATH, which links the kernel programs; run `cargo xtask setup`");
    }
    match toolchain::Toolchain::find() {
        Some((toolchain, _)) => Ok(Toolchain::Custom(toolchain.name())),
        None => bail!(
            "no compiler for the kernel programs: neither a rustup toolchain `bpf` with a prebuilt \
             core for {}, nor nightly with rust-src; run `cargo xtask setup`",
            toolchain::target()
        ),
    }
}
