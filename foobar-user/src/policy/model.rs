//! What is compiled: rules, lists and choices, without a trace of the files they came from.

use std::{fmt, net::IpAddr, str::FromStr, sync::Arc};

use serde::{Deserialize, Serialize};

use super::{
    config::{Choices, Config, Limits, Observed, RateLimit},
    lists::Lists,
    protocol::{PortRange, Protocol},
};

/// Whether verdicts are carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Count what would be dropped, drop nothing.
    Audit,
    /// Drop what is not allowed.
    Enforce,
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Mode::Audit => "audit",
            Mode::Enforce => "enforce",
        })
    }
}

impl FromStr for Mode {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "audit" => Ok(Mode::Audit),
            "enforce" => Ok(Mode::Enforce),
            other => Err(format!("unknown mode \"{other}\": it is \"audit\" or \"enforce\"")),
        }
    }
}

/// The other side of a rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Peers {
    /// Every address.
    Any,
    /// Addresses on at least one of these lists, of which there is at least one.
    Lists(Vec<String>),
}

/// What an incoming packet may match to pass. The first rule that matches wins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Rule {
    /// Unique among all rules, those for egress included.
    pub name: String,
    /// Either TCP, UDP or both, or protocols without ports.
    pub protocols: Vec<Protocol>,
    /// Destination ports; empty exactly if the protocols have none.
    pub ports: Vec<PortRange>,
    /// Which sources may.
    pub from: Peers,
    /// How many new connections (packets, of protocols other than TCP) each source may open.
    pub limit: Option<RateLimit>,
}

/// What an egress rule does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// Let it out.
    Allow,
    /// Drop it.
    Deny,
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Action::Allow => "allow",
            Action::Deny => "deny",
        })
    }
}

/// What an outgoing packet may match. The first rule that matches wins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct EgressRule {
    /// Unique among all rules, those for ingress included.
    pub name: String,
    /// Destinations, by allowlist or blocklist.
    pub to: Peers,
    /// Either TCP, UDP or both, or protocols without ports; empty means every protocol.
    pub protocols: Vec<Protocol>,
    /// Destination ports; empty means every port.
    pub ports: Vec<PortRange>,
    /// What to do.
    pub action: Action,
}

/// What leaves the server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Egress {
    /// What happens to a packet that no rule matches.
    pub default: Action,
    /// In the order of the file.
    pub rules: Vec<EgressRule>,
}

impl Egress {
    /// Whether outgoing packets need to be judged at all.
    pub fn is_active(&self) -> bool {
        self.default == Action::Deny || !self.rules.is_empty()
    }
}

impl Default for Egress {
    fn default() -> Self {
        Egress { default: Action::Allow, rules: Vec::new() }
    }
}

/// A whole policy. Cheap to clone: the large parts are shared.
#[derive(Clone, Debug)]
pub struct Policy {
    /// Counts up with each policy that is put in force.
    pub number: u64,
    /// Whether verdicts are carried out.
    pub mode: Mode,
    /// Ingress rules, in the order of the file.
    pub rules: Arc<[Rule]>,
    /// Egress rules.
    pub egress: Arc<Egress>,
    /// Lists, with what was changed at runtime.
    pub lists: Lists,
    /// What happens to odd packets.
    pub choices: Choices,
    /// Limits that belong to no rule.
    pub limits: Limits,
    /// The server's own addresses, which no packet from outside may have as its source.
    pub own_addresses: Vec<IpAddr>,
    /// Ports that have counters of their own: at most [`super::config::MAX_NAMED_PORTS`], and the observed ones.
    pub named_ports: Vec<u16>,
    /// Ports on which more is observed than connections; all of them are named.
    pub observed: Vec<Observed>,
    /// Flows that were remembered under another epoch are forgotten.
    pub flow_epoch: u32,
}

impl Policy {
    /// The policy of a configuration, with the lists as they are now.
    pub fn new(
        config: &Config,
        lists: Lists,
        own_addresses: Vec<IpAddr>,
        flow_epoch: u32,
        number: u64,
    ) -> Self {
        Policy {
            number,
            mode: config.mode,
            rules: config.rules.clone().into(),
            egress: Arc::new(config.egress.clone()),
            lists,
            choices: config.choices.clone(),
            limits: config.limits.clone(),
            own_addresses,
            named_ports: config.named_ports(),
            observed: config.observe.iter().filter(|port| port.flags() != 0).cloned().collect(),
            flow_epoch,
        }
    }
}
