//! Single values of the configuration, from TOML to what they mean. Each reports its own mistakes and returns `None` then.

use std::{
    net::SocketAddr,
    ops::{Range, RangeInclusive},
    time::Duration,
};

use toml::de::DeValue;

use super::{
    choices::Echo,
    limits::{Period, Rate, RateLimit},
    reader::Reader,
    section::{Section, Value},
};
use crate::policy::{diagnostic::did_you_mean, protocol::PortRange};

/// "a string", "an integer", as sentences need it.
pub(super) fn article(value: &DeValue<'_>) -> String {
    let name = value.type_str();
    let article = if name.starts_with(['a', 'e', 'i', 'o', 'u']) { "an" } else { "a" };
    format!("{article} {name}")
}

/// A string.
pub(super) fn string<'v>(
    section: &Section<'_, '_>,
    value: &'v Value<'_>,
    what: &str,
    help: &str,
) -> Option<&'v str> {
    match value.get_ref() {
        DeValue::String(text) => Some(text),
        other => {
            section.error(
                value.span(),
                format!("{what} must be a string, not {}", article(other)),
                help,
            );
            None
        }
    }
}

/// True or false.
pub(super) fn boolean(section: &Section<'_, '_>, value: &Value<'_>, key: &str) -> bool {
    match value.get_ref() {
        DeValue::Boolean(answer) => *answer,
        other => {
            section.error(
                value.span(),
                format!("`{key}` must be true or false, not {}", article(other)),
                "write true or false, without quotes",
            );
            false
        }
    }
}

/// The items of an array.
pub(super) fn array<'v, 't>(
    section: &Section<'_, '_>,
    value: &'v Value<'t>,
    what: &str,
    help: &str,
) -> Option<&'v [Value<'t>]> {
    match value.get_ref() {
        DeValue::Array(items) => Some(items),
        other => {
            section.error(
                value.span(),
                format!("{what} must be an array, not {}", article(other)),
                help,
            );
            None
        }
    }
}

/// A table.
pub(super) fn table<'r, 't>(
    reader: &'r Reader<'t>,
    value: Value<'t>,
    title: String,
) -> Option<Section<'r, 't>> {
    let span = value.span();
    match value.into_inner() {
        DeValue::Table(table) => Some(Section::new(reader, title, span, table)),
        other => {
            reader.error(
                span,
                format!("{title} must be a table, not {}", article(&other)),
                format!("write {title} and its keys below"),
            );
            None
        }
    }
}

