//! `[[rules]]`, and what egress rules have in common with them.

use std::{collections::BTreeMap, ops::Range};

use toml::de::DeValue;

use super::{
    section::{Section, Value},
    values,
};
use crate::policy::{
    diagnostic::did_you_mean,
    lists::ListKind,
    model::{Peers, Rule},
    prefix::Prefix,
    protocol::{PortRange, Protocol},
};

/// Most rules that a configuration may have in each direction. A packet costs the same whatever their number, but each takes
/// counters and a row of the tables.
pub const MAX_RULES: usize = 1024;

/// Names that are taken so far.
#[derive(Default)]
pub(super) struct Names {
    /// All lists, also those that could not be read.
    pub(super) lists: BTreeMap<String, ListKind>,
    /// All rules, with the place of their names.
    rules: BTreeMap<String, usize>,
}

impl Names {
    /// Takes a rule's name and sees to it that no other rule has it.
    pub(super) fn rule(&mut self, section: &mut Section<'_, '_>) -> Option<(String, Range<usize>)> {
        let value = section.required("name", "name = \"web\"")?;
        let span = value.span();
        let name = values::string(section, &value, "`name`", "write name = \"web\"")?;
        if !values::check_name(section, span.clone(), "a rule", name) {
            return None;
        }
        if let Some(first) = self.rules.get(name) {
            let (line, _) = section.reader().place(*first);
            section.error(
                span,
                format!("there are two rules of the name \"{name}\""),
                format!("the other one is on line {line}; counters go by this name, so each rule needs its own"),
            );
            return None;
        }
        self.rules.insert(name.to_owned(), span.start);
        Some((name.to_owned(), span))
    }

    /// Reads `from` or `to`: `"any"`, or a list of list names. `kinds` are the lists that may be named.
    pub(super) fn peers(
        &self,
        section: &Section<'_, '_>,
        value: &Value<'_>,
        key: &str,
        kinds: &[ListKind],
    ) -> Option<Peers> {
        let help = format!("write {key} = \"any\", or names of lists: {key} = [\"admins\"]");
        let items = match value.get_ref() {
            DeValue::String(text) if text == "any" => return Some(Peers::Any),
            DeValue::String(text) if text.parse::<Prefix>().is_ok() => {
                not_a_list(section, value.span(), key, text);
                return None;
            }
            DeValue::String(text) => {
                section.error(
                    value.span(),
                    format!("`{key}` cannot be \"{text}\""),
                    format!(
                        "write {key} = [\"{text}\"] for the list of this name, or {key} = \"any\""
                    ),
                );
                return None;
            }
            _ => values::array(section, value, &format!("`{key}`"), &help)?,
        };
        if items.is_empty() {
            section.error(value.span(), format!("`{key}` names nobody"), help);
            return None;
        }
        let mut lists: Vec<String> = Vec::new();
        for item in items {
            let name = values::string(section, item, "the name of a list", &help)?;
            match self.lists.get(name) {
                _ if name == "any" => {
                    section.error(item.span(), "\"any\" is no list", format!("write {key} = \"any\", without brackets"));
                    return None;
                }
                Some(kind) if kinds.contains(kind) => {
                    if !lists.iter().any(|known| known == name) {
                        lists.push(name.to_owned());
                    }
                }
                Some(kind) => section.error(
                    item.span(),
                    format!("\"{name}\" is a {kind}, and a rule allows"),
                    "name allowlists here; blocklists are applied before all rules, without being named",
                ),
                None if name.parse::<Prefix>().is_ok() => not_a_list(section, item.span(), key, name),
                None => section.error(item.span(), format!("there is no list \"{name}\""), self.unknown_list(name, kinds)),
            }
        }
        Some(Peers::Lists(lists))
    }

    fn unknown_list(&self, name: &str, kinds: &[ListKind]) -> String {
        let usable = || {
            self.lists
                .iter()
                .filter(|(_, kind)| kinds.contains(kind))
                .map(|(name, _)| name.as_str())
        };
        if let Some(meant) = did_you_mean(name, usable()) {
            return format!("did you mean \"{meant}\"?");
        }
        let all: Vec<_> = usable().collect();
        let section = match values::no_name(name) {
            Some(help) => return help,
            None => format!("[allowlists.{name}]"),
        };
        if all.is_empty() {
            format!("add {section}")
        } else {
            format!("add {section}, or name one of: {}", all.join(", "))
        }
    }
}

/// An address stands where the name of a list belongs: the most common slip of those who know other firewalls.
fn not_a_list(section: &Section<'_, '_>, span: Range<usize>, key: &str, prefix: &str) {
    section.error(
        span,
        format!("`{key}` names lists, and \"{prefix}\" is an address or prefix"),
        format!(
            "put it on a list: [allowlists.admins] with entries = [\"{prefix}\"], and name that: {key} = [\"admins\"]"
        ),
    );
}

