//! Running test binaries under other kernels.

use std::process::Command;

use anyhow::{Result, bail};

use crate::{
    build::{self, Executable},
    command, setup, workspace,
};

/// Arguments of `cargo xtask vm-test`.
#[derive(clap::Args)]
pub struct Args {
    /// Debian kernels, by version
    #[arg(default_values = ["6.1", "6.12"])]
    kernels: Vec<String>,
    /// Test binary to run, by its name in tests/tests; several may be given
    #[arg(long = "test", value_name = "NAME", default_values = ["prog_run"])]
    tests: Vec<String>,
    /// Only tests whose name contains this
    #[arg(long)]
    filter: Option<String>,
}

/// Builds the test binaries here and runs them under each kernel. The machines are emulated where
/// KVM is missing, so speed measured in them means nothing.
pub fn vm_test(args: &Args) -> Result<()> {
    if !command::is_root() {
        bail!("a virtual machine that shares this machine's files needs root; run it as root");
    }
    setup::kernel_toolchain()?;
    setup::vm_tools()?;
    let built = build::tests()?;
    let foobar = build::foobar(&built)?;
    let binaries = chosen(&built, &args.tests)?;
    let mut failed = Vec::new();
    for kernel in &args.kernels {
        for binary in &binaries {
            eprintln!("vm-test: {} under Linux {kernel}", binary.name);
            let mut vm = Command::new(workspace::root().join("xtask/vm-run.sh"));
            vm.args([kernel, "--", "env"])
                .arg(format!("FOOBAR_BIN={}", foobar.display()))
                .arg(&binary.path)
                .args(&args.filter)
                .current_dir(&binary.package);
            if let Err(error) = command::run(&mut vm) {
                eprintln!("vm-test: {error:#}");
                failed.push(format!("{} under {kernel}", binary.name));
            }
        }
    }
    if !failed.is_empty() {
        bail!("failed: {}", failed.join(", "));
    }
    Ok(())
}

/// The test binaries of these names.
fn chosen<'a>(built: &'a [Executable], names: &[String]) -> Result<Vec<&'a Executable>> {
    let all = || built.iter().filter(|executable| executable.kind == "test");
    let mut chosen = Vec::new();
    for name in names {
        let Some(executable) = all().find(|executable| executable.name == *name) else {
            let known = all().map(|executable| executable.name.as_str()).collect::<Vec<_>>();
            bail!("no test binary {name}; there are: {}", known.join(", "));
        };
        chosen.push(executable);
    }
    Ok(chosen)
}
