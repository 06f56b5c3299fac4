//! The verdict with everything that led to it.

use foobar_common::reason::{Reason, Verdict};
use serde::{Deserialize, Serialize};

use super::packet::Packet;
use crate::{
    policy::{
        ListKind, Policy,
        explain::{self, Membership, Origin},
        model::{Mode, Peers},
    },
    replay::judge::Finding,
};

/// What becomes of a packet, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// The packet in a few words.
    pub packet: String,
    /// `pass` or `drop`: what mode `enforce` does with it.
    pub verdict: String,
    /// [`Reason::name`].
    pub reason: String,
    /// The reason in a sentence.
    pub explanation: String,
    /// The rule that decided.
    pub rule: Option<String>,
    /// The list whose entry decided: the blocklist, or a list that the rule names.
    pub list: Option<String>,
    /// That entry.
    pub entry: Option<String>,
    /// All entries that hold the source, the most specific first.
    pub source_in: Vec<Held>,
    /// All rules that name the port or protocol, in the order in which they are tried.
    pub rules_for_port: Vec<String>,
    /// `audit` or `enforce`.
    pub mode: String,
    /// It passes nevertheless, because the mode is `audit`.
    pub audited: bool,
    /// Generation of the policy in force; absent if a configuration was asked instead of the running filter.
    pub generation: Option<u64>,
}

/// An entry that holds the source.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// `allow` or `block`.
    pub kind: String,
    /// Name of the list.
    pub list: String,
    /// The prefix.
    pub entry: String,
    /// `config` (or a list file of it) or `runtime`.
    pub origin: String,
    /// What the operator noted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    /// When it ceases to count, in seconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<u64>,
}

impl Answer {
    /// Explains what the programs found under this policy.
    pub fn new(packet: &Packet, policy: &Policy, finding: &Finding<'_>) -> Self {
        let Finding { verdict, reason, rule } = *finding;
        let source_in = explain::source(policy, packet.from);
        let decisive =
            source_in.iter().find(|membership| decides(policy, membership, reason, rule));
        Answer {
            packet: packet.to_string(),
            verdict: verdict.name().to_owned(),
            reason: reason.name().to_owned(),
            explanation: reason.describe().to_owned(),
            rule: rule.map(str::to_owned),
            list: decisive.map(|membership| membership.list.clone()),
            entry: decisive.map(|membership| membership.entry.prefix.to_string()),
            source_in: source_in.iter().map(Held::from).collect(),
            rules_for_port: explain::rules(policy, packet.protocol, packet.port)
                .iter()
                .map(|rule| rule.name.clone())
                .collect(),
            mode: policy.mode.to_string(),
            audited: policy.mode == Mode::Audit && verdict == Verdict::Drop,
            generation: Some(policy.number),
        }
    }

    /// The entry that decided, with all that is known of it.
    pub fn decisive(&self) -> Option<&Held> {
        self.source_in.iter().find(|held| {
            self.list.as_ref() == Some(&held.list) && self.entry.as_ref() == Some(&held.entry)
        })
    }
}

/// Whether the verdict hangs on this entry.
fn decides(policy: &Policy, membership: &Membership, reason: Reason, rule: Option<&str>) -> bool {
    if reason == Reason::Blocklist {
        return membership.kind == ListKind::Block;
    }
    let rule = policy.rules.iter().find(|known| rule == Some(&known.name));
    match rule.map(|rule| &rule.from) {
        Some(Peers::Lists(lists)) => lists.contains(&membership.list),
        Some(Peers::Any) | None => false,
    }
}

