//! What changes from one policy to another, as `reload` prints it.

use std::{collections::BTreeSet, fmt};

use serde::{Deserialize, Serialize};

use super::{
    config::Observed,
    lists::{List, ListKind},
    model::Policy,
    prefix::Prefix,
};

/// Prefixes of each list that are named; the others are only counted.
const MAX_EXAMPLES: usize = 5;

/// What changes from one policy to another.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Difference {
    /// Ingress rules.
    pub rules: RulesDifference,
    /// Egress rules.
    pub egress_rules: RulesDifference,
    /// Lists whose entries change, by name.
    pub lists: Vec<ListDifference>,
    /// Mode, choices, limits and named ports, a sentence each.
    pub settings: Vec<String>,
}

/// Rules, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RulesDifference {
    /// New rules.
    pub added: Vec<String>,
    /// Rules that are gone.
    pub removed: Vec<String>,
    /// Rules that match or do something else than before.
    pub changed: Vec<String>,
    /// Whether rules that stay are tried in another order.
    pub reordered: bool,
}

/// Entries of a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListDifference {
    /// Allowlist or blocklist.
    pub kind: ListKind,
    /// The list's name.
    pub name: String,
    /// Number of entries that are new.
    pub added: usize,
    /// Number of entries that are gone.
    pub removed: usize,
    /// The first of the new ones.
    pub added_examples: Vec<Prefix>,
    /// The first of those that are gone.
    pub removed_examples: Vec<Prefix>,
}

impl RulesDifference {
    /// Whether nothing changes.
    pub fn is_empty(&self) -> bool {
        *self == RulesDifference::default()
    }
}

impl Difference {
    /// Whether nothing changes.
    pub fn is_empty(&self) -> bool {
        *self == Difference::default()
    }
}

/// Compares two policies, and what is observed beside them. Numbers, epochs and own addresses are no difference.
pub fn diff(
    (old, seen): (&Policy, &[Observed]),
    (new, sees): (&Policy, &[Observed]),
) -> Difference {
    Difference {
        rules: rules(&old.rules, &new.rules, |rule| &rule.name),
        egress_rules: rules(&old.egress.rules, &new.egress.rules, |rule| &rule.name),
        lists: lists(old, new),
        settings: [settings(old, new), observed(seen, sees)].concat(),
    }
}

fn rules<R: PartialEq>(old: &[R], new: &[R], name: impl Fn(&R) -> &String) -> RulesDifference {
    let find = |rules: &[R], wanted: &String| rules.iter().position(|rule| name(rule) == wanted);
    let mut difference = RulesDifference::default();
    let mut places = Vec::new();
    for rule in new {
        match find(old, name(rule)) {
            None => difference.added.push(name(rule).clone()),
            Some(at) => {
                places.push(at);
                if old[at] != *rule {
                    difference.changed.push(name(rule).clone());
                }
            }
        }
    }
    difference.removed =
        old.iter().map(&name).filter(|name| find(new, name).is_none()).cloned().collect();
    difference.reordered = !places.is_sorted();
    difference
}

fn lists(old: &Policy, new: &Policy) -> Vec<ListDifference> {
    let mut differences = Vec::new();
    for list in new.lists.iter() {
        let before = old.lists.by_name(&list.name).filter(|before| before.kind == list.kind);
        differences.extend(compare(list, before, Some(list)));
    }
    for list in old.lists.iter() {
        if new.lists.by_name(&list.name).is_none_or(|after| after.kind != list.kind) {
            differences.extend(compare(list, Some(list), None));
        }
    }
    differences.sort_by(|a, b| (&a.name, a.kind).cmp(&(&b.name, b.kind)));
    differences
}

