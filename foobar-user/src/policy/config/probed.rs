//! `program`: the executable of a server whose functions are probed.

use std::path::PathBuf;

use super::{
    observed::Requests,
    section::{Section, Value},
    values,
};

/// Longest path that the kernel takes (linux/limits.h).
const PATH_MAX: usize = 4096;

/// The executable for a source: `Some(None)` where none is probed, `None` where what is written is wrong.
pub(super) fn program(
    section: &Section<'_, '_>,
    value: Option<&Value<'_>>,
    source: Requests,
) -> Option<Option<PathBuf>> {
    let Some(server) = source.probed() else {
        if let Some(value) = value {
            section.error(
                value.span(),
                format!(
                    "`program` is an executable to probe, which requests = \"{source}\" does not do"
                ),
                format!("leave it out, or write requests = \"{}\"", Requests::NginxProbe),
            );
            return None;
        }
        return Some(None);
    };
    let Some(value) = value else { return Some(Some(server.usual_path().to_owned())) };
    let help = format!("write a path, such as program = \"{}\"", server.usual_path().display());
    let path = values::string(section, value, "`program`", &help)?;
    if !path.starts_with('/') || path.len() >= PATH_MAX || path.contains('\0') {
        section.error(value.span(), format!("\"{path}\" is no absolute path"), help);
        return None;
    }
    Some(Some(path.into()))
}