/// Reads all ingress rules, with the places of their names.
pub(super) fn read(sections: Vec<Section<'_, '_>>, names: &mut Names) -> Vec<(Rule, Range<usize>)> {
    check_number(&sections);
    sections.into_iter().filter_map(|section| read_one(section, names)).collect()
}

/// Reports too many rules at the first one that is too many.
pub(super) fn check_number(sections: &[Section<'_, '_>]) {
    if let Some(section) = sections.get(MAX_RULES) {
        section.error(
            section.span(),
            format!("there are {} {}, at most {MAX_RULES} can be", sections.len(), section.title()),
            "one rule may name many ports and lists; put sources that may do the same on one list",
        );
    }
}

fn read_one(mut section: Section<'_, '_>, names: &mut Names) -> Option<(Rule, Range<usize>)> {
    let name = names.rule(&mut section);
    let protocols = section.take("protocols").map(|value| protocols(&section, &value));
    let protocols = protocols.unwrap_or_else(|| Some(vec![Protocol::TCP]));
    let ports = ports(&mut section, protocols.as_deref());
    let from = section
        .required("from", "from = \"any\", or names of allowlists: from = [\"admins\"]")
        .and_then(|value| names.peers(&section, &value, "from", &[ListKind::Allow]));
    let limit = section.take("limit").map(|value| {
        values::rate_limit(
            &section,
            value,
            "`limit`",
            "per_source",
            "a rule that is left out lets nobody in",
        )
    });
    section.finish();
    let (name, span) = name?;
    let limit = match limit {
        Some(limit) => Some(limit?),
        None => None,
    };
    Some((Rule { name, protocols: protocols?, ports: ports?, from: from?, limit }, span))
}

/// Ports of a rule: needed with TCP and UDP, wrong with others.
fn ports(section: &mut Section<'_, '_>, protocols: Option<&[Protocol]>) -> Option<Vec<PortRange>> {
    let value = section.take("ports");
    let needed = protocols?.iter().all(|protocol| protocol.has_ports());
    match value {
        Some(value) if needed => port_ranges(section, &value),
        Some(value) => {
            let without = protocols?.iter().find(|protocol| !protocol.has_ports())?;
            section.error(
                value.span(),
                format!("{without} has no ports"),
                "leave `ports` out, or give this protocol a rule of its own",
            );
            None
        }
        None if needed => {
            section.error(
                section.span(),
                format!("{} has no `ports`", section.title()),
                "add ports = [443], or ports = [\"1-65535\"] for all",
            );
            None
        }
        None => Some(Vec::new()),
    }
}

/// An array of ports and ranges, sorted, with overlapping ones joined.
pub(super) fn port_ranges(section: &Section<'_, '_>, value: &Value<'_>) -> Option<Vec<PortRange>> {
    const HELP: &str = "write ports = [80, 443, \"8000-8099\"]";
    let items = values::array(section, value, "`ports`", HELP)?;
    if items.is_empty() {
        section.error(value.span(), "`ports` names no port", HELP);
    }
    let ranges: Vec<_> = items.iter().map(|item| values::port_range(section, item)).collect();
    let mut ranges: Vec<_> = ranges.into_iter().collect::<Option<_>>()?;
    ranges.sort_unstable();
    ranges.dedup_by(|next, kept| {
        let joins = next.first <= kept.last;
        if joins {
            kept.last = kept.last.max(next.last);
        }
        joins
    });
    Some(ranges)
}

/// An array of protocols: TCP and UDP, or others without ports, or all kinds if `mixed`.
pub(super) fn protocols(section: &Section<'_, '_>, value: &Value<'_>) -> Option<Vec<Protocol>> {
    let help =
        format!("write a name ({}) or a number", Protocol::names().collect::<Vec<_>>().join(", "));
    let items = values::array(section, value, "`protocols`", "write protocols = [\"tcp\"]")?;
    if items.is_empty() {
        section.error(value.span(), "`protocols` names no protocol", &help);
        return None;
    }
    let mut protocols: Vec<Protocol> = Vec::new();
    for item in items {
        let text = match item.get_ref() {
            DeValue::Integer(number) => number.to_string(),
            _ => values::string(section, item, "a protocol", &help)?.to_owned(),
        };
        match text.parse::<Protocol>() {
            Ok(protocol) if protocol.is_header() => {
                section.error(item.span(), format!("{protocol} is a header in front of what a packet carries"), "name what comes behind it; [choices] extension_headers says what happens to such headers");
                return None;
            }
            Ok(protocol) if !protocols.contains(&protocol) => protocols.push(protocol),
            Ok(_) => {}
            Err(unknown) => {
                let help = match did_you_mean(&unknown.0, Protocol::names()) {
                    Some(meant) => format!("did you mean \"{meant}\"?"),
                    None => help,
                };
                section.error(item.span(), unknown.to_string(), help);
                return None;
            }
        }
    }
    if protocols.iter().any(|protocol| protocol.has_ports() != protocols[0].has_ports()) {
        section.error(
            value.span(),
            "protocols with ports (tcp, udp) and without stand in one rule",
            "give them a rule each",
        );
        return None;
    }
    Some(protocols)
}