fn compare(named: &List, before: Option<&List>, after: Option<&List>) -> Option<ListDifference> {
    let mut difference = ListDifference {
        kind: named.kind,
        name: named.name.clone(),
        added: 0,
        removed: 0,
        added_examples: Vec::new(),
        removed_examples: Vec::new(),
    };
    let mut note = |prefix: Prefix, is_new: bool| {
        let (count, examples) = if is_new {
            (&mut difference.added, &mut difference.added_examples)
        } else {
            (&mut difference.removed, &mut difference.removed_examples)
        };
        *count += 1;
        if examples.len() < MAX_EXAMPLES {
            examples.push(prefix);
        }
    };
    match (before, after) {
        (Some(before), Some(after)) => before.difference(after, note),
        (Some(only), None) => only.prefixes().for_each(|prefix| note(prefix, false)),
        (None, Some(only)) => only.prefixes().for_each(|prefix| note(prefix, true)),
        (None, None) => {}
    }
    (difference.added + difference.removed > 0).then_some(difference)
}

fn settings(old: &Policy, new: &Policy) -> Vec<String> {
    let mut settings = Vec::new();
    let mut changed = |what: &str, before: String, after: String| {
        if before != after {
            settings.push(format!("{what}: {before} becomes {after}"));
        }
    };
    changed("mode", old.mode.to_string(), new.mode.to_string());
    changed("egress default", old.egress.default.to_string(), new.egress.default.to_string());
    let packets = |policy: &Policy| match policy.limits.packets_per_source {
        Some(limit) => limit.to_string(),
        None => "no limit".to_owned(),
    };
    changed("packets per source", packets(old), packets(new));
    let ports = |policy: &Policy| {
        policy.named_ports.iter().map(u16::to_string).collect::<Vec<_>>().join(", ")
    };
    changed("named ports", ports(old), ports(new));
    for ((name, before), (_, after)) in old.choices.words().into_iter().zip(new.choices.words()) {
        changed(&format!("choice {name}"), before, after);
    }
    settings
}

/// A sentence for each port that is observed otherwise than before.
fn observed(old: &[Observed], new: &[Observed]) -> Vec<String> {
    let find = |all: &[Observed], port: u16| {
        all.iter().find(|seen| seen.port == port).map_or_else(|| "nothing".to_owned(), describe)
    };
    let ports: BTreeSet<u16> = old.iter().chain(new).map(|seen| seen.port).collect();
    let changes = ports.into_iter().filter_map(|port| {
        let (before, after) = (find(old, port), find(new, port));
        (before != after).then(|| format!("observed at port {port}: {before} becomes {after}"))
    });
    changes.collect()
}

/// `https, requests nginx-probe of /usr/sbin/nginx, status http://127.0.0.1:8081/status, names www.foobar.com`.
fn describe(seen: &Observed) -> String {
    let mut text = format!("{}, requests {}", seen.protocol, seen.requests);
    if let Some(program) = &seen.program {
        text += &format!(" of {}", program.display());
    }
    if let Some(status) = &seen.status {
        text += &format!(", status {}", status.address);
        if let Some(frontend) = &status.frontend {
            text += &format!(" frontend {frontend}");
        }
    }
    if !seen.server_names.is_empty() {
        text += &format!(", names {}", seen.server_names.join(" "));
    }
    text
}

impl fmt::Display for RulesDifference {
    /// `+ web`, `- ssh`, `~ mysql`, a line each.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (sign, names) in [('+', &self.added), ('-', &self.removed), ('~', &self.changed)] {
            names.iter().try_for_each(|name| writeln!(f, "  {sign} {name}"))?;
        }
        if self.reordered {
            writeln!(f, "  the rules that stay are tried in another order")?;
        }
        Ok(())
    }
}

