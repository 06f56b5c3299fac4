//! Running the tests.

mod summary;

use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};

use crate::{build, command, setup, workspace};

/// Arguments of `cargo xtask test`.
#[derive(clap::Args, Default)]
pub struct Args {
    /// Only tests whose name contains this
    filter: Option<String>,
    /// Without the tests that have `slow` in their name
    #[arg(long)]
    quick: bool,
    /// Without the tests that need root, the kernel or a web server
    #[arg(long)]
    host_only: bool,
}

/// Runs the tests; the exit code is the runner's.
pub fn test(args: &Args) -> Result<ExitCode> {
    if !args.host_only && !command::is_root() {
        bail!(
            "the tests load programs into the kernel and make network namespaces, which only root \
             may; run `cargo xtask test` as root, or `cargo xtask test --host-only`"
        );
    }
    setup::kernel_toolchain()?;
    if !args.host_only {
        setup::test_tools()?;
        if args.filter.is_none() && !args.quick {
            // One test installs the package. Where it is not meant to run, nobody waits for the tools that make it.
            setup::package_tools()?;
        }
    }
    let foobar = build::foobar(&build::tests()?)?;
    let mut tests = workspace::cargo();
    tests.env("FOOBAR_BIN", foobar).env("PATH", command::search_path());
    let status = if command::find("cargo-nextest").is_some() {
        if args.filter.is_none() {
            doctests(args)?;
        }
        tests.args(["nextest", "run", "--no-fail-fast"]).args(packages(args));
        tests.arg("--").args(names(args)).status().context("cannot start cargo nextest")?
    } else {
        eprintln!("test: no cargo-nextest here, so `cargo test` runs the tests");
        tests.args(["test", "--no-fail-fast"]).args(packages(args));
        // What tests measure is worth reading although they pass, as .config/nextest.toml says to nextest.
        tests.args(["--", "--show-output"]).args(names(args));
        summary::run(tests)?
    };
    // A runner that was ended by a signal has no code of its own.
    let code = status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1);
    Ok(ExitCode::from(code))
}

/// Runs the examples in the documentation, of which nextest does not know.
fn doctests(args: &Args) -> Result<()> {
    let mut doctests = workspace::cargo();
    command::run(doctests.args(["test", "--quiet", "--doc"]).args(packages(args)))
}

/// Which tests of a binary.
fn names(args: &Args) -> Vec<&str> {
    let quick = if args.quick { ["--skip", "slow"].as_slice() } else { &[] };
    args.filter.as_deref().into_iter().chain(quick.iter().copied()).collect()
}

/// Which packages: all but the kernel programs, which run nowhere but in the kernel.
fn packages(args: &Args) -> Vec<&'static str> {
    let mut packages = vec!["--workspace", "--exclude=foobar-ebpf"];
    if args.host_only {
        packages.push("--exclude=foobar-tests");
    }
    packages
}