impl From<&Membership> for Held {
    fn from(membership: &Membership) -> Self {
        let Membership { kind, list, entry, origin } = membership;
        Held {
            kind: kind.word().to_owned(),
            list: list.clone(),
            entry: entry.prefix.to_string(),
            origin: match origin {
                Origin::Config => "config".to_owned(),
                Origin::Runtime => "runtime".to_owned(),
            },
            comment: entry.comment.clone(),
            expires_at: entry.expires_at,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        explain::Question,
        policy::{Config, Entry, Lists},
    };
    use std::path::Path;

    const CONFIG: &str = r#"
        interfaces = ["eth0"]
        [allowlists.admins]
        entries = ["198.51.100.0/24"]
        [allowlists.partners]
        entries = ["198.51.0.0/16"]
        [blocklists.abuse]
        entries = ["203.0.113.0/24"]
        [[rules]]
        name = "ssh"
        ports = [22]
        from = ["admins"]
        [[rules]]
        name = "all-ssh"
        ports = [22]
        protocols = ["tcp", "udp"]
        from = ["partners"]
        [[rules]]
        name = "web"
        ports = [80]
        from = "any"
    "#;

    fn policy(mode: Mode) -> Policy {
        let config = Config::parse(CONFIG, Path::new("test.toml")).unwrap().config;
        let mut lists = Lists::from_config(&config);
        let entry = Entry {
            prefix: "203.0.113.77".parse().unwrap(),
            comment: Some("scans".into()),
            expires_at: Some(99),
        };
        lists.add(ListKind::Block, "abuse", &[entry]).unwrap();
        Policy { mode, ..Policy::new(&config, lists, Vec::new(), 1, 42) }
    }

    fn answer(from: &str, port: u16, reason: Reason, rule: Option<&str>, mode: Mode) -> Answer {
        let question = Question {
            from: from.parse().unwrap(),
            to: Some("192.0.2.1".parse().unwrap()),
            protocol: None,
            port: Some(port),
        };
        Answer::new(
            &question.packet(&[]).unwrap(),
            &policy(mode),
            &Finding { verdict: reason.verdict(), reason, rule },
        )
    }

    #[test]
    fn the_entry_of_a_list_that_the_rule_names_decides() {
        let told = answer("198.51.100.7", 22, Reason::Rule, Some("ssh"), Mode::Enforce);
        let matched = told.decisive().unwrap();
        assert_eq!(
            (matched.kind.as_str(), matched.list.as_str(), matched.entry.as_str()),
            ("allow", "admins", "198.51.100.0/24")
        );
        assert_eq!((matched.origin.as_str(), matched.comment.as_ref()), ("config", None));
        assert_eq!(told.source_in.len(), 2);
        assert_eq!(told.rules_for_port, ["ssh", "all-ssh"]);
        assert_eq!(
            (told.verdict.as_str(), told.reason.as_str(), told.generation),
            ("pass", "rule", Some(42))
        );
        let other = answer("198.51.100.7", 22, Reason::Rule, Some("all-ssh"), Mode::Enforce);
        assert_eq!(other.list.as_deref(), Some("partners"), "the rule decides which list counts");
    }

    #[test]
    fn the_most_specific_entry_of_a_blocklist_decides() {
        let told = answer("203.0.113.77", 80, Reason::Blocklist, None, Mode::Enforce);
        let matched = told.decisive().unwrap();
        assert_eq!(
            (matched.entry.as_str(), matched.origin.as_str()),
            ("203.0.113.77/32", "runtime")
        );
        assert_eq!((matched.comment.as_deref(), matched.expires_at), (Some("scans"), Some(99)));
        assert_eq!(told.explanation, "The source is on a blocklist.");
    }

    #[test]
    fn no_entry_decides_where_no_list_was_asked() {
        let open = answer("198.51.100.7", 80, Reason::Rule, Some("web"), Mode::Enforce);
        assert_eq!((open.decisive(), open.source_in.len(), open.audited), (None, 2, false));
        let closed = answer("5.6.7.8", 22, Reason::SourceNotAllowed, None, Mode::Audit);
        assert_eq!((closed.entry, closed.audited, closed.mode.as_str()), (None, true, "audit"));
        assert_eq!(closed.rules_for_port, ["ssh", "all-ssh"]);
    }
}
