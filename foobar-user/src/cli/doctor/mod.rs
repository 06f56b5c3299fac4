//! `foobar doctor`: what of this machine keeps foobar from working, or from working well, and what to do about it.
//!
//! - [`kernel`]: what the kernel offers, and how it is set.
//! - [`devices`]: drivers, modes, queues, other people's programs.
//! - [`host`]: what is on disk and in the BPF file system, the clock, the configuration.
//! - [`daemon`]: the daemon, its rights, who can read the metrics.

mod daemon;
mod devices;
mod host;
mod kernel;

use std::{path::PathBuf, process::ExitCode};

use anyhow::Result;
use clap::Args;
use serde::Serialize;

use super::{
    options::{Options, Output},
    print,
};
use crate::{
    kernel as system,
    policy::{Config, config::Interfaces},
};

/// Where the configuration is unless told otherwise.
const CONFIGURATION: &str = "/etc/foobar/foobar.toml";

/// Looks at the kernel, the folders and the daemon, and says what to do about each shortcoming; exit code 1 if one is serious.
///
/// Needs no running daemon and changes nothing.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  foobar doctor
  foobar doctor --config /etc/foobar/foobar.toml --interface eth1
  foobar doctor --output json | jq '.[] | select(.grade != \"ok\")'")]
pub struct Doctor {
    /// The configuration file; that of the running daemon, or /etc/foobar/foobar.toml, if it is not given
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Looks at these interfaces instead of those of the daemon or the configuration; a name, a pattern or `default`
    #[arg(long = "interface", value_name = "NAME")]
    interfaces: Vec<String>,
}

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Grade {
    /// As it should be.
    Ok,
    /// It works, but not as well as it could.
    Warning,
    /// It does not work.
    Error,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Finding {
    /// What was looked at.
    subject: String,
    grade: Grade,
    /// What was found.
    found: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    remedy: Option<String>,
}

impl Finding {
    fn ok(subject: impl Into<String>, found: impl Into<String>) -> Self {
        Self { subject: subject.into(), grade: Grade::Ok, found: found.into(), remedy: None }
    }

    fn warning(
        subject: impl Into<String>,
        found: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self {
            subject: subject.into(),
            grade: Grade::Warning,
            found: found.into(),
            remedy: Some(remedy.into()),
        }
    }

    fn error(
        subject: impl Into<String>,
        found: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self { grade: Grade::Error, ..Self::warning(subject, found, remedy) }
    }
}

impl Doctor {
    pub fn run(&self, options: &Options) -> Result<ExitCode> {
        let findings = self.examine(options);
        let serious = findings.iter().any(|finding| finding.grade == Grade::Error);
        match options.output {
            Output::Json => print::json(&findings)?,
            Output::Text => print::text(&text(&findings))?,
        }
        Ok(if serious { ExitCode::FAILURE } else { ExitCode::SUCCESS })
    }

    fn examine(&self, options: &Options) -> Vec<Finding> {
        let features = system::probe();
        let status = options.ask(async |client| client.status().await);
        let running = status.as_ref().ok();
        let path =
            self.config.clone().or_else(|| running.map(|status| status.daemon.config.clone()));
        let (configuration, config) = host::of_configuration(path.as_deref());
        let mut findings = kernel::of_kernel(&features);
        findings.push(host::of_bpffs(&features, &options.bpf_dir));
        findings.push(host::of_clock(system::clock_is_synchronised()));
        findings.push(configuration);
        findings.push(host::of_state(&options.state_dir));
        findings.push(host::of_pins(&options.bpf_dir));
        findings.push(daemon::of_daemon(&status));
        findings.extend(running.map(daemon::of_privileges));
        findings.extend(running.and_then(daemon::of_requests));
        findings.extend(config.as_ref().and_then(daemon::of_metrics));
        let wanted = self.wanted(running, config.as_ref());
        findings.extend(devices::of_devices(&options.bpf_dir, &wanted, running));
        findings
    }

    /// The interfaces to look at: those that are asked for, filtered, or configured.
    fn wanted(
        &self,
        running: Option<&crate::control::api::Status>,
        config: Option<&Config>,
    ) -> Vec<String> {
        if !self.interfaces.is_empty() {
            return self.interfaces.clone();
        }
        if let Some(status) = running {
            let mut names: Vec<_> =
                status.attachments.iter().map(|attachment| attachment.interface.clone()).collect();
            names.dedup();
            return names;
        }
        match config.map(|config| &config.interfaces) {
            Some(Interfaces::Patterns(patterns)) => patterns.clone(),
            Some(Interfaces::Default) | None => vec!["default".to_owned()],
        }
    }
}

fn text(findings: &[Finding]) -> String {
    let mut text = String::new();
    for Finding { subject, grade, found, remedy } in findings {
        let grade = match grade {
            Grade::Ok => "ok",
            Grade::Warning => "WARNING",
            Grade::Error => "ERROR",
        };
        text.push_str(&format!("{grade:<8} {subject}: {found}\n"));
        if let Some(remedy) = remedy {
            text.push_str(&format!("         help: {remedy}\n"));
        }
    }
    text
}
