//! Random tests for as long as one likes: the kernel programs against the model, and broken input against the daemon.

use std::{
    process::Stdio,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context as _, Result, bail};

use crate::{
    build::{self, Executable},
    command, setup,
};

/// Frames of one run of the property test: some ten seconds in a debug build.
const FRAMES: u64 = 20_000;

/// Arguments of `cargo xtask fuzz`.
#[derive(clap::Args)]
pub struct Args {
    /// Where to start; the runs after the first count up from here. Without it, the clock decides
    #[arg(long)]
    seed: Option<u64>,
    /// How long; the run that is under way is ended properly
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Instead of frames: so many broken control requests to a running daemon, and as many broken configurations
    #[arg(long, value_name = "NUMBER", num_args = 0..=1, default_missing_value = "1000000", conflicts_with_all = ["seed", "seconds"])]
    control: Option<u32>,
}

/// Runs the property test again and again, each time with another seed. It is an error if the kernel and the model disagree.
pub fn fuzz(args: &Args) -> Result<()> {
    if !command::is_root() {
        bail!(
            "the frames run through programs in the kernel, which only root may load; run it as root"
        );
    }
    setup::kernel_toolchain()?;
    let built = build::tests()?;
    if let Some(number) = args.control {
        return control(&built, number);
    }
    let model =
        built.iter().find(|executable| executable.kind == "test" && executable.name == "model");
    let model = model.context("cargo has built no test binary `model`")?;
    let begin = Instant::now();
    let mut seed = args.seed.unwrap_or_else(seed_of_the_clock);
    let mut runs = 0;
    while runs == 0 || begin.elapsed() < Duration::from_secs(args.seconds) {
        println!("fuzz: seed {seed}, {FRAMES} frames");
        let mut test = std::process::Command::new(&model.path);
        test.args(["--exact", "the_kernel_agrees_with_the_model", "--nocapture"])
            .env("FOOBAR_SEED", seed.to_string())
            .env("FOOBAR_FRAMES", FRAMES.to_string())
            .current_dir(&model.package)
            .stdin(Stdio::null());
        command::run(&mut test).with_context(|| {
            format!("the kernel and the model disagree; `cargo xtask fuzz --seed {seed} --seconds 0` repeats it")
        })?;
        seed = seed.wrapping_add(1);
        runs += 1;
    }
    println!(
        "fuzz: {runs} runs, {} frames in {:.0} s, no disagreement",
        runs * FRAMES,
        begin.elapsed().as_secs_f64()
    );
    Ok(())
}

/// Broken requests and configurations: none may make foobar panic.
fn control(built: &[Executable], number: u32) -> Result<()> {
    let number = number.to_string();
    let foobar = build::foobar(built)?;
    for (name, kind, test, variable) in [
        ("mutated", "test", "slow_whatever_is_asked_the_daemon_goes_on", "FOOBAR_REQUESTS"),
        (
            "foobar_user",
            "lib",
            "policy::config::tests::mutated::nothing_panics",
            "FOOBAR_CONFIGURATIONS",
        ),
    ] {
        let built = built.iter().find(|built| built.kind == kind && built.name == name);
        let built = built.with_context(|| format!("cargo has built no test binary `{name}`"))?;
        let mut command = std::process::Command::new(&built.path);
        command
            .args(["--exact", test, "--nocapture"])
            .env(variable, &number)
            .env("FOOBAR_BIN", &foobar)
            .env("PATH", command::search_path())
            .current_dir(&built.package)
            .stdin(Stdio::null());
        command::run(&mut command)?;
    }
    Ok(())
}

fn seed_of_the_clock() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    // Below 2^53, so that it survives any tool that takes numbers for floating-point ones.
    now.as_millis() as u64
}
