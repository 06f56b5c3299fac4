//! Building, and finding what was built wherever the target folder is.

use std::{
    path::PathBuf,
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use crate::{setup, workspace};

/// An executable that cargo has built.
pub struct Executable {
    /// Its target's name, such as `foobar`.
    pub name: String,
    /// Its target's kind: `bin`, `lib` or `test`.
    pub kind: String,
    /// Whether it is a test harness.
    pub test: bool,
    /// The folder of its package.
    pub package: PathBuf,
    /// The file.
    pub path: PathBuf,
}

/// Builds the release binary and returns its path.
pub fn release() -> Result<PathBuf> {
    setup::kernel_toolchain()?;
    let mut cargo = workspace::cargo();
    cargo.args(["build", "--release", "--package=foobar-user", "--bin=foobar"]);
    foobar(&executables(cargo)?)
}

/// Builds the benchmark and returns its path.
pub fn bench() -> Result<PathBuf> {
    let mut cargo = workspace::cargo();
    cargo.args(["build", "--release", "--package=foobar-bench"]);
    let built = executables(cargo)?;
    let bench = built.into_iter().find(|executable| executable.name == "foobar-bench");
    bench.map(|bench| bench.path).context("cargo has built no binary `foobar-bench`")
}

/// Builds the binary and all test binaries of the host crates.
pub fn tests() -> Result<Vec<Executable>> {
    let mut cargo = workspace::cargo();
    cargo.args(["build", "--workspace", "--exclude=foobar-ebpf", "--bins", "--tests"]);
    executables(cargo)
}

/// The binary `foobar` among what was built.
pub fn foobar(executables: &[Executable]) -> Result<PathBuf> {
    executables
        .iter()
        .find(|executable| executable.name == "foobar" && !executable.test)
        .map(|executable| executable.path.clone())
        .context("cargo has built no binary `foobar`")
}

fn executables(mut cargo: Command) -> Result<Vec<Executable>> {
    let output = cargo
        .arg("--message-format=json-render-diagnostics")
        .stderr(Stdio::inherit())
        .output()
        .context("cannot start cargo; see https://rustup.rs to install it")?;
    if !output.status.success() {
        bail!("the build failed; cargo's messages are above");
    }
    let messages = String::from_utf8(output.stdout).context("cargo's messages are not UTF-8")?;
    messages.lines().filter_map(|line| executable(line).transpose()).collect()
}

/// The executable that a message of cargo announces, if it does.
fn executable(message: &str) -> Result<Option<Executable>> {
    let message: Value = serde_json::from_str(message)
        .with_context(|| format!("a message of cargo is not JSON: {message}"))?;
    let Some(path) = message["executable"].as_str() else { return Ok(None) };
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let manifest = PathBuf::from(text(&message["manifest_path"]));
    Ok(Some(Executable {
        name: text(&message["target"]["name"]),
        kind: text(&message["target"]["kind"][0]),
        test: message["profile"]["test"].as_bool().unwrap_or_default(),
        package: manifest.parent().map(PathBuf::from).unwrap_or_default(),
        path: path.into(),
    }))
}
