//! The long version of the test that kills the daemon under load.

use std::{
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};

use crate::{build, command, setup};

/// Kills of one run of the test.
const ROUND: u32 = 100;

/// Arguments of `cargo xtask soak`.
#[derive(clap::Args)]
pub struct Args {
    /// How many kills; the last hundred is done in full
    #[arg(long, default_value_t = 1000)]
    kills: u32,
    /// Instead of a number of kills: how long; the run that is under way is ended properly
    #[arg(long)]
    minutes: Option<u64>,
}

/// Kills a daemon under load again and again. It is an error if a packet was misfiltered, not counted, or a link was made anew.
pub fn soak(args: &Args) -> Result<()> {
    if !command::is_root() {
        bail!("the daemon loads programs into the kernel, which only root may; run it as root");
    }
    setup::kernel_toolchain()?;
    setup::test_tools()?;
    let built = build::tests()?;
    let foobar = build::foobar(&built)?;
    let test = built.iter().find(|built| built.kind == "test" && built.name == "kills");
    let test = test.context("cargo has built no test binary `kills`")?;
    let limit = args.minutes.map(|minutes| Duration::from_secs(60 * minutes));
    let begin = Instant::now();
    let mut kills = 0;
    while limit.map_or(kills < args.kills, |limit| kills == 0 || begin.elapsed() < limit) {
        let mut round = Command::new(&test.path);
        round
            .arg("--nocapture")
            .env("FOOBAR_KILLS", ROUND.to_string())
            .env("FOOBAR_BIN", &foobar)
            .env("PATH", command::search_path())
            .current_dir(&test.package)
            .stdin(Stdio::null());
        command::run(&mut round)
            .with_context(|| format!("it failed after {kills} kills that went well"))?;
        kills += ROUND;
    }
    println!(
        "soak: {kills} kills in {:.0} s, no packet misfiltered",
        begin.elapsed().as_secs_f64()
    );
    Ok(())
}
