//! Policies that are measured.

use std::{fmt::Write as _, net::IpAddr, path::Path, sync::Arc};

use anyhow::{Result, anyhow};
use foobar_tests::frames::hosts::SERVER;
use foobar_user::{
    kernel::{Sandbox, Timeouts, hz},
    policy::{Compiled, Config, Labels, ListKind, Lists, Policy, Slots, compile},
};
use ipnet::IpNet;

use crate::prefixes;

/// Flows that a sandbox remembers at most.
const FLOWS: u32 = 65_536;
/// Counters of a sandbox.
const COUNTERS: u32 = 16_384;

/// A web server as many are: two open ports, and one for those on a list.
const RULES: &str = r#"
interfaces = ["eth0"]
[allowlists.customers]
entries = []
[[rules]]
name = "web"
ports = [80, 443]
from = "any"
[[rules]]
name = "http3"
ports = [443]
protocols = ["udp"]
from = "any"
[[rules]]
name = "app"
ports = [8443]
from = ["customers"]
"#;

/// What else a policy can ask for, all of it.
const EVERYTHING: &str = r#"
limit = { per_source = "1000000/s", burst = 1000000 }
[blocklists.abuse]
entries = ["203.0.113.0/24", "2001:db8:bad::/48", "2001:db8:bad:1::66"]
[limits]
packets_per_source = "10000000/s"
burst = 10000000
[egress]
default = "deny"
[[egress.rules]]
name = "https"
to = "any"
ports = [443]
protocols = ["tcp", "udp"]
action = "allow"
"#;

/// A policy for the kernel.
pub struct Measured {
    /// What the compiler made of it.
    pub compiled: Compiled,
}

impl Measured {
    /// The policy above, with these prefixes on its allowlist.
    pub fn with_customers(customers: &[IpNet]) -> Result<Self> {
        Self::of(RULES, customers)
    }

    /// The same with limits, a blocklist and egress rules.
    pub fn with_everything(customers: &[IpNet]) -> Result<Self> {
        Self::of(&format!("{RULES}{EVERYTHING}"), customers)
    }

    /// So many rules, each for a port of its own and those on a list.
    pub fn with_rules(customers: &[IpNet], rules: usize) -> Result<Self> {
        let mut text = RULES.to_owned();
        for number in 1..rules {
            let _ = write!(
                text,
                "[[rules]]\nname = \"rule-{number}\"\nports = [{}]\nfrom = [\"customers\"]\n",
                20_000 + number
            );
        }
        Self::of(&text, customers)
    }

    fn of(text: &str, customers: &[IpNet]) -> Result<Self> {
        let loaded =
            Config::parse(text, Path::new("bench.toml")).map_err(|error| anyhow!("{error}"))?;
        let mut lists = Lists::from_config(&loaded.config);
        lists
            .replace_set(ListKind::Allow, "customers", Arc::new(prefixes::set(customers)))
            .map_err(|error| anyhow!("{error}"))?;
        let own = vec![IpAddr::V4(SERVER.v4), IpAddr::V6(SERVER.v6)];
        let policy = Policy::new(&loaded.config, lists, own, 1, 1);
        let compiled = compile(&policy, &mut Labels::new(), &mut Slots::default(), hz())
            .map_err(|error| anyhow!("{error}"))?;
        Ok(Measured { compiled })
    }

    /// Loads the programs for it.
    pub fn load(&self) -> Result<Sandbox> {
        Sandbox::load(&self.compiled, Timeouts::default(), FLOWS, COUNTERS).map_err(|error| {
            let help = error.help().unwrap_or_default().to_owned();
            anyhow::Error::new(error).context(format!("cannot load the programs; {help}"))
        })
    }
}
