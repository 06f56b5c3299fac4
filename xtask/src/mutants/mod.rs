//! The mutation check: mistakes are made in the parser and the compiler, in a copy of the workspace, and the tests have to
//! notice each of them.

mod copy;
mod table;

use std::{
    fs,
    path::PathBuf,
    process::{Command, Stdio},
    time::Instant,
};

use anyhow::{Context as _, Result, bail, ensure};

use self::table::{MUTANTS, Mutant};
use crate::{command, setup, workspace};

/// Arguments of `cargo xtask mutants`.
#[derive(clap::Args)]
pub struct Args {
    /// Only mutants whose name contains this
    filter: Option<String>,
    /// Also runs the suites that come after the first that notices
    #[arg(long)]
    all_suites: bool,
}

/// Tests that are asked, the quickest first.
struct Suite {
    name: &'static str,
    arguments: &'static [&'static str],
}

const SUITES: [Suite; 3] = [
    Suite { name: "foobar-common", arguments: &["--package=foobar-common", "--lib"] },
    Suite { name: "policy", arguments: &["--package=foobar-user", "--lib", "policy::"] },
    Suite { name: "prog_run", arguments: &["--package=foobar-tests", "--test=prog_run"] },
];

/// Makes each mutant in turn. It is an error if one is not noticed.
pub fn mutants(args: &Args) -> Result<()> {
    if !command::is_root() {
        bail!(
            "the tests of mutants load programs into the kernel, which only root may; run it as root"
        );
    }
    setup::kernel_toolchain()?;
    let chosen: Vec<&Mutant> = MUTANTS
        .iter()
        .filter(|mutant| args.filter.as_ref().is_none_or(|filter| mutant.name.contains(filter)))
        .collect();
    ensure!(!chosen.is_empty(), "no mutant has such a name; without a name all of them are made");
    let place = Place::prepare()?;
    for suite in &SUITES {
        eprintln!("mutants: {} without a mistake", suite.name);
        place.build(suite)?;
        if place.notices(suite)? {
            bail!("the tests of {} fail without any mutant; mend that first", suite.name);
        }
    }
    let mut survivors = Vec::new();
    for mutant in &chosen {
        let begin = Instant::now();
        let killers = place.killers(mutant, args.all_suites)?;
        let seconds = begin.elapsed().as_secs();
        if killers.is_empty() {
            println!("SURVIVES: {} ({}, {seconds} s)", mutant.name, mutant.file);
            survivors.push(mutant.name);
        } else {
            println!("killed by {}: {} ({seconds} s)", killers.join(", "), mutant.name);
        }
    }
    if !survivors.is_empty() {
        bail!("no test noticed: {}", survivors.join("; "));
    }
    println!("all {} mutants are killed", chosen.len());
    Ok(())
}

/// The copy, and what is built of it. Both stay for the next run, which is quicker then.
struct Place {
    copy: PathBuf,
    target: PathBuf,
}

impl Place {
    fn prepare() -> Result<Self> {
        let folder = workspace::scratch()?.join("mutants");
        let place = Place { copy: folder.join("workspace"), target: folder.join("target") };
        copy::renew(workspace::root(), &place.copy)?;
        Ok(place)
    }

    /// The suites that notice the mutant.
    fn killers(&self, mutant: &Mutant, all_suites: bool) -> Result<Vec<&'static str>> {
        let file = self.copy.join(mutant.file);
        let failed = || format!("cannot break {}", file.display());
        let text = fs::read_to_string(&file).with_context(failed)?;
        ensure!(
            text.matches(mutant.old).count() == 1,
            "the mutant `{}` does not fit {} any more",
            mutant.name,
            mutant.file
        );
        fs::write(&file, text.replace(mutant.old, mutant.new)).with_context(failed)?;
        let killers = self.ask(all_suites);
        fs::write(&file, text).with_context(failed)?;
        killers.with_context(|| format!("the mutant `{}`", mutant.name))
    }

    fn ask(&self, all_suites: bool) -> Result<Vec<&'static str>> {
        let mut killers = Vec::new();
        for suite in &SUITES {
            // A mutant that does not compile would be killed by nobody.
            self.build(suite)?;
            if self.notices(suite)? {
                killers.push(suite.name);
                if !all_suites {
                    break;
                }
            }
        }
        Ok(killers)
    }

    fn build(&self, suite: &Suite) -> Result<()> {
        // A mistake may leave something unused behind: its warnings are of no interest.
        let mut cargo = self.cargo(suite, &["--no-run"]);
        let output = cargo.stdin(Stdio::null()).output().context("cannot start cargo")?;
        if !output.status.success() {
            bail!("{} does not build:\n{}", suite.name, String::from_utf8_lossy(&output.stderr));
        }
        Ok(())
    }

    /// Whether a test fails.
    fn notices(&self, suite: &Suite) -> Result<bool> {
        let mut cargo = self.cargo(suite, &[]);
        let output = cargo.stdin(Stdio::null()).output().context("cannot start cargo")?;
        let text = String::from_utf8_lossy(&output.stdout);
        ensure!(
            text.contains("test result: "),
            "the tests of {} did not run:\n{text}{}",
            suite.name,
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(!output.status.success())
    }

    fn cargo(&self, suite: &Suite, options: &[&str]) -> Command {
        let mut cargo = workspace::cargo();
        cargo
            .current_dir(&self.copy)
            .env("CARGO_TARGET_DIR", &self.target)
            .env("PATH", command::search_path())
            .args(["test", "--quiet"])
            .args(options)
            .args(suite.arguments);
        cargo
    }
}
