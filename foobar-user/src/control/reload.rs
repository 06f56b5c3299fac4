//! Requests and answers of `foobar reload` and `foobar confirm`.
//!
//! ```text
//! POST /v1/reload     Reload -> Reloaded
//! POST /v1/confirm    {} -> Confirmed
//! ```

use serde::{Deserialize, Serialize};

use super::Peer;
use crate::policy::diff::Difference;

/// How to read the configuration again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Reload {
    /// The change is taken back after this many seconds unless it is confirmed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub confirm_seconds: Option<u64>,
    /// Only if the policy is still of this generation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub if_generation: Option<u64>,
    /// Also if it cuts an SSH session.
    pub force: bool,
    /// The variable `SSH_CONNECTION` of the client's session.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ssh_connection: Option<String>,
}

/// The configuration was read again and is in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reloaded {
    /// Generation of the policy that is now in force.
    pub generation: u64,
    /// What is different.
    pub changes: Difference,
    /// Interfaces that are filtered now and were not before.
    pub attached: Vec<String>,
    /// Interfaces that are no longer filtered.
    pub released: Vec<String>,
    /// What the operator should know, such as settings that need a restart.
    pub notes: Vec<String>,
    /// Seconds until the change is taken back unless it is confirmed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confirm_within_seconds: Option<u64>,
}

/// The change stays.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confirmed {
    /// Generation of the policy in force.
    pub generation: u64,
}

/// [`Reload`], and who asks for it.
#[derive(Clone, Debug)]
pub struct ReloadRequest {
    /// Who.
    pub peer: Peer,
    /// How.
    pub wanted: Reload,
}
