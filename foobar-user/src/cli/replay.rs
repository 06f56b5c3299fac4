//! `foobar replay`: a capture through the real programs, before a configuration is deployed.

use std::{
    fmt,
    io::{self, BufWriter, Write as _},
    path::PathBuf,
    process::ExitCode,
};

use anyhow::{Context as _, Result, bail};
use clap::{Args, ValueEnum};
use serde_json::json;

use super::{
    configuration, note,
    options::{Options, Output},
    print,
    table::Table,
};
use crate::{
    control::Refusal,
    kernel,
    policy::{Config, model::Mode},
    replay::{
        capture::Capture,
        direction::{Address, Local},
        judge::Judge,
        record::Line,
        run,
        tally::Summary,
    },
};

/// Runs a capture through a fresh instance of the real kernel programs under a configuration: verdicts before it is deployed.
///
/// The running filter is untouched. Frames that the server sent itself run through the egress program, so that replies to them are
/// known; all others run through the ingress program, in the capture's order and with the capture's time. The verdicts are those of
/// mode `enforce`; under a configuration with `mode = "audit"` dropped frames are marked as audited. Lists are those of the
/// configuration, without what was changed at runtime.
///
/// With --output json each line is an object with the fields index, direction, verdict, reason, and, where they say something: rule,
/// audited (true), truncated (true), against (an object with verdict, reason and rule). The summary and notes go to standard error.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  foobar replay --config new.toml --local 192.0.2.1 --local 2001:db8::1 capture.pcap
  foobar replay --config new.toml --local 02:00:00:00:00:01 --output json capture.pcapng | jq 'select(.verdict == \"drop\")'
  foobar replay --config new.toml --against /etc/foobar/foobar.toml --fail-on drop customers.pcap
  tcpdump -i eth0 -c 1000 -w - | foobar replay --config new.toml --local 192.0.2.1 -")]
pub struct Replay {
    /// The configuration file
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// An address of the server, IP or MAC; may be repeated. A frame is the server's own by its source MAC address where one is
    /// given, else by its source IP address; a frame from outside with one of the IP addresses as its source is a martian
    #[arg(long = "local", value_name = "IP|MAC")]
    local: Vec<Address>,
    /// Exit with code 1 if a frame has this verdict (with --against: if it has it under --config alone)
    #[arg(long, value_name = "VERDICT", value_enum)]
    fail_on: Option<FailOn>,
    /// Another configuration: prints only the frames whose verdict, reason or rule differs between the two
    #[arg(long, value_name = "FILE")]
    against: Option<PathBuf>,
    /// A pcap or pcapng file; `-` is standard input
    #[arg(value_name = "CAPTURE")]
    capture: PathBuf,
}

/// A verdict that makes a replay fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum FailOn {
    /// Some frame is dropped
    Drop,
    /// Some frame passes
    Pass,
}

impl FailOn {
    fn word(self) -> &'static str {
        match self {
            FailOn::Drop => "drop",
            FailOn::Pass => "pass",
        }
    }
}

impl Replay {
    pub fn run(&self, options: &Options) -> Result<ExitCode> {
        let config = configuration::load(&self.config, options.output)?;
        let against = self
            .against
            .as_ref()
            .map(|path| configuration::load(path, options.output))
            .transpose()?;
        let mut capture = Capture::open(&self.capture)?;
        needs_root()?;

        let local = Local::new(self.local.iter().copied());
        if local.is_empty() {
            note::tell(
                options.output,
                "without --local every frame counts as one that arrives, and no reply is known",
            );
        }
        let load = |config: &Config| Judge::load(config, local.addresses());
        let judge = load(&config)?;
        let other = against.as_ref().map(load).transpose()?;
        let replay = run::Replay {
            judge: &judge,
            against: other.as_ref(),
            local: &local,
            audit: config.mode == Mode::Audit,
            hz: kernel::hz(),
        };

        let mut lines = Lines::new(options.output);
        let mut failures = Failures::new(self.fail_on);
        let summary = replay.run(&mut capture, &mut |line, frame| {
            failures.look(line);
            lines.print(line, frame)
        });
        for text in capture.notes() {
            note::tell(options.output, &text);
        }
        lines.finish()?;
        tell_summary(&summary?, options.output)?;
        failures.verdict()?;
        Ok(ExitCode::SUCCESS)
    }
}

/// Says plainly what is needed, before the kernel refuses deep inside.
pub fn needs_root() -> Result<()> {
    let missing = kernel::probe().missing_capabilities;
    if missing.is_empty() {
        return Ok(());
    }
    let refusal = Refusal::failed(format!(
        "this needs root, because the verdicts are those of the real programs, which are loaded into the kernel (nothing is attached; \
         {} missing)",
        missing.join(", ")
    ));
    Err(refusal.help("try it with sudo").into())
}

/// Standard output, line by line.
struct Lines {
    output: Output,
    stream: BufWriter<io::Stdout>,
    /// The reader went away, as in `foobar replay ... | head`.
    closed: bool,
}

impl Lines {
    fn new(output: Output) -> Self {
        Self { output, stream: BufWriter::with_capacity(1 << 16, io::stdout()), closed: false }
    }

