//! The command line.

use std::{
    fs,
    path::PathBuf,
    process::ExitCode,
    time::{SystemTime, UNIX_EPOCH},
};

use anyhow::{Context as _, Result, ensure};
use clap::{Parser, ValueEnum};
use foobar_user::kernel::KernelError;

use crate::{
    machine::Machine,
    packet, report,
    results::{Results, Table},
};

/// Measures foobar beside its peers. Needs root.
#[derive(Parser)]
#[command(name = "cargo xtask bench", bin_name = "cargo xtask bench", version)]
struct Args {
    /// What to measure; all, if nothing is named
    names: Vec<Name>,
    /// Fewer repetitions: shows whether a change is worth more
    #[arg(long)]
    quick: bool,
    /// Only cases or subjects with this in their name; may be given several times
    #[arg(long, value_name = "TEXT")]
    only: Vec<String>,
    /// How to print the results
    #[arg(long, value_enum, default_value = "text")]
    output: Output,
    /// Where to write the results as JSON as well
    #[arg(long, value_name = "FILE")]
    save: Option<PathBuf>,
}

/// A part of the benchmark.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Name {
    /// Nanoseconds a packet, by BPF_PROG_TEST_RUN
    Packet,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Output {
    Text,
    Json,
}

/// Does what the command line asks for.
pub fn run() -> ExitCode {
    match perform(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error:#}");
            if let Some(help) =
                error.chain().find_map(|error| error.downcast_ref::<KernelError>()?.help())
            {
                eprintln!("  help: {help}");
            }
            ExitCode::FAILURE
        }
    }
}

fn perform(args: &Args) -> Result<()> {
    ensure!(
        nix::unistd::geteuid().is_root(),
        "only root may load programs into the kernel and make network namespaces; run it as root"
    );
    let names = if args.names.is_empty() { Name::value_variants() } else { &args.names };
    let mut results = Results {
        started: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs()),
        quick: args.quick,
        machine: Machine::this(),
        tables: Vec::new(),
    };
    for name in names {
        let tables = measure(*name, args).with_context(|| format!("{name:?}").to_lowercase())?;
        if matches!(args.output, Output::Text) {
            tables.iter().for_each(report::print);
        }
        results.tables.extend(tables);
    }
    let json = serde_json::to_string_pretty(&results)?;
    if matches!(args.output, Output::Json) {
        println!("{json}");
    }
    if let Some(file) = &args.save {
        fs::write(file, json).with_context(|| format!("cannot write {}", file.display()))?;
    }
    Ok(())
}

fn measure(name: Name, args: &Args) -> Result<Vec<Table>> {
    match name {
        Name::Packet => {
            let effort = if args.quick { packet::Effort::QUICK } else { packet::Effort::FULL };
            Ok(vec![packet::measure(effort, &args.only)?])
        }
    }
}
