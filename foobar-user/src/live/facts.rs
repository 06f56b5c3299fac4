//! What is shown and does not come from counters.

use serde::{Deserialize, Serialize};

/// As of some seconds ago at most.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Facts {
    /// Version of the program.
    pub version: String,
    /// When the daemon started, seconds since 1970.
    pub started_at: u64,
    /// What is wrong with foobar itself, as `/healthz` says it; absent is good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
    /// What an operator must not overlook; empty is good.
    pub warnings: Vec<String>,
    /// `audit` or `enforce`.
    pub mode: String,
    /// Number of the policy in force.
    pub generation: u64,
    /// When it was put in force, seconds since 1970.
    pub applied_at: u64,
    /// Number of its rules.
    pub rules: usize,
    /// What is attached where.
    pub attachments: Vec<AttachmentStatus>,
    /// Every list of the configuration.
    pub lists: Vec<ListStatus>,
}

/// A program on an interface.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttachmentStatus {
    /// Name of the interface.
    pub interface: String,
    /// Its index.
    pub index: u32,
    /// Name of the program.
    pub program: String,
    /// `native`, `generic`, `tcx` or `clsact`.
    pub mode: String,
    /// Asked of the kernel for this answer.
    pub attached: bool,
    /// It observes and could not be attached: what it would count is not counted.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub missing: bool,
    /// Why it is not the best mode, or missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// A list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListStatus {
    /// `allow` or `block`.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// IPv4 entries.
    pub ipv4: usize,
    /// IPv6 entries.
    pub ipv6: usize,
    /// Whether runtime changes make it differ from the configuration.
    pub changed: bool,
}

/// What an operator must not overlook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// For everybody: names no address.
    pub text: String,
    /// For those whom the control socket trusts: may quote the configuration.
    pub detail: Option<String>,
}

impl Warning {
    /// All of it.
    pub fn full(&self) -> String {
        match &self.detail {
            Some(detail) => format!("{}: {detail}", self.text),
            None => self.text.clone(),
        }
    }
}

/// The warnings, the most important first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Warnings(pub Vec<Warning>);

impl Warnings {
    /// One that everybody may read.
    pub fn push(&mut self, text: String) {
        self.0.push(Warning { text, detail: None });
    }

    /// One whose `detail` may quote the configuration.
    pub fn push_with(&mut self, text: &str, detail: String) {
        self.0.push(Warning { text: text.to_owned(), detail: Some(detail) });
    }

    /// As the control socket tells them.
    pub fn full(&self) -> Vec<String> {
        self.0.iter().map(Warning::full).collect()
    }

    /// As everybody may read them.
    pub fn public(&self) -> Vec<String> {
        self.0.iter().map(|warning| warning.text.clone()).collect()
    }
}
