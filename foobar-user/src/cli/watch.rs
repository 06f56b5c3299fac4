//! `foobar watch`: packets as they pass or are dropped.

use std::{
    process::ExitCode,
    time::{Duration, UNIX_EPOCH},
};

use anyhow::{Result, bail};
use clap::Args;

use super::{
    options::{Options, Output},
    print,
};
use crate::control::watch::{Event, Line, Suppressed, WatchQuery};

/// Shows packets as the filter judges them, with verdict and reason.
///
/// The kernel tells of at most 1,000 dropped and 1,000 passed packets a second, for everybody who watches together, so a flood of
/// packets is no flood of lines; how many more there were is counted and shown. While nobody watches, nothing is sampled.
///
/// With --output json each line is an object: a packet, or {"suppressed": N} for N packets that were not shown.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  foobar watch --dropped
  foobar watch --port 443 --count 20
  foobar watch --dropped --output json | jq -r 'select(.reason == \"no_rule\").source'")]
pub struct Watch {
    /// Only packets that are dropped, or would be in mode `enforce`
    #[arg(long)]
    dropped: bool,
    /// Only packets to this port. What was not shown is counted for ports that have counters of their own (`[metrics] ports`)
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    port: Option<u16>,
    /// End after so many packets
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
}

impl Watch {
    pub fn run(&self, options: &Options) -> Result<ExitCode> {
        let query = WatchQuery { dropped: self.dropped, port: self.port };
        let mut left = self.count;
        options.ask(async |client| {
            client
                .watch(&query, |line| {
                    if let (Line::Event(_), Some(left)) = (&line, &mut left) {
                        *left -= 1;
                    }
                    let is_read = print::line(&match options.output {
                        Output::Json => serde_json::to_string(&line)?,
                        Output::Text => text(&line),
                    })?;
                    Ok(is_read && left != Some(0))
                })
                .await
        })?;
        match left {
            Some(left) if left > 0 => {
                bail!("the daemon stopped before there were {left} more packets to show")
            }
            _ => Ok(ExitCode::SUCCESS),
        }
    }
}

fn text(line: &Line) -> String {
    match line {
        Line::Event(event) => packet(event),
        Line::Suppressed(Suppressed { suppressed: 1 }) => "... 1 more packet not shown".to_owned(),
        Line::Suppressed(Suppressed { suppressed }) => {
            format!("... {suppressed} more packets not shown")
        }
    }
}

fn packet(event: &Event) -> String {
    let moment = Duration::try_from_secs_f64(event.time)
        .ok()
        .and_then(|since| UNIX_EPOCH.checked_add(since));
    let time = humantime::format_rfc3339_millis(moment.unwrap_or(UNIX_EPOCH));
    let Event {
        interface,
        direction,
        verdict,
        reason,
        rule,
        audited,
        protocol,
        tcp_flags,
        length,
        ..
    } = event;
    let why = [Some(verdict), Some(reason), rule.as_ref()]
        .into_iter()
        .flatten()
        .cloned()
        .collect::<Vec<_>>()
        .join(" ");
    let what = match protocol {
        Some(protocol) => format!("{protocol} {} > {}", event.sender(), event.receiver()),
        None => "not IP".to_owned(),
    };
    let flags = tcp_flags
        .as_ref()
        .filter(|flags| !flags.is_empty())
        .map_or_else(String::new, |flags| format!(" [{flags}]"));
    let audited = if *audited { "  (audit: it passed)" } else { "" };
    format!("{time}  {interface:<8}  {direction:<7}  {why:<30}  {what}{flags} {length} B{audited}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_are_lines() {
        let event = Event {
            time: 1_700_000_000.25,
            interface: "eth0".to_owned(),
            direction: "ingress".to_owned(),
            verdict: "drop".to_owned(),
            reason: "connection_limit".to_owned(),
            rule: Some("ssh".to_owned()),
            audited: true,
            protocol: Some("tcp".to_owned()),
            source: Some("2001:db8::7".to_owned()),
            source_port: Some(51_000),
            destination: Some("2001:db8::1".to_owned()),
            destination_port: Some(22),
            tcp_flags: Some("SYN".to_owned()),
            length: 94,
            ..Event::default()
        };
        assert_eq!(
            text(&Line::Event(Box::new(event.clone()))),
            "2023-11-14T22:13:20.250Z  eth0      ingress  drop connection_limit ssh       tcp [2001:db8::7]:51000 > [2001:db8::1]:22 [SYN] 94 B  (audit: it passed)"
        );
        let arp = Event {
            protocol: None,
            rule: None,
            audited: false,
            tcp_flags: None,
            length: 60,
            ..event
        };
        assert!(text(&Line::Event(Box::new(arp))).ends_with("  not IP 60 B"));
        assert_eq!(
            text(&Line::Suppressed(Suppressed { suppressed: 12 })),
            "... 12 more packets not shown"
        );
    }
}
