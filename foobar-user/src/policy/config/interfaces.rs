//! `interfaces`: which of them to protect.

use toml::de::DeValue;

use super::{section::Section, values};

/// Which interfaces to protect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Interfaces {
    /// Those that hold a default route.
    Default,
    /// Those whose names match one of these: names, or patterns with `*` and `?`.
    Patterns(Vec<String>),
}

/// Longest name of an interface: IFNAMSIZ (linux/if.h) less the final zero.
const MAX_NAME: usize = 15;

impl Interfaces {
    /// Whether an interface of this name is meant. Never true for [`Interfaces::Default`], which names none.
    pub fn matches(&self, name: &str) -> bool {
        match self {
            Interfaces::Default => false,
            Interfaces::Patterns(patterns) => {
                patterns.iter().any(|pattern| glob(pattern.as_bytes(), name.as_bytes()))
            }
        }
    }

    pub(super) fn read(root: &mut Section<'_, '_>) -> Self {
        const HELP: &str = "write interfaces = \"default\", or names: interfaces = [\"eth0\"]";
        let Some(value) = root.take("interfaces") else { return Interfaces::Default };
        let items = match value.get_ref() {
            DeValue::String(text) if text == "default" => return Interfaces::Default,
            DeValue::String(_) => std::slice::from_ref(&value),
            _ => values::array(root, &value, "`interfaces`", HELP).unwrap_or_default(),
        };
        if items.is_empty() && matches!(value.get_ref(), DeValue::Array(_)) {
            root.error(value.span(), "`interfaces` names no interface", HELP);
        }
        let mut patterns = Vec::new();
        for item in items {
            let Some(name) = values::string(root, item, "an interface", HELP) else { continue };
            if name == "default" {
                root.error(
                    item.span(),
                    "\"default\" stands by itself",
                    "write interfaces = \"default\", or names only",
                );
            } else if name.is_empty()
                || name.len() > MAX_NAME
                || name.contains(['/', ' ', '\t', ':'])
            {
                root.error(
                    item.span(),
                    format!("\"{name}\" cannot be the name of an interface"),
                    format!("a name has 1 to {MAX_NAME} characters, without space, slash or colon; `ip link` shows them"),
                );
            } else if !patterns.iter().any(|known| known == name) {
                patterns.push(name.to_owned());
            }
        }
        Interfaces::Patterns(patterns)
    }
}

/// Whether `name` matches a pattern of `*` (any characters) and `?` (one character).
fn glob(pattern: &[u8], name: &[u8]) -> bool {
    match (pattern, name) {
        ([], []) => true,
        ([b'*', rest @ ..], _) => (0..=name.len()).any(|skipped| glob(rest, &name[skipped..])),
        ([b'?', rest @ ..], [_, name @ ..]) => glob(rest, name),
        ([byte, rest @ ..], [first, name @ ..]) => byte == first && glob(rest, name),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        let interfaces = Interfaces::Patterns(vec!["eth*".into(), "wg0".into(), "en?1".into()]);
        for name in ["eth", "eth0", "eth0.100", "wg0", "ens1"] {
            assert!(interfaces.matches(name), "{name}");
        }
        for name in ["et", "veth0", "wg01", "en1", "lo", ""] {
            assert!(!interfaces.matches(name), "{name}");
        }
        assert!(!Interfaces::Default.matches("eth0"));
    }
}
