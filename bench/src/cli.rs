//! The command line.

use std::{
    fs,
    path::PathBuf,
    process::ExitCode,
    time::{Instant, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context as _, Result, ensure};
use clap::{Parser, ValueEnum};
use foobar_user::kernel::KernelError;

use crate::{
    attempt::attempt,
    changes, goals, live,
    machine::Machine,
    observer, packet, report,
    results::{Results, Table},
    scale, scrape, service,
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
    /// Brings the document and its pictures in this folder up to date
    #[arg(long, value_name = "FOLDER")]
    update_docs: Option<PathBuf>,
    /// In the part `packet`: only cases or subjects with this in their name; may be given several times
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
    /// Nanoseconds a packet, by BPF_PROG_TEST_RUN, beside xdp-filter
    Packet,
    /// Nanoseconds for parts of a filter's work, each in the least program that does it: what a goal cannot go below
    Ladder,
    /// Nanoseconds, memory and time to load over the number of prefixes; nanoseconds over the number of rules
    Scale,
    /// Live packets dropped: foobar, xdp-filter, nftables, iptables with ipset
    Live,
    /// nginx while a million packets a second are dropped
    Service,
    /// Lists replaced and entries added: foobar, nftables, ipset
    Policy,
    /// nginx with the observer off, counting connections, observing requests
    Observer,
    /// The page /metrics, idle and under flood
    Scrape,
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
        goals: Vec::new(),
        failed: Vec::new(),
    };
    for name in names {
        let begin = Instant::now();
        // On a thread of its own: a part may keep its thread on one CPU, which children would inherit.
        let measured =
            std::thread::scope(|scope| scope.spawn(|| attempt(|| measure(*name, args))).join());
        match measured.unwrap_or_else(|_| Err(anyhow::anyhow!("it panicked"))) {
            Ok(tables) => {
                if matches!(args.output, Output::Text) {
                    tables.iter().for_each(report::print);
                }
                results.tables.extend(tables);
            }
            // One part that cannot be measured does not take the others with it.
            Err(error) => results.failed.push(format!("{}: {error:#}", name.word())),
        }
        eprintln!("bench: {} took {:.0} s", name.word(), begin.elapsed().as_secs_f64());
    }
    results.goals = goals::all(&results);
    if matches!(args.output, Output::Text) {
        report::print_goals(&results.goals);
    }
    let json = serde_json::to_string_pretty(&results)?;
    if matches!(args.output, Output::Json) {
        println!("{json}");
    }
    if let Some(file) = &args.save {
        fs::write(file, json).with_context(|| format!("cannot write {}", file.display()))?;
    }
    if let Some(folder) = &args.update_docs {
        report::document::update(folder, &results)?;
    }
    ensure!(results.failed.is_empty(), "not measured: {}", results.failed.join("\n"));
    Ok(())
}

impl Name {
    /// As on the command line.
    fn word(self) -> String {
        self.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
    }
}

fn measure(name: Name, args: &Args) -> Result<Vec<Table>> {
    let quick = args.quick;
    let effort = if quick { packet::Effort::QUICK } else { packet::Effort::FULL };
    match name {
        Name::Packet => Ok(vec![packet::measure(effort, &args.only)?]),
        Name::Ladder => Ok(vec![packet::ladder(effort)?]),
        Name::Scale => scale::measure(quick),
        Name::Live => live::measure(quick),
        Name::Service => service::measure(quick),
        Name::Policy => changes::measure(quick),
        Name::Observer => observer::measure(quick),
        Name::Scrape => scrape::measure(quick),
    }
}
