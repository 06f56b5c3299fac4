//! `foobar check`: what is wrong with a configuration, before it is used.

use std::{io, path::PathBuf, process::ExitCode};

use anyhow::Result;
use clap::Args;
use serde_json::json;

use super::{
    options::{Options, Output},
    print,
};
use crate::{
    control::{Access, refusal::explain},
    metrics::Gate,
    policy::{
        Compiler, Config, Diagnostic, Labels, Lists, Policy, Severity, Slots, compile::CompileError,
    },
};

/// Says every error in a configuration and its list files, with line and column; exit code 1 if there is one.
///
/// Needs neither root nor a running daemon, and changes nothing.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  foobar check --config /etc/foobar/foobar.toml")]
pub struct Check {
    /// The configuration file
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
}

/// Tick rate to compile for where none is known: only the size of tokens depends on it.
const ANY_HZ: u64 = 250;

impl Check {
    pub fn run(&self, options: &Options) -> Result<ExitCode> {
        let (summary, diagnostics) = match Config::load(&self.config) {
            Ok(loaded) => match compiles(&loaded.config) {
                Ok(()) => match surroundings(&loaded.config) {
                    found if found.iter().any(|found| found.severity == Severity::Error) => {
                        (None, [loaded.notes, found].concat())
                    }
                    found => (Some(summary(&loaded.config)), [loaded.notes, found].concat()),
                },
                Err(error) => {
                    let mut diagnostics = loaded.notes;
                    diagnostics.push(self.about(&error));
                    (None, diagnostics)
                }
            },
            Err(error) => (None, error.diagnostics),
        };
        let ok = summary.is_some();
        match options.output {
            Output::Json => print::json(&json!({ "ok": ok, "diagnostics": diagnostics }))?,
            Output::Text => {
                let mut text: String =
                    diagnostics.iter().map(|diagnostic| format!("{diagnostic}\n")).collect();
                let verdict = summary.unwrap_or_else(|| errors(&diagnostics));
                text.push_str(&format!("{}: {verdict}\n", self.config.display()));
                print::text(&text)?;
            }
        }
        Ok(if ok { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    fn about(&self, error: &CompileError) -> Diagnostic {
        Diagnostic {
            severity: Severity::Error,
            file: self.config.clone(),
            line: 0,
            column: 0,
            message: error.to_string(),
            help: Some(error.help().to_owned()),
        }
    }
}

/// What reads well may still be more than the tables hold.
fn compiles(config: &Config) -> Result<(), CompileError> {
    let policy = Policy::new(config, Lists::from_config(config), Vec::new(), 0, 1);
    Compiler::new(ANY_HZ).compile(&policy, &mut Labels::new(), &mut Slots::default()).map(|_| ())
}

/// What the configuration names and does not hold itself: the web configuration, the group of the control socket.
fn surroundings(config: &Config) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    let mut tell = |severity, file: PathBuf, message, help| {
        found.push(Diagnostic { severity, file, line: 0, column: 0, message, help });
    };
    if let Some(path) = &config.metrics.web_config
        && let Err(error) = Gate::try_load(Some(path))
    {
        // Keys are root's to read, and this command needs no root.
        let denied = error.chain().any(|cause| {
            cause
                .downcast_ref::<io::Error>()
                .is_some_and(|error| error.kind() == io::ErrorKind::PermissionDenied)
        });
        let severity = if denied { Severity::Note } else { Severity::Error };
        tell(severity, path.clone(), explain(&error), None);
    }
    if let Err(refusal) = Access::of(config.control.group.as_deref()) {
        tell(Severity::Note, PathBuf::from("/etc/group"), refusal.error, refusal.help);
    }
    found
}

fn summary(config: &Config) -> String {
    let entries: usize = config.lists.iter().map(|list| list.entries.len()).sum();
    format!(
        "ok: mode {}, {}, {} with {}",
        config.mode,
        count(config.rules.len(), "rule", "rules"),
        count(config.lists.len(), "list", "lists"),
        count(entries, "entry", "entries"),
    )
}

fn errors(diagnostics: &[Diagnostic]) -> String {
    let errors =
        diagnostics.iter().filter(|diagnostic| diagnostic.severity == Severity::Error).count();
    count(errors, "error", "errors")
}

fn count(number: usize, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}
