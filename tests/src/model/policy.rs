//! A policy as the model knows it.

use std::{collections::BTreeMap, fmt::Write, net::IpAddr, ops::RangeInclusive};

use ipnet::IpNet;

use crate::frames::hosts::SERVER;

/// A policy.
#[derive(Clone, Debug, Default)]
pub struct Policy {
    /// Allowlists by name.
    pub allowlists: BTreeMap<String, Vec<IpNet>>,
    /// Blocklists by name.
    pub blocklists: BTreeMap<String, Vec<IpNet>>,
    /// Rules, in their order.
    pub rules: Vec<Rule>,
    /// The server's own addresses.
    pub own: Vec<IpAddr>,
    /// Choices for odd packets.
    pub choices: Choices,
}

/// A rule.
#[derive(Clone, Debug)]
pub struct Rule {
    /// IP protocol numbers.
    pub protocols: Vec<u8>,
    /// Destination ports; empty for protocols without ports.
    pub ports: Vec<RangeInclusive<u16>>,
    /// Names of allowlists; `None` is everybody.
    pub from: Option<Vec<String>>,
}

/// Choices for odd packets; all `false` is the default.
#[derive(Clone, Copy, Debug, Default)]
pub struct Choices {
    /// `fragments = "drop"`.
    pub drop_fragments: bool,
    /// `ipv4_options = "drop"`.
    pub drop_ipv4_options: bool,
    /// `extension_headers = "drop"`.
    pub drop_extension_headers: bool,
    /// `echo = "drop"`.
    pub drop_echo: bool,
    /// `invalid_flags = "pass"`.
    pub pass_invalid_flags: bool,
    /// `martians = "pass"`.
    pub pass_martians: bool,
    /// `icmp_errors`.
    pub icmp_errors: IcmpErrors,
    /// `router_advertisements = "drop"`.
    pub drop_router_advertisements: bool,
    /// `dhcp = "drop"`.
    pub drop_dhcp: bool,
    /// `link_control = "drop"`.
    pub drop_link_control: bool,
    /// `mld = "drop"`.
    pub drop_mld: bool,
}

/// What happens to ICMP errors.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum IcmpErrors {
    /// Those pass that concern a flow.
    #[default]
    Related,
    /// All pass.
    All,
    /// All are dropped.
    Drop,
}

impl Policy {
    /// The reference policy: the same as [`crate::frames::REFERENCE`], written once more.
    pub fn reference() -> Self {
        let nets = |nets: &[&str]| {
            nets.iter().map(|net| net.parse().expect("a prefix")).collect::<Vec<IpNet>>()
        };
        let rule = |protocols: &[u8], ports: &[u16], from: Option<&str>| Rule {
            protocols: protocols.to_vec(),
            ports: ports.iter().map(|port| *port..=*port).collect(),
            from: from.map(|name| vec![name.to_owned()]),
        };
        Policy {
            allowlists: BTreeMap::from([
                ("admins".to_owned(), nets(&["198.51.100.0/24", "2001:db8:ad::/48"])),
                ("app".to_owned(), nets(&["192.0.2.10/32"])),
            ]),
            blocklists: BTreeMap::from([(
                "abuse".to_owned(),
                nets(&["203.0.113.0/24", "2001:db8:bad::/48"]),
            )]),
            rules: vec![
                rule(&[6], &[80, 443], None),
                rule(&[17], &[443], None),
                rule(&[6], &[22], Some("admins")),
                rule(&[6], &[3306], Some("app")),
            ],
            own: vec![SERVER.v4.into(), SERVER.v6.into()],
            choices: Choices::default(),
        }
    }

    /// Whether a blocklist holds this address.
    pub fn blocks(&self, address: IpAddr) -> bool {
        self.blocklists.values().flatten().any(|net| net.contains(&address))
    }

    /// Whether the policy tells sources of this address's family apart because of a blocklist.
    pub fn has_blocklist_of_family(&self, address: IpAddr) -> bool {
        self.blocklists.values().flatten().any(|net| net.addr().is_ipv4() == address.is_ipv4())
    }

    /// Whether a rule names this port (or this protocol, if it has no ports).
    pub fn serves(&self, protocol: u8, port: Option<u16>) -> bool {
        self.rules.iter().any(|rule| rule.names(protocol, port))
    }

