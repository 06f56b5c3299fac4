//! Licences, sources and known flaws of the dependencies: `cargo xtask deny`, by the rules in deny.toml.

use anyhow::{Context as _, Result};

use crate::{command, setup, workspace};

/// Checks all that deny.toml says. Known flaws are looked up in RustSec's database, if it can be had.
pub fn deny() -> Result<()> {
    setup::deny_tool()?;
    let run = |arguments: &[&str]| {
        let mut cargo = workspace::cargo();
        cargo.arg("deny").args(["--log-level", "error"]).args(arguments);
        command::run(&mut cargo)
    };
    run(&["check", "licenses", "bans", "sources"])
        .context("a dependency is not what deny.toml allows")?;
    if let Err(error) = run(&["fetch", "db"]) {
        eprintln!(
            "deny: known flaws were not looked up, RustSec's database is out of reach: {error:#}"
        );
        return Ok(());
    }
    run(&["check", "advisories"]).context(
        "a dependency has a known flaw: update it, or say in deny.toml why it is none here",
    )
}
