//! Running the tests.

mod summary;

use std::{env, process::ExitCode, thread};

use anyhow::{Context as _, Result, bail};

use crate::{build, command, setup, workspace};

/// Tests that run at the same time for each core in the quick tier: most of what it is made of waits for a timer or a process.
const QUICK_TESTS_PER_CORE: usize = 4;
/// Frames of the model test in the quick tier, instead of 20,000.
const QUICK_FRAMES: &str = "4000";

/// Arguments of `cargo xtask test`.
#[derive(clap::Args, Default)]
pub struct Args {
    /// Only tests whose name contains this
    filter: Option<String>,
    /// Without the tests whose name begins with `slow_`, and with fewer random frames
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
    if args.quick && env::var_os("FOOBAR_FRAMES").is_none() {
        tests.env("FOOBAR_FRAMES", QUICK_FRAMES);
    }
    let status = if command::find("cargo-nextest").is_some() {
        if args.filter.is_none() && !args.quick {
            doctests(args)?;
        }
        tests.args(["nextest", "run", "--no-fail-fast"]).args(packages(args));
        if args.quick {
            let cores = thread::available_parallelism().map_or(1, usize::from);
            // The profile says which tests these are: .config/nextest.toml.
            tests.args(["--profile=quick", "--test-threads"]);
            tests.arg((cores * QUICK_TESTS_PER_CORE).to_string());
        }
        tests.args(&args.filter).status().context("cannot start cargo nextest")?
    } else {
        eprintln!("test: no cargo-nextest here, so `cargo test` runs the tests");
        tests.args(["test", "--no-fail-fast"]).args(packages(args));
        // What tests measure is worth reading although they pass, as .config/nextest.toml says to nextest.
        tests.args(["--", "--show-output"]).args(&args.filter);
        if args.quick {
            tests.args(["--skip", "slow_"]);
        }
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

/// Which packages: all but the kernel programs, which run nowhere but in the kernel.
fn packages(args: &Args) -> Vec<&'static str> {
    let mut packages = vec!["--workspace", "--exclude=foobar-ebpf"];
    if args.host_only {
        packages.push("--exclude=foobar-tests");
    }
    packages
}