impl fmt::Display for Difference {
    /// For people: a heading for each part that changes, and a line for each change.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (title, rules) in [("rules", &self.rules), ("egress rules", &self.egress_rules)] {
            if !rules.is_empty() {
                write!(f, "{title}:\n{rules}")?;
            }
        }
        for list in &self.lists {
            writeln!(
                f,
                "{} {}: {} added, {} removed",
                list.kind, list.name, list.added, list.removed
            )?;
            let parts = [
                ('+', list.added, &list.added_examples),
                ('-', list.removed, &list.removed_examples),
            ];
            for (sign, count, examples) in parts {
                examples.iter().try_for_each(|prefix| writeln!(f, "  {sign} {prefix}"))?;
                if count > examples.len() {
                    writeln!(f, "  {sign} {} more", count - examples.len())?;
                }
            }
        }
        self.settings.iter().try_for_each(|setting| writeln!(f, "{setting}"))
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::policy::{config::Config, lists::Lists};

    fn parsed(text: &str) -> (Policy, Vec<Observed>) {
        let config = Config::parse(text, Path::new("test.toml")).unwrap().config;
        let policy = Policy::new(&config, Lists::from_config(&config), Vec::new(), 0, 1);
        (policy, config.observe.clone())
    }

    fn compare(
        (old, seen): &(Policy, Vec<Observed>),
        (new, sees): &(Policy, Vec<Observed>),
    ) -> Difference {
        diff((old, seen), (new, sees))
    }

    #[test]
    fn what_is_observed_otherwise_is_named_by_port() {
        let observing = |ports: &str| {
            let rule = "[[rules]]\nname = \"web\"\nports = [80, 443, 8080]\nfrom = \"any\"\n";
            parsed(&format!("{rule}{ports}"))
        };
        let old = observing(
            r#"
            [[observe]]
            port = 80
            protocol = "http"
            [[observe]]
            port = 443
            protocol = "https"
            server_names = ["www.foobar.com"]
            "#,
        );
        let new = observing(
            r#"
            [[observe]]
            port = 443
            protocol = "https"
            requests = "haproxy-status"
            status = "unix:/run/haproxy/admin.sock"
            frontend = "web"
            [[observe]]
            port = 8080
            protocol = "http"
            requests = "nginx-probe"
            program = "/usr/sbin/nginx"
            "#,
        );
        let changes = compare(&old, &new).settings;
        let observed: Vec<_> = changes.iter().filter(|line| line.starts_with("observed")).collect();
        assert_eq!(
            observed,
            [
                "observed at port 80: http, requests wire becomes nothing",
                "observed at port 443: https, requests turns, names www.foobar.com becomes https, requests haproxy-status, \
                 status unix:/run/haproxy/admin.sock frontend web",
                "observed at port 8080: nothing becomes http, requests nginx-probe of /usr/sbin/nginx",
            ]
        );
    }

    #[test]
    fn every_kind_of_difference_is_named() {
        let old = parsed(
            r#"
            mode = "audit"
            [allowlists.admins]
            entries = ["10.0.0.0/8", "2001:db8::/48"]
            [blocklists.abuse]
            entries = ["203.0.113.0/24"]
            [[rules]]
            name = "web"
            ports = [80]
            from = "any"
            [[rules]]
            name = "ssh"
            ports = [22]
            from = ["admins"]
            [[rules]]
            name = "old"
            ports = [23]
            from = "any"
            "#,
        );
        let new = parsed(
            r#"
            [choices]
            echo = "drop"
            fragments = "drop"
            [egress]
            default = "deny"
            [allowlists.admins]
            entries = ["10.0.0.0/8", "192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4", "192.0.2.5", "192.0.2.6"]
            [[rules]]
            name = "ssh"
            ports = [22]
            from = ["admins"]
            [[rules]]
            name = "web"
            ports = [80, 443]
            from = "any"
            [[rules]]
            name = "new"
            ports = [25]
            from = "any"
            "#,
        );
        assert_eq!(
            compare(&old, &new).to_string(),
            "rules:\n  + new\n  - old\n  ~ web\n  the rules that stay are tried in another order\n\
             blocklist abuse: 0 added, 1 removed\n  - 203.0.113.0/24\n\
             allowlist admins: 6 added, 1 removed\n  + 192.0.2.1/32\n  + 192.0.2.2/32\n  + 192.0.2.3/32\n  + 192.0.2.4/32\n  \
             + 192.0.2.5/32\n  + 1 more\n  - 2001:db8::/48\n\
             mode: audit becomes enforce\negress default: allow becomes deny\nnamed ports: 80, 22, 23 becomes 80, 443, 22, 25\n\
             choice fragments: track becomes drop\nchoice echo: 100/s (burst 200) becomes drop\n\
             observed at port 443: nothing becomes https, requests turns\n"
        );
        assert!(compare(&old, &old).is_empty() && compare(&old, &old).to_string().is_empty());
        let json = serde_json::to_string(&compare(&old, &new)).unwrap();
        assert_eq!(serde_json::from_str::<Difference>(&json).unwrap(), compare(&old, &new));
    }
}