/// One of a few words.
pub(super) fn word<T: Copy>(
    section: &Section<'_, '_>,
    value: &Value<'_>,
    key: &str,
    words: &[(&'static str, T)],
) -> Option<T> {
    let all = words.iter().map(|(word, _)| format!("\"{word}\"")).collect::<Vec<_>>().join(" or ");
    let text = string(section, value, &format!("`{key}`"), &format!("write {all}"))?;
    let found = words.iter().find(|(word, _)| *word == text);
    if found.is_none() {
        let help = match did_you_mean(text, words.iter().map(|(word, _)| *word)) {
            Some(meant) => format!("did you mean \"{meant}\"?"),
            None => format!("write {all}"),
        };
        section.error(value.span(), format!("`{key}` cannot be \"{text}\""), help);
    }
    found.map(|(_, meaning)| *meaning)
}

/// A whole number within bounds.
pub(super) fn integer(
    section: &Section<'_, '_>,
    value: &Value<'_>,
    key: &str,
    bounds: RangeInclusive<i64>,
) -> Option<i64> {
    let help = || format!("write a number from {} to {}", bounds.start(), bounds.end());
    match value.get_ref() {
        DeValue::Integer(number) => match i64::from_str_radix(number.as_str(), number.radix()) {
            Ok(number) if bounds.contains(&number) => Some(number),
            _ => {
                section.error(value.span(), format!("`{key}`: {number} is out of bounds"), help());
                None
            }
        },
        other => {
            section.error(
                value.span(),
                format!("`{key}` must be a number, not {}", article(other)),
                help(),
            );
            None
        }
    }
}

/// A port.
pub(super) fn port(section: &Section<'_, '_>, value: &Value<'_>) -> Option<u16> {
    let range = port_range(section, value)?;
    if range.first == range.last {
        return Some(range.first);
    }
    section.error(
        value.span(),
        format!("here belongs one port, not the range {range}"),
        "name each port by itself",
    );
    None
}

/// Ports of an array, without repetitions, in its order.
pub(super) fn port_list(section: &Section<'_, '_>, value: &Value<'_>) -> Vec<u16> {
    let mut ports = Vec::new();
    for item in array(section, value, "`ports`", "write ports = [80, 443]").unwrap_or_default() {
        if let Some(port) = port(section, item)
            && !ports.contains(&port)
        {
            ports.push(port);
        }
    }
    ports
}

/// A port as a number, or a range as `"8000-8099"`.
pub(super) fn port_range(section: &Section<'_, '_>, value: &Value<'_>) -> Option<PortRange> {
    let span = || value.span();
    match value.get_ref() {
        DeValue::Integer(number) => {
            let number = i64::from_str_radix(number.as_str(), number.radix()).unwrap_or(i64::MAX);
            port_number(section, span(), number).map(PortRange::single)
        }
        DeValue::String(text) => {
            let (first, last) = text.split_once('-').unwrap_or((text, text));
            let (Ok(first), Ok(last)) = (first.trim().parse(), last.trim().parse()) else {
                let help = if text.contains(|c: char| c.is_ascii_alphabetic()) {
                    "names of services are not looked up; write a number such as 443, or a range such as \"8000-8099\""
                } else {
                    "write a number such as 443, or a range such as \"8000-8099\""
                };
                section.error(span(), format!("\"{text}\" is no port or range of ports"), help);
                return None;
            };
            let (first, last) =
                (port_number(section, span(), first)?, port_number(section, span(), last)?);
            if first > last {
                section.error(
                    span(),
                    format!("the range \"{text}\" is upside down"),
                    format!("write \"{last}-{first}\""),
                );
                return None;
            }
            Some(PortRange { first, last })
        }
        other => {
            section.error(
                span(),
                format!("a port must be a number or a range, not {}", article(other)),
                "write a number such as 443, or a range such as \"8000-8099\"",
            );
            None
        }
    }
}

fn port_number(section: &Section<'_, '_>, span: Range<usize>, number: i64) -> Option<u16> {
    match u16::try_from(number) {
        Ok(0) => section.error(
            span,
            "port 0 cannot be served: no packet on the wire may use it",
            "ports are 1 to 65535",
        ),
        Ok(port) => return Some(port),
        Err(_) => section.error(span, format!("{number} is no port"), "ports are 1 to 65535"),
    }
    None
}

/// A rate such as `"20/s"`. `nothing` is how to say what 0 would have meant.
pub(super) fn rate(
    section: &Section<'_, '_>,
    value: &Value<'_>,
    key: &str,
    nothing: &str,
) -> Option<Rate> {
    let help = || format!("write a count and a period, such as \"20/s\" or \"30/m\"; {nothing}");
    let text = string(section, value, &format!("`{key}`"), &help())?;
    let parsed = text.split_once('/').and_then(|(count, period)| {
        let period = match period.trim() {
            "s" => Period::Second,
            "m" => Period::Minute,
            _ => return None,
        };
        Some(Rate { count: count.trim().parse().ok()?, period })
    });
    match parsed {
        Some(Rate { count: 0, .. }) => {
            section.error(
                value.span(),
                format!("`{key}`: the rate \"{text}\" lets nothing through"),
                format!("write at least 1; {nothing}"),
            );
        }
        Some(rate) if rate.count > Rate::MAX_COUNT => {
            section.error(
                value.span(),
                format!("`{key}`: the rate \"{text}\" is too high"),
                format!("write at most {}, which is as high as can be counted", Rate::MAX_COUNT),
            );
        }
        Some(rate) => return Some(rate),
        None => section.error(value.span(), format!("`{key}`: \"{text}\" is no rate"), help()),
    }
    None
}

/// A rate, or 0 or `"off"` for none.
pub(super) fn rate_or_off(section: &Section<'_, '_>, value: &Value<'_>, key: &str) -> Option<Rate> {
    match value.get_ref() {
        DeValue::String(text) if text == "off" => None,
        DeValue::Integer(number) if number.as_str() == "0" => None,
        _ => rate(section, value, key, "\"off\" stands for none"),
    }
}

/// The size of a token bucket.
pub(super) fn burst(section: &Section<'_, '_>, value: &Value<'_>) -> Option<u64> {
    integer(section, value, "burst", 1..=RateLimit::MAX_BURST as i64).map(|burst| burst as u64)
}

/// `{ per_source = "20/s", burst = 40 }`; `key` is the name of the rate in it, `nothing` is how to say what 0 would have meant.
pub(super) fn rate_limit(
    section: &Section<'_, '_>,
    value: Value<'_>,
    title: &str,
    key: &'static str,
    nothing: &str,
) -> Option<RateLimit> {
    if !matches!(value.get_ref(), DeValue::Table(_)) {
        section.error(
            value.span(),
            format!("{title} must be a table, not {}", article(value.get_ref())),
            format!("write {{ {key} = \"20/s\", burst = 40 }}"),
        );
        return None;
    }
    let mut inner = table(section.reader(), value, format!("{title} of {}", section.title()))?;
    let rate = inner
        .required(key, &format!("{key} = \"20/s\""))
        .and_then(|value| rate(&inner, &value, key, nothing));
    let burst = inner.take("burst").map(|value| burst(&inner, &value));
    inner.finish();
    let rate = rate?;
    Some(RateLimit { rate, burst: burst.unwrap_or(Some(rate.count))? })
}

/// `echo`: a limit, or `"drop"`.
pub(super) fn echo(section: &Section<'_, '_>, value: Value<'_>) -> Echo {
    match value.get_ref() {
        DeValue::String(text) if text == "drop" => Echo::Drop,
        DeValue::Table(_) => {
            rate_limit(section, value, "`echo`", "rate", "echo = \"drop\" stands for none")
                .map_or_else(Echo::default, Echo::Limited)
        }
        _ => {
            section.error(
                value.span(),
                "`echo` is neither a limit nor \"drop\"",
                "write echo = { rate = \"100/s\", burst = 200 } or echo = \"drop\"",
            );
            Echo::default()
        }
    }
}

/// A time such as `"90s"`, `"5m"`, `"2h"` or `"5d"`.
pub(super) fn duration(
    section: &Section<'_, '_>,
    value: &Value<'_>,
    key: &str,
) -> Option<Duration> {
    const HELP: &str = "write a number and a unit, such as \"90s\", \"5m\", \"2h\" or \"5d\"";
    let text = string(section, value, &format!("`{key}`"), HELP)?;
    let unit = match text.chars().last() {
        Some('s') => Some(1),
        Some('m') => Some(60),
        Some('h') => Some(3600),
        Some('d') => Some(86400),
        _ => None,
    };
    let parsed = unit
        .and_then(|unit: u64| text[..text.len() - 1].trim().parse::<u64>().ok()?.checked_mul(unit));
    match parsed {
        Some(0) => section.error(
            value.span(),
            format!("`{key}`: \"{text}\" is no time at all"),
            "write at least \"1s\"",
        ),
        Some(seconds) => return Some(Duration::from_secs(seconds)),
        None => section.error(value.span(), format!("`{key}`: \"{text}\" is no time"), HELP),
    }
    None
}

/// An address and port to listen on, or `"off"`.
pub(super) fn listen(section: &Section<'_, '_>, value: &Value<'_>) -> Option<SocketAddr> {
    const HELP: &str =
        "write an address and a port, such as \"127.0.0.1:9898\" or \"[::1]:9898\", or \"off\"";
    let text = string(section, value, "`listen`", HELP)?;
    if text == "off" {
        return None;
    }
    let parsed = text.parse::<SocketAddr>();
    if parsed.is_err() {
        section.error(value.span(), format!("\"{text}\" is no address to listen on"), HELP);
    }
    parsed.ok()
}

/// The name of a rule or list: it is a label in metrics, a word on the command line and part of a file's name.
pub(super) fn check_name(
    section: &Section<'_, '_>,
    span: Range<usize>,
    what: &str,
    name: &str,
) -> bool {
    let Some(help) = no_name(name) else { return true };
    section.error(span, format!("\"{name}\" cannot be the name of {what}"), help);
    false
}

/// What names look like, for one that cannot be the name of a rule or list.
pub(super) fn no_name(name: &str) -> Option<String> {
    const MAX: usize = 64;
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    if name.is_empty() || name.len() > MAX {
        Some(format!("a name has 1 to {MAX} characters"))
    } else if !name.chars().all(plain) || !name.starts_with(|c: char| c.is_ascii_alphanumeric()) {
        Some(
            "a name consists of letters, digits, _ and -, and starts with a letter or digit".into(),
        )
    } else if matches!(name, "any" | "default") {
        Some(format!("\"{name}\" has a meaning of its own; choose another name"))
    } else {
        None
    }
}
