//! `cargo test` with a last line over all test binaries, as nextest prints one.

use std::{
    io::{BufRead as _, BufReader},
    ops::AddAssign,
    process::{Command, ExitStatus, Stdio},
};

use anyhow::{Context as _, Result};

/// How many tests ended how.
#[derive(Debug, Default, PartialEq, Eq)]
struct Results {
    passed: u64,
    failed: u64,
    ignored: u64,
}

/// Runs `cargo test`, its output on ours, and closes with the sum over its test binaries.
pub fn run(mut cargo_test: Command) -> Result<ExitStatus> {
    let mut child = cargo_test.stdout(Stdio::piped()).spawn().context("cannot start cargo test")?;
    let stdout = child.stdout.take().context("cargo test has no output")?;
    let mut sum = Results::default();
    for line in BufReader::new(stdout).lines() {
        let line = line.context("cannot read the output of cargo test")?;
        println!("{line}");
        if let Some(results) = Results::parse(&line) {
            sum += results;
        }
    }
    let status = child.wait().context("cannot wait for cargo test")?;
    let Results { passed, failed, ignored } = sum;
    println!("All test binaries: {passed} passed; {failed} failed; {ignored} ignored");
    Ok(status)
}

impl Results {
    /// Of the line that closes a test binary's output:
    /// `test result: ok. 5 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.01s`
    fn parse(line: &str) -> Option<Self> {
        let (_, counts) = line.strip_prefix("test result: ")?.split_once(". ")?;
        let count = |kind: &str| {
            counts.split("; ").find_map(|count| count.strip_suffix(kind)?.trim().parse().ok())
        };
        Some(Self {
            passed: count("passed")?,
            failed: count("failed")?,
            ignored: count("ignored")?,
        })
    }
}

impl AddAssign for Results {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.ignored += other.ignored;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn closing_lines_are_read() {
        let line = "test result: FAILED. 5 passed; 2 failed; 1 ignored; 0 measured; 0 filtered \
                    out; finished in 0.01s";
        let results = Results { passed: 5, failed: 2, ignored: 1 };
        assert_eq!(Results::parse(line), Some(results));
    }

    #[test]
    fn other_lines_are_not() {
        assert_eq!(Results::parse("test parse::ports ... ok"), None);
    }
}
