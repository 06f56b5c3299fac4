//! `foobar watch`: packets as they pass or are dropped, requests as they are answered.

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
use crate::control::watch::{Event, Line, Request, Suppressed, WatchQuery};

/// Shows packets as the filter judges them, with verdict and reason; or requests as they are answered.
///
/// The kernel tells of at most 1,000 dropped packets, 1,000 passed packets and 1,000 requests a second, for everybody who watches
/// together, so a flood of packets is no flood of lines; how many more there were is counted and shown. While nobody watches, nothing is
/// sampled.
///
/// Requests are those in clear on observed ports ([[observe]] with protocol = "http"): when the final response began, HTTP version,
/// method, status, time from the first byte of the request to the first byte of its response. Nothing else of them is read or
/// shown: no address, path, host, cookie or body. Of HTTP/2, whose headers are compressed, the class of the status is known, the method is not.
///
/// With --output json each line is an object: a packet, a request, or {"suppressed": N} for N that were not shown.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  foobar watch --dropped
  foobar watch --port 443 --count 20
  foobar watch --requests --port 80
  foobar watch --dropped --output json | jq -r 'select(.reason == \"no_rule\").source'")]
pub struct Watch {
    /// Only packets that are dropped, or would be in mode `enforce`
    #[arg(long)]
    dropped: bool,
    /// Requests in clear on observed ports, not packets
    #[arg(long, conflicts_with = "dropped")]
    requests: bool,
    /// Only packets or requests to this port. What was not shown is counted for ports that have counters of their own (`[metrics] ports`)
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    port: Option<u16>,
    /// End after so many packets or requests
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
}

impl Watch {
    pub fn run(&self, options: &Options) -> Result<ExitCode> {
        let query = WatchQuery { dropped: self.dropped, requests: self.requests, port: self.port };
        let what = if self.requests { "request" } else { "packet" };
        let mut left = self.count;
        options.ask(async |client| {
            client
                .watch(&query, |line| {
                    if let (Line::Event(_) | Line::Request(_), Some(left)) = (&line, &mut left) {
                        *left -= 1;
                    }
                    let is_read = print::line(&match options.output {
                        Output::Json => serde_json::to_string(&line)?,
                        Output::Text => text(&line, what),
                    })?;
                    Ok(is_read && left != Some(0))
                })
                .await
        })?;
        match left {
            Some(left) if left > 0 => {
                bail!("the daemon stopped before there were {left} more {what}s to show")
            }
            _ => Ok(ExitCode::SUCCESS),
        }
    }
}

/// A line; `what` is the word for what is watched.
fn text(line: &Line, what: &str) -> String {
    match line {
        Line::Event(event) => packet(event),
        Line::Request(told) => request(told),
        Line::Suppressed(Suppressed { suppressed: 1 }) => format!("... 1 more {what} not shown"),
        Line::Suppressed(Suppressed { suppressed }) => {
            format!("... {suppressed} more {what}s not shown")
        }
    }
}

/// Seconds since 1970 as people write them.
fn moment(time: f64) -> humantime::Rfc3339Timestamp {
    let moment =
        Duration::try_from_secs_f64(time).ok().and_then(|since| UNIX_EPOCH.checked_add(since));
    humantime::format_rfc3339_millis(moment.unwrap_or(UNIX_EPOCH))
}

fn request(request: &Request) -> String {
    let Request { port, http_version, method, status_class, time_to_first_byte, .. } = request;
    let (time, method) = (moment(request.time), method.as_deref().unwrap_or("-"));
    let status = request.status.map_or_else(|| status_class.clone(), |status| status.to_string());
    let answered = time_to_first_byte
        .map_or_else(|| "-".to_owned(), |seconds| format!("{:.3} ms", seconds * 1000.0));
    format!("{time}  port {port:<5}  HTTP/{http_version:<3}  {method:<7}  {status:<7}  {answered}")
}

fn packet(event: &Event) -> String {
    let time = moment(event.time);
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
            text(&Line::Event(Box::new(event.clone())), "packet"),
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
        assert!(text(&Line::Event(Box::new(arp)), "packet").ends_with("  not IP 60 B"));
        assert_eq!(
            text(&Line::Suppressed(Suppressed { suppressed: 12 }), "packet"),
            "... 12 more packets not shown"
        );
    }

    #[test]
    fn requests_are_lines() {
        let request = Request {
            time: 1_700_000_000.25,
            port: 8080,
            http_version: "1.1".to_owned(),
            method: Some("GET".to_owned()),
            status: Some(200),
            status_class: "2xx".to_owned(),
            time_to_first_byte: Some(0.0519),
        };
        assert_eq!(
            text(&Line::Request(request.clone()), "request"),
            "2023-11-14T22:13:20.250Z  port 8080   HTTP/1.1  GET      200      51.900 ms"
        );
        let http2 = Request {
            http_version: "2".to_owned(),
            method: None,
            status: None,
            time_to_first_byte: None,
            ..request
        };
        assert_eq!(
            text(&Line::Request(http2), "request"),
            "2023-11-14T22:13:20.250Z  port 8080   HTTP/2    -        2xx      -"
        );
        assert_eq!(
            text(&Line::Suppressed(Suppressed { suppressed: 1 }), "request"),
            "... 1 more request not shown"
        );
    }
}
