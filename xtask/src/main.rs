//! Set-up, build and test of foobar: `cargo xtask --help`.

mod bench;
mod build;
mod command;
mod deny;
mod dist;
mod fuzz;
mod lint;
mod mutants;
mod run;
mod setup;
mod site;
mod soak;
mod test;
mod vm_test;
mod workspace;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

/// Set-up, build and test of foobar.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", disable_help_subcommand = true)]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Brings the compiler for the kernel programs; silent when all is there
    Setup(setup::Args),
    /// Builds the release binary, kernel programs included
    Build,
    /// Builds foobar and runs it; without arguments in audit mode, so that nothing is dropped
    Run(run::Args),
    /// Runs the tests, those that need the kernel or a web server included
    Test(test::Args),
    /// Runs test binaries under other Debian kernels, each in a virtual machine
    VmTest(vm_test::Args),
    /// Runs random frames through the kernel programs and the model, for as long as you like
    Fuzz(fuzz::Args),
    /// Breaks parser and compiler in ten ways, in a copy, and demands that the tests notice each
    Mutants(mutants::Args),
    /// Shows the site www.foobar.com: load balancer, web servers, database, monitor, foobar on each
    Site(site::Args),
    /// Kills the daemon under load a thousand times: no packet may be misfiltered or lost from the counters
    Soak(soak::Args),
    /// Makes the Debian package, with manual pages and completions, and prints where it is
    Dist(dist::Args),
    /// Measures foobar beside its peers
    Bench(bench::Args),
    /// Checks format and lints, of the kernel programs too
    Lint,
    /// Checks licences, sources and known flaws of the dependencies
    Deny,
    /// What .ci/run does: lint, deny, then test
    Ci,
}

fn main() -> ExitCode {
    perform(Cli::parse().task).unwrap_or_else(|error| {
        eprintln!("xtask: {error:#}");
        ExitCode::FAILURE
    })
}

fn perform(task: Task) -> Result<ExitCode> {
    match task {
        Task::Setup(args) => setup::setup(&args)?,
        Task::Build => println!("{}", build::release()?.display()),
        Task::Run(args) => run::run(&args)?,
        Task::Test(args) => return test::test(&args),
        Task::VmTest(args) => vm_test::vm_test(&args)?,
        Task::Fuzz(args) => fuzz::fuzz(&args)?,
        Task::Mutants(args) => mutants::mutants(&args)?,
        Task::Site(args) => site::site(&args)?,
        Task::Soak(args) => soak::soak(&args)?,
        Task::Dist(args) => println!("{}", dist::dist(&args)?.display()),
        Task::Bench(args) => bench::bench(&args)?,
        Task::Lint => lint::lint()?,
        Task::Deny => deny::deny()?,
        Task::Ci => return ci(),
    }
    Ok(ExitCode::SUCCESS)
}

/// Lint and dependencies, and whatever comes of it, the tests; their exit code counts first.
fn ci() -> Result<ExitCode> {
    let lint = lint::lint().and_then(|()| deny::deny());
    let tests = test::test(&test::Args::default())?;
    if tests == ExitCode::SUCCESS {
        lint?;
    } else if let Err(error) = lint {
        eprintln!("xtask: {error:#}");
    }
    Ok(tests)
}
