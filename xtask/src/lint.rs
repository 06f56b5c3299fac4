//! Format and lints of all crates.

use std::process::Command;

use anyhow::{Context as _, Result};

use crate::{command, setup, workspace};

/// Checks the format, then lints the host crates and the kernel programs; a warning is an error.
pub fn lint() -> Result<()> {
    command::run(workspace::cargo().args(["fmt", "--all", "--check"])).context(
        "the format is not rustfmt's (`cargo fmt --all` mends it, `rustup component add rustfmt` \
         brings it)",
    )?;
    setup::kernel_toolchain()?;
    let mut host = clippy();
    host.args(["--workspace", "--exclude=foobar-ebpf", "--all-targets", "--", "--deny=warnings"]);
    // Clippy needs a `core` of its own toolchain, which has none for BPF: it reads the kernel
    // programs as if they were for this machine. Without std there is no unwinding.
    let mut kernel = clippy();
    kernel.args(["--package=foobar-ebpf", "--", "--deny=warnings"]);
    kernel.env("CARGO_PROFILE_DEV_PANIC", "abort");
    for command in [&mut host, &mut kernel] {
        command::run(command)
            .context("clippy has complaints, or is missing (`rustup component add clippy`)")?;
    }
    Ok(())
}

fn clippy() -> Command {
    let mut cargo = workspace::cargo();
    cargo.arg("clippy");
    cargo
}
