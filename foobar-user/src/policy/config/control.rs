//! How the daemon is told what to do: `[control]`, `[reload]`.

use super::{section::Section, values};

/// `[control]`: the control socket.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Control {
    /// The group whose members may use it, beside root.
    pub group: Option<String>,
}

impl Control {
    pub(super) fn read(mut section: Section<'_, '_>) -> Self {
        let group = section.take("group").and_then(|value| {
            const HELP: &str = "write the name of a group, such as group = \"foobar-admins\"";
            let name = values::string(&section, &value, "`group`", HELP)?;
            if name.is_empty() || name.contains([':', '/', '\n', ',', ' ']) {
                section.error(
                    value.span(),
                    format!("{name:?} cannot be the name of a group"),
                    HELP,
                );
                return None;
            }
            Some(name.to_owned())
        });
        section.finish();
        Control { group }
    }
}

/// `[reload]`: when the configuration is read again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reload {
    /// Whether a change of the configuration or of a list file is reason enough.
    pub watch: bool,
}

impl Reload {
    pub(super) fn read(mut section: Section<'_, '_>) -> Self {
        let watch =
            section.take("watch").is_some_and(|value| values::boolean(&section, &value, "watch"));
        section.finish();
        Reload { watch }
    }
}
