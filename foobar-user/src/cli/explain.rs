//! `foobar explain`: what becomes of a packet, and why.

use std::{net::IpAddr, path::PathBuf, process::ExitCode};

use anyhow::Result;
use clap::{Args, CommandFactory as _, error::ErrorKind};

use super::{
    configuration,
    lists::time,
    note,
    options::{Options, Output},
    print, replay,
};
use crate::{
    control::Refusal,
    explain::{Answer, Question, answer::Held},
    kernel::{self, Direction},
    policy::{Config, Lists, Policy, protocol::Protocol},
    replay::judge::Judge,
};

/// Says what the filter does with a packet, by which rule, list and entry.
///
/// The packet is built and run through the loaded program; nothing is counted or remembered. With --config a fresh instance of the
/// program is asked under that configuration instead, and no daemon is needed.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  foobar explain --from 198.51.100.7 --port 22
  foobar explain --from 2001:db8::7 --port 443 --protocol udp
  foobar explain --from 203.0.113.9 --protocol icmp --output json
  foobar explain --config new.toml --from 198.51.100.7 --port 22")]
pub struct Explain {
    /// Where the packet comes from
    #[arg(long, value_name = "IP")]
    from: IpAddr,
    /// The port that it goes to; needed for tcp and udp
    #[arg(long, value_name = "N")]
    port: Option<u16>,
    /// tcp (a SYN), udp, icmp or icmpv6 (an echo request), another name or a number
    #[arg(long, value_name = "P", default_value = "tcp")]
    protocol: String,
    /// Where it goes to; an address of this server by default
    #[arg(long, value_name = "IP")]
    to: Option<IpAddr>,
    /// Ask a fresh instance of the program under this configuration instead of the running filter
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl Explain {
    pub fn run(&self, options: &Options) -> Result<ExitCode> {
        self.check_usage();
        let question = Question {
            from: self.from,
            to: self.to,
            protocol: Some(self.protocol.clone()),
            port: self.port,
        };
        let answer = match &self.config {
            None => options.ask(async |client| client.explain(&question).await)?,
            Some(path) => {
                let config = configuration::load(path, options.output)?;
                note::tell(
                    options.output,
                    &format!(
                        "asked of a fresh instance under {}, not of the running filter",
                        path.display()
                    ),
                );
                of_configuration(&config, &question)?
            }
        };
        match options.output {
            Output::Json => print::json(&answer)?,
            Output::Text => print::text(&text(&answer))?,
        }
        Ok(ExitCode::SUCCESS)
    }

    /// What can be told from the command line alone is a mistake of usage.
    fn check_usage(&self) {
        let usage = |kind, problem: String| {
            let mut all = super::Cli::command();
            all.build();
            let mut explain = all.find_subcommand("explain").cloned().unwrap_or(all);
            explain.error(kind, problem).exit()
        };
        match self.protocol.parse::<Protocol>() {
            Err(error) => usage(ErrorKind::ValueValidation, format!("--protocol: {error}")),
            Ok(protocol) if protocol.has_ports() && self.port.is_none() => usage(
                ErrorKind::MissingRequiredArgument,
                format!("{protocol} has ports: give one with --port, or another --protocol"),
            ),
            Ok(_) => {}
        }
    }
}

/// Asks a fresh instance.
fn of_configuration(config: &Config, question: &Question) -> Result<Answer> {
    let own = kernel::own_addresses()?;
    let packet = match question.packet(&own) {
        Ok(packet) => packet,
        Err(error) => return Err(Refusal::invalid(error.to_string()).help(error.help).into()),
    };
    replay::needs_root()?;
    let judge = Judge::load(config, own.clone())?;
    let finding = judge.judge(Direction::Ingress, &mut packet.frame(), 0)?;
    let policy = Policy::new(config, Lists::from_config(config), own, 1, 1);
    Ok(Answer { generation: None, ..Answer::new(&packet, &policy, &finding) })
}

fn text(answer: &Answer) -> String {
    let Answer {
        packet,
        verdict,
        reason,
        explanation,
        rule,
        source_in,
        rules_for_port,
        mode,
        audited,
        generation,
        ..
    } = answer;
    let decisive = answer.decisive();
    let mut text = format!("{verdict}: {explanation}\n");
    let mut fact = |name: &str, value: String| text.push_str(&format!("  {name:<12}  {value}\n"));
    fact("packet", packet.clone());
    fact("reason", reason.clone());
    fact("rule", rule.clone().unwrap_or_else(|| "none".to_owned()));
    fact("entry", decisive.map_or_else(|| "none".to_owned(), entry));
    for other in source_in.iter().filter(|other| Some(*other) != decisive) {
        fact("also in", entry(other));
    }
    let rules =
        if rules_for_port.is_empty() { "none".to_owned() } else { rules_for_port.join(", ") };
    fact("port's rules", rules);
    let nevertheless =
        if *audited { " (it passes nevertheless, and is counted as audited)" } else { "" };
    fact("mode", format!("{mode}{nevertheless}"));
    if let Some(generation) = generation {
        fact("generation", generation.to_string());
    }
    text
}

/// `203.0.113.0/24 of blocklist abuse (runtime, until ..., scans)`.
fn entry(held: &Held) -> String {
    let Held { kind, list, entry, origin, comment, expires_at } = held;
    let until = expires_at.map(|end| format!("until {}", time(end)));
    let details: Vec<_> =
        [Some(origin.clone()), until, comment.clone()].into_iter().flatten().collect();
    format!("{entry} of {kind}list {list} ({})", details.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(entry: &str) -> Held {
        Held {
            kind: "block".to_owned(),
            list: "abuse".to_owned(),
            entry: entry.to_owned(),
            origin: "runtime".to_owned(),
            comment: Some("scans".to_owned()),
            expires_at: Some(86_400),
        }
    }

    #[test]
    fn the_answer_says_what_decided_first() {
        let answer = Answer {
            packet: "tcp 203.0.113.77:50000 > 192.0.2.1:22 (SYN)".to_owned(),
            verdict: "drop".to_owned(),
            reason: "blocklist".to_owned(),
            explanation: "The source is on a blocklist.".to_owned(),
            rule: None,
            list: Some("abuse".to_owned()),
            entry: Some("203.0.113.77".to_owned()),
            source_in: vec![
                held("203.0.113.77"),
                Held { comment: None, expires_at: None, ..held("203.0.113.0/24") },
            ],
            rules_for_port: vec!["ssh".to_owned(), "all-ssh".to_owned()],
            mode: "audit".to_owned(),
            audited: true,
            generation: Some(7),
        };
        let expected = "\
drop: The source is on a blocklist.
  packet        tcp 203.0.113.77:50000 > 192.0.2.1:22 (SYN)
  reason        blocklist
  rule          none
  entry         203.0.113.77 of blocklist abuse (runtime, until 1970-01-02T00:00:00Z, scans)
  also in       203.0.113.0/24 of blocklist abuse (runtime)
  port's rules  ssh, all-ssh
  mode          audit (it passes nevertheless, and is counted as audited)
  generation    7
";
        assert_eq!(text(&answer), expected);
    }
}
