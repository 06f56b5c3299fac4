//! Requests and answers as they cross the socket.
//!
//! ```text
//! GET  /v1/status                         Status
//! GET  /v1/lists/{allow|block}/{name}     ListPage      ?after=CIDR&limit=N
//! POST /v1/lists/{allow|block}/{name}/{add|remove|replace}   ListEdit -> ListEdited
//! POST /v1/explain                        crate::explain::Question -> crate::explain::Answer
//! GET  /v1/events                         super::watch::Line, one a line, without end      ?dropped=true&port=N
//! GET  /v1/live                           crate::live::Live, one a line and reading, without end
//! POST /v1/reload                         super::reload::Reload -> super::reload::Reloaded
//! POST /v1/confirm                        {} -> super::reload::Confirmed
//! POST /v1/detach                         Detached
//! ```
//!
//! Addresses and prefixes are text, times are seconds since 1970, rates are per second. An error is a
//! [`super::refusal::Body`] with an HTTP status of 4xx or 5xx.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::live::{AttachmentStatus, ListStatus};

/// Entries that one answer to [`ListQuery`] holds at most.
pub const PAGE_ENTRIES: usize = 50_000;

/// Largest body of a request, bytes: a list of more than a million IPv6 prefixes with comments.
pub const BODY_BYTES: usize = 128 << 20;

/// Which part of a list to tell.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListQuery {
    /// Only entries behind this one, which the page before ended with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// At most this many; [`PAGE_ENTRIES`] if absent or more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
}

/// A part of a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListPage {
    /// `allow` or `block`.
    pub kind: String,
    /// Name of the list.
    pub name: String,
    /// Generation of the policy that holds these entries.
    pub generation: u64,
    /// Entries of the whole list.
    pub total: usize,
    /// In the order of their addresses, IPv4 first.
    pub entries: Vec<ListEntry>,
    /// What to ask for next with [`ListQuery::after`]; absent on the last page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// An entry of a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListEntry {
    /// The prefix in canonical form, single addresses without a length.
    pub entry: String,
    /// Where it comes from: `config`, `file` or `runtime`.
    pub origin: String,
    /// What the operator noted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    /// When it ceases to count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<u64>,
}

/// A change of a list: what is in `entries` and `text` together, all of it or nothing.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ListEdit {
    /// Prefixes or addresses.
    pub entries: Vec<String>,
    /// A list file: one entry a line, `#` starts a comment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// What to call `text` in errors; the name of its file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text_name: Option<String>,
    /// The entries cease to count after this many seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ttl_seconds: Option<u64>,
    /// A note for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    /// Only if the policy is still of this generation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub if_generation: Option<u64>,
    /// Also if it cuts an SSH session.
    pub force: bool,
    /// The variable `SSH_CONNECTION` of the client's session.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ssh_connection: Option<String>,
}

/// A change of a list that is in force and on disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListEdited {
    /// `allow` or `block`.
    pub kind: String,
    /// Name of the list.
    pub name: String,
    /// Generation of the policy that is now in force.
    pub generation: u64,
    /// Entries that are new.
    pub added: usize,
    /// Entries that were there and have a new comment or lifetime.
    pub updated: usize,
    /// Entries that are gone.
    pub removed: usize,
    /// Entries of the whole list.
    pub total: usize,
    /// What the operator should know: host bits that were cleared, an entry that another one still covers.
    pub notes: Vec<String>,
}

/// What `foobar detach` did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Detached {
    /// Whether there was anything to take away.
    pub found: bool,
    /// Interfaces that are no longer filtered.
    pub interfaces: Vec<String>,
    /// What else is worth knowing.
    pub notes: Vec<String>,
}

impl From<crate::kernel::Detached> for Detached {
    fn from(detached: crate::kernel::Detached) -> Self {
        Self { found: detached.found, interfaces: detached.interfaces, notes: detached.notes }
    }
}

/// What runs, how, and with which policy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// What an operator must not overlook; empty is good.
    pub warnings: Vec<String>,
    /// `audit` or `enforce`.
    pub mode: String,
    /// The daemon.
    pub daemon: DaemonStatus,
    /// The policy in force.
    pub policy: PolicyStatus,
    /// What is attached where.
    pub attachments: Vec<AttachmentStatus>,
    /// Every list of the configuration.
    pub lists: Vec<ListStatus>,
    /// All packets at the interfaces.
    pub packets: PacketStatus,
    /// The named ports and `other`.
    pub ports: Vec<PortStatus>,
    /// Entries in the flow tables.
    pub flows: FlowStatus,
}

/// The daemon itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DaemonStatus {
    /// Version of the program.
    pub version: String,
    /// Process id.
    pub pid: u32,
    /// When it started.
    pub started_at: u64,
    /// The configuration file.
    pub config: PathBuf,
    /// Where Prometheus scrapes.
    pub metrics: String,
    /// Whether the last attempt to read the configuration succeeded, and when that was.
    pub config_loaded: ConfigLoaded,
    /// Capabilities that it still has, by name.
    #[serde(default)]
    pub capabilities: Vec<String>,
    /// Whether it, and what it might run, can never get more.
    #[serde(default)]
    pub no_new_privileges: bool,
}

/// The last attempt to read the configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigLoaded {
    /// Whether it succeeded.
    pub successful: bool,
    /// When the configuration in force was read.
    pub at: u64,
    /// Why not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// The policy in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyStatus {
    /// Counts up with each change, over restarts of the daemon as well.
    pub generation: u64,
    /// When it was put in force.
    pub applied_at: u64,
    /// Who changed what.
    pub change: String,
    /// Number of rules.
    pub rules: usize,
    /// Seconds until the last change is taken back unless it is confirmed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confirm_within_seconds: Option<u64>,
}

/// Packets of all interfaces.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PacketStatus {
    /// Passed since the counters were made.
    pub passed: u64,
    /// Dropped since then.
    pub dropped: u64,
    /// Passed in audit mode although the policy drops them, since then; part of `passed`.
    pub audited: u64,
    /// Passed a second, over the last seconds.
    pub passed_rate: f64,
    /// Dropped a second.
    pub dropped_rate: f64,
    /// Audited a second.
    pub audited_rate: f64,
}

/// Traffic to a port.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PortStatus {
    /// The number, or `other`.
    pub port: String,
    /// Packets passed a second.
    pub passed_rate: f64,
    /// Packets dropped a second (audit mode: that would have been).
    pub dropped_rate: f64,
    /// Connections accepted since the counters were made.
    pub accepted: u64,
    /// Connections accepted a second.
    pub accepted_rate: f64,
    /// Connections that are established now.
    pub open: u64,
    /// Requests answered a second, where they are counted.
    #[serde(default)]
    pub requests_rate: Option<f64>,
    /// What counts its requests: the value of `requests` of the port, `none` without a hook; absent where nothing should.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests_source: Option<String>,
    /// `exact`, `estimate`, or `no hook` where no interface takes the programs that would count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests_tier: Option<String>,
}

/// The tables of flows that this server opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FlowStatus {
    /// Entries, IPv4 and IPv6 together.
    pub entries: u64,
    /// What fits.
    pub max_entries: u64,
}
