//! Why an address or a port is judged as it is.

use std::net::IpAddr;

use serde::Serialize;

use super::{
    lists::{Entry, ListKind},
    model::{Policy, Rule},
    protocol::Protocol,
};

/// Where an entry comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    /// The configuration or its list file.
    Config,
    /// A command while the daemon ran.
    Runtime,
}

/// An entry that holds an address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Membership {
    /// Allowlist or blocklist.
    pub kind: ListKind,
    /// The list's name.
    pub list: String,
    /// The entry.
    pub entry: Entry,
    /// Where it comes from.
    pub origin: Origin,
}

/// All entries of all lists that hold an address, the most specific first.
pub fn source(policy: &Policy, address: IpAddr) -> Vec<Membership> {
    let mut found: Vec<Membership> = policy
        .lists
        .iter()
        .flat_map(|list| {
            list.covering(address).into_iter().map(|entry| Membership {
                kind: list.kind,
                list: list.name.clone(),
                origin: if list.is_runtime(&entry.prefix) {
                    Origin::Runtime
                } else {
                    Origin::Config
                },
                entry,
            })
        })
        .collect();
    found.sort_by_key(|membership| std::cmp::Reverse(membership.entry.prefix.length()));
    found
}

/// All rules that name a port of a protocol (0 for protocols without ports), in the order in which they are tried.
pub fn rules(policy: &Policy, protocol: Protocol, port: u16) -> Vec<&Rule> {
    let names = |rule: &&Rule| {
        rule.protocols.contains(&protocol)
            && (!protocol.has_ports() || rule.ports.iter().any(|range| range.contains(port)))
    };
    policy.rules.iter().filter(names).collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::policy::{config::Config, lists::Lists};

    #[test]
    fn entries_and_rules_that_concern_a_packet() {
        let text = r#"
            [allowlists.admins]
            entries = ["10.0.0.0/8", "10.1.0.0/16"]
            [blocklists.abuse]
            entries = ["10.1.2.0/24", "0.0.0.0/0"]
            [[rules]]
            name = "web"
            ports = ["80-90"]
            from = "any"
            [[rules]]
            name = "ssh"
            ports = [22, 85]
            protocols = ["tcp", "udp"]
            from = ["admins"]
            [[rules]]
            name = "gre"
            protocols = ["gre"]
            from = ["admins"]
        "#;
        let config = Config::parse(text, Path::new("x.toml")).unwrap().config;
        let mut lists = Lists::from_config(&config);
        let host: crate::policy::Prefix = "10.1.2.3".parse().unwrap();
        let entry = Entry { comment: Some("on call".into()), ..Entry::from(host) };
        lists.add(ListKind::Allow, "admins", &[entry]).unwrap();
        let policy = Policy::new(&config, lists, Vec::new(), 0, 1);

        let found = source(&policy, "10.1.2.3".parse().unwrap());
        let found: Vec<_> = found
            .iter()
            .map(|it| {
                (
                    it.list.as_str(),
                    it.entry.prefix.to_string(),
                    it.origin,
                    it.entry.comment.as_deref(),
                )
            })
            .collect();
        assert_eq!(
            found,
            [
                ("admins", "10.1.2.3/32".to_owned(), Origin::Runtime, Some("on call")),
                ("abuse", "10.1.2.0/24".to_owned(), Origin::Config, None),
                ("admins", "10.1.0.0/16".to_owned(), Origin::Config, None),
                ("admins", "10.0.0.0/8".to_owned(), Origin::Config, None),
                ("abuse", "0.0.0.0/0".to_owned(), Origin::Config, None),
            ]
        );
        assert!(source(&policy, "::1".parse().unwrap()).is_empty());

        let names = |protocol, port| {
            rules(&policy, protocol, port).iter().map(|rule| rule.name.as_str()).collect::<Vec<_>>()
        };
        assert_eq!(names(Protocol::TCP, 85), ["web", "ssh"]);
        assert_eq!(names(Protocol::UDP, 85), ["ssh"]);
        assert_eq!(names(Protocol(47), 0), ["gre"]);
        assert!(names(Protocol::TCP, 91).is_empty());
    }
}
