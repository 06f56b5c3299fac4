//! `foobar status`: what runs, how, and with which policy.

use std::{
    process::ExitCode,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::Result;
use clap::Args;

use super::{
    lists::lists_text,
    options::{Options, Output},
    print,
    table::Table,
};
use crate::{
    control::api::{self, PortStatus},
    live::AttachmentStatus,
};

/// Shows interfaces, attach modes, the policy in force, lists and rates; warnings first.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  foobar status\n  foobar status --output json | jq .policy.generation"
)]
pub struct Status {}

impl Status {
    pub fn run(&self, options: &Options) -> Result<ExitCode> {
        let status = options.ask(async |client| client.status().await)?;
        match options.output {
            Output::Json => print::json(&status)?,
            Output::Text => print::text(&text(&status))?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn text(status: &api::Status) -> String {
    let mut text: String =
        status.warnings.iter().map(|warning| format!("WARNING: {warning}\n")).collect();
    if !text.is_empty() {
        text.push('\n');
    }
    for (name, value) in facts(status) {
        text.push_str(&format!("{name:<12}  {value}\n"));
    }
    for table in [attachments(&status.attachments), lists_text(&status.lists), ports(&status.ports)]
    {
        text.push('\n');
        text.push_str(&table);
    }
    text
}

fn facts(status: &api::Status) -> [(&'static str, String); 9] {
    let api::Status { daemon, policy, packets, flows, mode, .. } = status;
    let reload = match &daemon.config_loaded.error {
        None => format!("{}, read {}", daemon.config.display(), ago(daemon.config_loaded.at)),
        Some(error) => {
            format!("{}, last attempt to read it failed: {error}", daemon.config.display())
        }
    };
    let packets = format!(
        "{} passed/s, {} dropped/s{}",
        rate(packets.passed_rate),
        rate(packets.dropped_rate),
        if mode == "audit" {
            format!(", {} audited/s", rate(packets.audited_rate))
        } else {
            String::new()
        },
    );
    [
        (
            "foobar",
            format!("{}, pid {}, started {}", daemon.version, daemon.pid, ago(daemon.started_at)),
        ),
        ("mode", mode.clone()),
        (
            "policy",
            format!(
                "generation {}, {}, in force since {}",
                policy.generation,
                if policy.rules == 1 {
                    "1 rule".to_owned()
                } else {
                    format!("{} rules", policy.rules)
                },
                ago(policy.applied_at)
            ),
        ),
        ("last change", policy.change.clone()),
        ("config", reload),
        ("metrics", daemon.metrics.clone()),
        ("privileges", privileges(daemon)),
        ("packets", packets),
        ("own flows", format!("{} of {}", flows.entries, flows.max_entries)),
    ]
}

/// What the daemon may still do.
fn privileges(daemon: &api::DaemonStatus) -> String {
    match daemon.capabilities.len() {
        0 => "not told".to_owned(),
        1..=8 => daemon.capabilities.join(", "),
        many => format!("{many} capabilities"),
    }
}

fn attachments(attachments: &[AttachmentStatus]) -> String {
    let mut table = Table::new(&["INTERFACE", "PROGRAM", "MODE", "ATTACHED", "NOTE"], &[]);
    for AttachmentStatus { interface, program, mode, attached, note, .. } in attachments {
        table.row([
            interface.clone(),
            program.clone(),
            mode.clone(),
            if *attached { "yes" } else { "NO" }.to_owned(),
            note.clone().unwrap_or_default(),
        ]);
    }
    table.render()
}

fn ports(ports: &[PortStatus]) -> String {
    let heading = [
        "PORT",
        "PASSED/S",
        "DROPPED/S",
        "ACCEPTED",
        "ACCEPTED/S",
        "OPEN",
        "REQUESTS/S",
        "COUNTED BY",
    ];
    let mut table = Table::new(&heading, &[0, 1, 2, 3, 4, 5, 6]);
    for port in ports {
        table.row([
            port.port.clone(),
            rate(port.passed_rate),
            rate(port.dropped_rate),
            port.accepted.to_string(),
            rate(port.accepted_rate),
            port.open.to_string(),
            port.requests_rate.map_or("-".to_owned(), rate),
            counted_by(port),
        ]);
    }
    table.render()
}

/// What counts a port's requests, and how far to rely on it.
fn counted_by(port: &PortStatus) -> String {
    match (&port.requests_source, &port.requests_tier) {
        (Some(source), Some(tier)) => format!("{source} ({tier})"),
        _ => "-".to_owned(),
    }
}

/// A rate with at least two digits and a unit: 0, 1.2, 340, 12.3k, 4.5M.
fn rate(per_second: f64) -> String {
    match per_second {
        rate if rate >= 999_950.0 => format!("{:.1}M", rate / 1e6),
        rate if rate >= 9_999.5 => format!("{:.1}k", rate / 1e3),
        rate if rate >= 99.95 => format!("{rate:.0}"),
        rate if rate >= 0.05 => format!("{rate:.1}"),
        rate if rate > 0.0 => "<0.1".to_owned(),
        _ => "0".to_owned(),
    }
}

/// How long ago a moment was, in its two largest units.
fn ago(seconds: u64) -> String {
    let then = UNIX_EPOCH + Duration::from_secs(seconds);
    let age = SystemTime::now().duration_since(then).unwrap_or_default().as_secs();
    let text = humantime::format_duration(Duration::from_secs(age)).to_string();
    if age == 0 {
        return "just now".to_owned();
    }
    format!("{} ago", text.split(' ').take(2).collect::<Vec<_>>().join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_short() {
        let rates =
            [0.0, 0.04, 1.23, 99.9, 340.4, 9_999.0, 12_345.0, 999_949.0, 4_500_000.0].map(rate);
        assert_eq!(rates, ["0", "<0.1", "1.2", "99.9", "340", "9999", "12.3k", "999.9k", "4.5M"]);
    }
}