    /// Whether this address may reach this port, or the name of the reason why it may not.
    ///
    /// # Errors
    /// `blocklist`, `martian`, `source_not_allowed`, or `no_rule` where no rule names the port.
    pub fn admits(
        &self,
        protocol: u8,
        port: Option<u16>,
        address: IpAddr,
    ) -> Result<(), &'static str> {
        if !self.serves(protocol, port) {
            // Closed to all, so nobody asks who it is.
            Err("no_rule")
        } else if self.blocks(address) {
            Err("blocklist")
        } else if self.is_own(address) && self.has_blocklist_of_family(address) {
            Err("martian")
        } else if self.allows(protocol, port, address) {
            Ok(())
        } else {
            Err("source_not_allowed")
        }
    }

    /// Whether it is an address of the server that nobody else may have.
    pub fn is_own(&self, address: IpAddr) -> bool {
        self.own.contains(&address) && !self.choices.pass_martians
    }

    /// Whether this address cannot have sent an answer, as far as sources are looked up.
    pub fn refuses(&self, address: IpAddr) -> bool {
        self.blocks(address) || self.is_own(address) && self.has_blocklist_of_family(address)
    }

    /// Whether a rule lets this address reach this port.
    pub fn allows(&self, protocol: u8, port: Option<u16>, address: IpAddr) -> bool {
        let may = |rule: &Rule| match &rule.from {
            None => true,
            Some(lists) => lists
                .iter()
                .flat_map(|list| &self.allowlists[list])
                .any(|net| net.contains(&address)),
        };
        self.rules.iter().any(|rule| rule.names(protocol, port) && may(rule))
    }

    /// The text of a configuration that means this.
    pub fn to_toml(&self) -> String {
        let mut text = String::from("interfaces = [\"eth0\"]\nmode = \"enforce\"\n\n");
        for (kind, lists) in [("allowlists", &self.allowlists), ("blocklists", &self.blocklists)] {
            for (name, nets) in lists {
                let nets: Vec<String> =
                    nets.iter().map(|net| format!("{:?}", net.to_string())).collect();
                let _ = writeln!(text, "[{kind}.{name}]\nentries = [{}]\n", nets.join(", "));
            }
        }
        for (number, rule) in self.rules.iter().enumerate() {
            let protocols: Vec<String> =
                rule.protocols.iter().map(|number| protocol_word(*number)).collect();
            let _ = writeln!(
                text,
                "[[rules]]\nname = \"rule-{number}\"\nprotocols = [{}]",
                protocols.join(", ")
            );
            if !rule.ports.is_empty() {
                let ports: Vec<String> = rule.ports.iter().map(port_word).collect();
                let _ = writeln!(text, "ports = [{}]", ports.join(", "));
            }
            let from =
                rule.from.as_ref().map_or("\"any\"".to_owned(), |lists| format!("{lists:?}"));
            let _ = writeln!(text, "from = {from}\n");
        }
        text + &self.choices.to_toml()
    }
}

impl Rule {
    fn names(&self, protocol: u8, port: Option<u16>) -> bool {
        let port_fits =
            port.is_none_or(|port| self.ports.iter().any(|range| range.contains(&port)));
        self.protocols.contains(&protocol) && port_fits
    }
}

impl Choices {
    fn to_toml(self) -> String {
        let word = |set: bool, key: &str, word: &str| {
            if set { format!("{key} = \"{word}\"\n") } else { String::new() }
        };
        let errors = match self.icmp_errors {
            IcmpErrors::Related => "related",
            IcmpErrors::All => "all",
            IcmpErrors::Drop => "drop",
        };
        [
            "[choices]\n".to_owned(),
            word(self.drop_fragments, "fragments", "drop"),
            word(self.drop_ipv4_options, "ipv4_options", "drop"),
            word(self.drop_extension_headers, "extension_headers", "drop"),
            word(self.drop_echo, "echo", "drop"),
            word(self.pass_invalid_flags, "invalid_flags", "pass"),
            word(self.pass_martians, "martians", "pass"),
            word(true, "icmp_errors", errors),
            word(self.drop_router_advertisements, "router_advertisements", "drop"),
            word(self.drop_dhcp, "dhcp", "drop"),
            word(self.drop_link_control, "link_control", "drop"),
            word(self.drop_mld, "mld", "drop"),
        ]
        .concat()
    }
}

fn protocol_word(number: u8) -> String {
    match number {
        6 => "\"tcp\"".to_owned(),
        17 => "\"udp\"".to_owned(),
        other => other.to_string(),
    }
}

fn port_word(range: &RangeInclusive<u16>) -> String {
    if range.start() == range.end() {
        range.start().to_string()
    } else {
        format!("\"{}-{}\"", range.start(), range.end())
    }
}