    /// Returns whether anybody still reads.
    fn print(&mut self, line: &Line<'_>, frame: &dyn fmt::Display) -> Result<bool> {
        let written = match self.output {
            Output::Json => serde_json::to_writer(&mut self.stream, line)
                .map_err(io::Error::from)
                .and_then(|()| writeln!(self.stream)),
            Output::Text => writeln!(self.stream, "{}", line.text(frame)),
        };
        self.check(written)?;
        Ok(!self.closed)
    }

    fn finish(&mut self) -> Result<()> {
        let flushed = if self.closed { Ok(()) } else { self.stream.flush() };
        self.check(flushed)
    }

    fn check(&mut self, written: io::Result<()>) -> Result<()> {
        match written {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => self.closed = true,
            other => other.context("cannot write to standard output")?,
        }
        Ok(())
    }
}

/// Frames that have the verdict of --fail-on.
struct Failures {
    on: Option<FailOn>,
    frames: u64,
    first: Option<(u64, &'static str)>,
}

impl Failures {
    fn new(on: Option<FailOn>) -> Self {
        Self { on, frames: 0, first: None }
    }

    fn look(&mut self, line: &Line<'_>) {
        let Some(word) = self.on.map(FailOn::word) else { return };
        if line.told.verdict == word && line.against.is_none_or(|against| against.verdict != word) {
            self.frames += 1;
            self.first.get_or_insert((line.index, line.told.reason));
        }
    }

    fn verdict(&self) -> Result<()> {
        let (Some(on), Some((index, reason))) = (self.on, self.first) else { return Ok(()) };
        bail!(
            "--fail-on {}: {} with this verdict, the first at index {index} ({reason})",
            on.word(),
            frames(self.frames)
        )
    }
}

fn frames(count: u64) -> String {
    format!("{count} {}", if count == 1 { "frame" } else { "frames" })
}

/// Text goes behind the lines; JSON goes to standard error, so that standard output has one kind of object.
fn tell_summary(summary: &Summary, output: Output) -> Result<()> {
    match output {
        Output::Json => {
            eprintln!("{}", json!({ "summary": summary }));
            Ok(())
        }
        Output::Text => print::text(&summary_text(summary)),
    }
}

fn summary_text(summary: &Summary) -> String {
    let Summary { frames: total, passed, dropped, reasons, changed } = summary;
    let mut table = Table::new(&["VERDICT", "REASON", "FRAMES"], &[2]);
    for count in reasons {
        table.row([count.verdict.to_owned(), count.reason.to_owned(), count.frames.to_string()]);
    }
    let changed = changed
        .map_or_else(String::new, |changed| format!("; {} judged differently", frames(changed)));
    format!("\n{}\n{}: {passed} pass, {dropped} dropped{changed}\n", table.render(), frames(*total))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::replay::{judge::Finding, record::Told, tally::Tally};
    use foobar_common::reason::Reason;

    fn told(reason: Reason) -> Told<'static> {
        Finding { verdict: reason.verdict(), reason, rule: None }.into()
    }

    fn line(index: u64, reason: Reason, against: Option<Reason>) -> Line<'static> {
        Line {
            index,
            direction: "ingress",
            told: told(reason),
            audited: false,
            truncated: false,
            against: against.map(told),
        }
    }

    #[test]
    fn a_verdict_can_fail_a_pipeline() {
        let lines = [
            line(0, Reason::Rule, None),
            line(1, Reason::NoRule, None),
            line(2, Reason::Blocklist, None),
        ];
        let outcome = |on| {
            let mut failures = Failures::new(on);
            lines.iter().for_each(|line| failures.look(line));
            failures.verdict().map_err(|error| error.to_string())
        };
        assert_eq!(outcome(None), Ok(()));
        assert_eq!(
            outcome(Some(FailOn::Drop)).unwrap_err(),
            "--fail-on drop: 2 frames with this verdict, the first at index 1 (no_rule)"
        );
        assert_eq!(
            outcome(Some(FailOn::Pass)).unwrap_err(),
            "--fail-on pass: 1 frame with this verdict, the first at index 0 (rule)"
        );
    }

    #[test]
    fn against_another_configuration_only_a_new_verdict_fails() {
        let mut failures = Failures::new(Some(FailOn::Drop));
        failures.look(&line(0, Reason::NoRule, Some(Reason::Blocklist)));
        assert!(failures.verdict().is_ok(), "both drop it");
        failures.look(&line(1, Reason::NoRule, Some(Reason::Rule)));
        assert!(failures.verdict().unwrap_err().to_string().contains("index 1 (no_rule)"));
    }

    #[test]
    fn the_summary_is_a_table_and_a_line() {
        let mut tally = Tally::default();
        for reason in [Reason::NoRule, Reason::NoRule, Reason::Rule] {
            tally.count(&Finding { verdict: reason.verdict(), reason, rule: None });
        }
        assert_eq!(
            summary_text(&tally.summary(Some(1))),
            "\nVERDICT  REASON   FRAMES\ndrop     no_rule       2\npass     rule          1\n\n3 frames: 1 pass, 2 dropped; 1 frame judged differently\n"
        );
    }
}
