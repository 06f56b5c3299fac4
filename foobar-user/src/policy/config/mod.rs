//! The configuration file: `/etc/foobar/foobar.toml` and the list files that it names.
//!
//! It is read by a reader of our own on top of the `toml` crate's parser, because the derived one stops at the first mistake:
//! here every mistake of a file is reported at once, each with its place and its remedy.

mod choices;
mod control;
mod egress;
mod interfaces;
mod limits;
mod list_files;
mod load;
mod named_ports;
mod observed;
mod probed;
mod reachable;
mod reader;
mod rules;
mod section;
mod services;
mod sources;
mod status_page;
#[cfg(test)]
mod tests;
mod values;

use std::{path::PathBuf, sync::Arc};

pub use choices::{
    Allow, Choice, Choices, Echo, ExtensionHeaders, Fragments, IcmpErrors, Ipv4Options,
};
pub use control::{Control, Reload};
pub use interfaces::Interfaces;
pub use limits::{Limits, Period, Rate, RateLimit};
pub use named_ports::MAX_NAMED_PORTS;
pub use observed::{MAX_SERVER_NAMES, Observed, ObservedProtocol, Requests};
pub use rules::MAX_RULES;
pub use services::{Flows, Log, Metrics};
pub use sources::Sources;
pub use status_page::{StatusAddress, StatusPage};

use super::{
    diagnostic::Diagnostic,
    lists::ListKind,
    model::{Egress, Mode, Rule},
    prefix_set::PrefixSet,
};

/// A configuration that was read, and what is noteworthy about it.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// What it says.
    pub config: Config,
    /// Notes, in the order of the files. None of them is an error.
    pub notes: Vec<Diagnostic>,
    /// What it was read from.
    pub sources: Sources,
}

/// What the configuration file says, with defaults filled in.
#[derive(Clone, Debug)]
pub struct Config {
    /// Which interfaces to protect.
    pub interfaces: Interfaces,
    /// Whether to drop.
    pub mode: Mode,
    /// The metrics listener.
    pub metrics: Metrics,
    /// Allowlists and blocklists, in the order of their names. Names are unique across both.
    pub lists: Vec<ListConfig>,
    /// Ingress rules, in the order of the file.
    pub rules: Vec<Rule>,
    /// Egress rules and default.
    pub egress: Egress,
    /// Limits that belong to no rule.
    pub limits: Limits,
    /// What happens to odd packets.
    pub choices: Choices,
    /// The table of flows.
    pub flows: Flows,
    /// Which ports are observed and how. Without any in the file: 80 is http, 443 is https, where a rule names them.
    pub observe: Vec<Observed>,
    /// Logging.
    pub log: Log,
    /// The control socket.
    pub control: Control,
    /// When the configuration is read again.
    pub reload: Reload,
}

impl Default for Config {
    /// What an empty file means: nobody may come in, everything may go out.
    fn default() -> Self {
        Config {
            interfaces: Interfaces::Default,
            mode: Mode::Enforce,
            metrics: Metrics::default(),
            lists: Vec::new(),
            rules: Vec::new(),
            egress: Egress::default(),
            limits: Limits::default(),
            choices: Choices::default(),
            flows: Flows::default(),
            observe: Vec::new(),
            log: Log::default(),
            control: Control::default(),
            reload: Reload::default(),
        }
    }
}

/// A list as the configuration and its file give it.
#[derive(Clone, Debug)]
pub struct ListConfig {
    /// Allowlist or blocklist.
    pub kind: ListKind,
    /// As rules and commands name it.
    pub name: String,
    /// Entries of the configuration and of the file together.
    pub entries: Arc<PrefixSet>,
    /// Those of them that stand in the configuration itself.
    pub inline: PrefixSet,
    /// The list's file.
    pub file: Option<PathBuf>,
}
