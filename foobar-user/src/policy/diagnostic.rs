//! What is wrong or noteworthy in a configuration, and where.

use std::{fmt, path::PathBuf};

use serde::Serialize;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The configuration cannot be used.
    Error,
    /// It can be used, but perhaps not as it was meant.
    Note,
}

impl Severity {
    /// The word that stands in front of the message.
    pub const fn name(self) -> &'static str {
        match self {
            Severity::Error => "error",
            Severity::Note => "note",
        }
    }
}

/// One finding, with its place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// The file it is about: the configuration or one of its list files.
    pub file: PathBuf,
    /// Line, from 1; 0 if it concerns the file as a whole.
    pub line: u32,
    /// Column in characters, from 1; 0 if it concerns the line or the file as a whole.
    pub column: u32,
    /// What it is, and on which object.
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
}

impl Diagnostic {
    /// `file:line:column`, as far as they are known.
    pub fn place(&self) -> String {
        let numbers = [self.line, self.column].into_iter().filter(|number| *number > 0);
        std::iter::once(self.file.display().to_string())
            .chain(numbers.map(|number| number.to_string()))
            .collect::<Vec<_>>()
            .join(":")
    }
}

impl fmt::Display for Diagnostic {
    /// `file:line:column: error: message`, as compilers print it, and the help on a line of its own.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: {}", self.place(), self.severity.name(), self.message)?;
        if let Some(help) = &self.help {
            write!(f, "\n  help: {help}")?;
        }
        Ok(())
    }
}

/// A configuration that cannot be used: every error that was found, and the notes beside them, in the order of the file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ConfigError {
    /// At least one of them is an error.
    pub diagnostics: Vec<Diagnostic>,
}

impl ConfigError {
    /// Number of errors, notes not counted.
    pub fn errors(&self) -> usize {
        self.diagnostics.iter().filter(|diagnostic| diagnostic.severity == Severity::Error).count()
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, diagnostic) in self.diagnostics.iter().enumerate() {
            if i > 0 {
                writeln!(f)?;
            }
            write!(f, "{diagnostic}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}

/// Which of `known` was probably meant by `word`: the nearest one, if it is near enough to be a slip of the keyboard or
/// another form of the same word.
pub fn did_you_mean<'k>(word: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    known
        .into_iter()
        .map(|candidate| (strsim::osa_distance(word, candidate), candidate))
        .filter(|(slips, candidate)| {
            *slips <= (word.chars().count() / 3).max(1)
                || strsim::jaro_winkler(word, candidate) > 0.8
        })
        .min_by_key(|(slips, _)| *slips)
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suggestions_are_near_misses_only() {
        assert_eq!(did_you_mean("prots", ["name", "ports", "protocols"]), Some("ports"));
        assert_eq!(did_you_mean("admin", ["admins", "app"]), Some("admins"));
        assert_eq!(did_you_mean("tpc", ["udp", "tcp"]), Some("tcp"));
        assert_eq!(did_you_mean("entry", ["file", "entries"]), Some("entries"));
        assert_eq!(did_you_mean("zzz", ["admins", "app"]), None);
    }

    #[test]
    fn places_are_printed_as_far_as_they_are_known() {
        let mut diagnostic = Diagnostic {
            severity: Severity::Error,
            file: "a.toml".into(),
            line: 3,
            column: 7,
            message: "bad".into(),
            help: Some("better".into()),
        };
        assert_eq!(diagnostic.to_string(), "a.toml:3:7: error: bad\n  help: better");
        diagnostic.line = 0;
        diagnostic.column = 0;
        diagnostic.help = None;
        assert_eq!(diagnostic.to_string(), "a.toml: error: bad");
    }
}
