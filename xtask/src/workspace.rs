//! The workspace, and cargo with the environment that it should see.

use std::{
    env,
    ffi::OsStr,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result};

/// The root of the workspace.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask is a folder of the workspace")
}

/// Where set-up remembers what it has seen and tests keep their scratch: `target/xtask`.
pub fn scratch() -> Result<PathBuf> {
    // This program is target/debug/xtask, wherever the user has put the target folder.
    let program = env::current_exe().context("cannot tell where xtask itself is")?;
    let target = program.ancestors().nth(2).context("xtask is not in a target folder")?;
    let scratch = target.join("xtask");
    std::fs::create_dir_all(&scratch)
        .with_context(|| format!("cannot create {}", scratch.display()))?;
    Ok(scratch)
}

/// `cargo` for this workspace: with the environment that the user's own call had. What `cargo
/// run` added for xtask would make builds differ from those that the user starts by hand.
pub fn cargo() -> Command {
    let mut command = Command::new("cargo");
    command.current_dir(root()).env_remove("LD_LIBRARY_PATH");
    for (name, _) in env::vars_os() {
        let text = name.to_string_lossy();
        if ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_", "CARGO_CRATE_", "CARGO_PRIMARY_"]
            .iter()
            .any(|prefix| text.starts_with(prefix))
        {
            command.env_remove(&name);
        }
    }
    command
}

/// A program that has nothing to do with this workspace, such as `rustup` or `cargo install`: no
/// toolchain, target folder, flags or profile of ours, only where cargo and its registry are.
pub fn outside(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    command.current_dir("/").env_remove("LD_LIBRARY_PATH");
    for (name, _) in env::vars_os() {
        let text = name.to_string_lossy();
        let of_cargo = text.starts_with("CARGO_") || text.starts_with("RUST");
        let of_the_machine = [
            "CARGO_HOME",
            "CARGO_HTTP_",
            "CARGO_NET_",
            "CARGO_REGISTR",
            "CARGO_SOURCE_",
            "CARGO_TERM_",
            "RUSTUP_DIST_SERVER",
            "RUSTUP_HOME",
            "RUSTUP_UPDATE_ROOT",
        ]
        .iter()
        .any(|prefix| text.starts_with(prefix));
        if of_cargo && !of_the_machine {
            command.env_remove(&name);
        }
    }
    command
}
