//! Whether a change would cut somebody off who is connected now: a decision on addresses and policies alone.

use std::net::IpAddr;

use super::{
    ListKind, Policy, Prefix, explain,
    model::{Mode, Peers},
    protocol::Protocol,
};

/// A TCP connection that somebody has to a port of this server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Session {
    /// The other side.
    pub peer: IpAddr,
    /// The port of this server.
    pub port: u16,
}

/// A session that a policy would drop, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cut {
    /// Whose.
    pub session: Session,
    /// Why.
    pub why: Why,
}

/// Why a policy drops what comes from a peer to a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Why {
    /// An entry of a blocklist holds the peer.
    Blocked {
        /// The list.
        list: String,
        /// The entry, the most specific if there are several.
        entry: Prefix,
    },
    /// Rules name the port, but none of these allowlists holds the peer.
    NotAllowed {
        /// The allowlists that the rules name.
        lists: Vec<String>,
    },
    /// No rule names the port.
    NoRule,
}

/// The sessions that `before` lets pass and `after` would drop; without a policy before, everything passed.
pub fn cut(before: Option<&Policy>, after: &Policy, sessions: &[Session]) -> Vec<Cut> {
    let passed = |session: &Session| before.is_none_or(|before| verdict(before, session).is_none());
    let cut = sessions.iter().filter(|session| passed(session));
    cut.filter_map(|&session| Some(Cut { session, why: verdict(after, &session)? })).collect()
}

/// Why the packets of a session are dropped; `None` if they pass.
fn verdict(policy: &Policy, session: &Session) -> Option<Why> {
    if policy.mode == Mode::Audit {
        return None;
    }
    let entries = explain::source(policy, session.peer);
    if let Some(blocking) = entries.iter().find(|held| held.kind == ListKind::Block) {
        let (list, entry) = (blocking.list.clone(), blocking.entry.prefix);
        return Some(Why::Blocked { list, entry });
    }
    let rules = explain::rules(policy, Protocol::TCP, session.port);
    if rules.is_empty() {
        return Some(Why::NoRule);
    }
    let mut lists = Vec::new();
    for rule in rules {
        match &rule.from {
            Peers::Any => return None,
            Peers::Lists(names) => lists.extend(names.iter().cloned()),
        }
    }
    let allowed =
        entries.iter().any(|held| held.kind == ListKind::Allow && lists.contains(&held.list));
    (!allowed).then_some(Why::NotAllowed { lists })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::policy::{Config, Lists};

    fn policy(text: &str) -> Policy {
        let config = Config::parse(text, Path::new("x.toml")).unwrap().config;
        Policy::new(&config, Lists::from_config(&config), Vec::new(), 0, 1)
    }

    fn session(peer: &str, port: u16) -> Session {
        Session { peer: peer.parse().unwrap(), port }
    }

    const SSH: &str = "[[rules]]\nname = \"ssh\"\nports = [22]\nfrom = [\"admins\"]\n";

    fn admins(entries: &str) -> String {
        format!("[allowlists.admins]\nentries = [{entries}]\n{SSH}")
    }

    #[test]
    fn who_is_taken_off_the_allowlist_is_cut() {
        let before = policy(&admins("\"192.0.2.0/24\", \"2001:db8::/32\""));
        let after = policy(&admins("\"192.0.2.7\""));
        let sessions =
            ["192.0.2.7", "192.0.2.8", "2001:db8::1", "203.0.113.1"].map(|peer| session(peer, 22));
        let lists = || Why::NotAllowed { lists: vec!["admins".into()] };
        assert_eq!(
            cut(Some(&before), &after, &sessions),
            [
                Cut { session: sessions[1], why: lists() },
                Cut { session: sessions[2], why: lists() }
            ],
            "203.0.113.1 was shut out before"
        );
        assert_eq!(cut(None, &after, &sessions).len(), 3, "before the first start all could pass");
        assert!(cut(Some(&after), &before, &sessions).is_empty());
    }

    #[test]
    fn a_blocklist_is_stronger_than_any_rule() {
        let open = "[[rules]]\nname = \"ssh\"\nports = [22]\nfrom = \"any\"\n";
        let blocked = policy(&format!(
            "[blocklists.abuse]\nentries = [\"192.0.2.0/24\", \"192.0.2.8/30\"]\n{open}"
        ));
        let why = &cut(Some(&policy(open)), &blocked, &[session("192.0.2.9", 22)])[0].why;
        let entry = "192.0.2.8/30".parse().unwrap();
        assert_eq!(*why, Why::Blocked { list: "abuse".into(), entry });
    }

    #[test]
    fn without_a_rule_the_port_is_closed_unless_nothing_is_enforced() {
        let sessions = [session("192.0.2.7", 2222)];
        let text = admins("\"192.0.2.7\"");
        let audit = policy(&format!("mode = \"audit\"\n{text}"));
        assert!(cut(None, &audit, &sessions).is_empty());
        assert_eq!(cut(Some(&audit), &policy(&text), &sessions)[0].why, Why::NoRule);
        let udp = text.replace("ports = [22]", "ports = [2222]\nprotocols = [\"udp\"]");
        assert_eq!(cut(None, &policy(&udp), &sessions)[0].why, Why::NoRule, "that is another port");
    }
}
