//! `[egress]`: what may leave the server.

use std::ops::Range;

use super::{
    rules::{self, Names},
    section::Section,
    values,
};
use crate::policy::{
    lists::ListKind,
    model::{Action, Egress, EgressRule, Peers},
    protocol::Protocol,
};

const ACTIONS: &[(&str, Action)] = &[("allow", Action::Allow), ("deny", Action::Deny)];

/// Reads `[egress]` and `[[egress.rules]]`.
pub(super) fn read(mut section: Section<'_, '_>, names: &mut Names) -> Egress {
    let default = section
        .take("default")
        .and_then(|value| values::word(&section, &value, "default", ACTIONS))
        .unwrap_or(Action::Allow);
    let sections = section.sections("rules").unwrap_or_default();
    rules::check_number(&sections);
    let rules = sections
        .into_iter()
        .filter_map(|section| read_one(section, names))
        .map(|(rule, _)| rule)
        .collect();
    section.finish();
    Egress { default, rules }
}

fn read_one(mut section: Section<'_, '_>, names: &mut Names) -> Option<(EgressRule, Range<usize>)> {
    let name = names.rule(&mut section);
    let to = match section.take("to") {
        Some(value) => names.peers(&section, &value, "to", &[ListKind::Allow, ListKind::Block]),
        None => Some(Peers::Any),
    };
    let protocols =
        section.take("protocols").map(|value| (value.span(), rules::protocols(&section, &value)));
    let ports_value = section.take("ports");
    let ports = match &ports_value {
        Some(value) => rules::port_ranges(&section, value),
        None => Some(Vec::new()),
    };
    let protocols = match protocols {
        Some((_, protocols)) => protocols,
        // Ports without a protocol mean TCP, as in the other rules; without both, everything is meant.
        None if ports_value.is_some() => Some(vec![Protocol::TCP]),
        None => Some(Vec::new()),
    };
    if let (Some(value), Some(protocols)) = (&ports_value, &protocols)
        && let Some(without) = protocols.iter().find(|protocol| !protocol.has_ports())
    {
        section.error(
            value.span(),
            format!("{without} has no ports"),
            "leave `ports` out, or give this protocol a rule of its own",
        );
    }
    let action =
        section.required_word("action", ACTIONS, "action = \"allow\" or action = \"deny\"");
    section.finish();
    let (name, span) = name?;
    Some((
        EgressRule { name, to: to?, protocols: protocols?, ports: ports?, action: action? },
        span,
    ))
}
