//! `[allowlists.NAME]` and `[blocklists.NAME]`, and the files that they name.

use std::{
    ops::Range,
    path::{Path, PathBuf},
    sync::Arc,
};

use toml::de::DeValue;

use super::{ListConfig, reader::Reader, rules::Names, section::Section, values};
use crate::policy::{
    diagnostic::{Diagnostic, Severity},
    lists::{ListKind, MAX_ENTRIES},
    prefix::Prefix,
    prefix_set::PrefixSet,
    text_list::{self, Findings},
};

/// Reads all lists of one kind, with the places of their names.
pub(super) fn read(
    lists: Section<'_, '_>,
    kind: ListKind,
    names: &mut Names,
) -> Vec<(ListConfig, Range<usize>)> {
    let reader = lists.reader();
    let mut all = Vec::new();
    for (name, value) in lists.into_entries() {
        let span = name.span();
        let name = name.into_inner();
        let Some(section) = values::table(reader, value, format!("[{kind}s.{name}]")) else {
            continue;
        };
        if !values::check_name(&section, span.clone(), "a list", &name) {
            continue;
        }
        if names.lists.insert(name.clone(), kind).is_some() {
            section.error(
                span.clone(),
                format!("\"{name}\" is the name of an allowlist and of a blocklist"),
                "give one of them another name; metrics and egress rules tell lists apart by their names alone",
            );
        }
        let (inline, file) = read_one(section);
        let (entries, file) = match file {
            // The larger part takes the other one in.
            Some((path, mut set)) => {
                set.extend(&inline);
                (set, Some(path))
            }
            None => (inline.clone(), None),
        };
        check_size(reader, &span, &name, &entries);
        all.push((ListConfig { kind, name, entries: Arc::new(entries), inline, file }, span));
    }
    all
}

/// The entries of a list, and its file with the entries in there.
fn read_one(mut section: Section<'_, '_>) -> (PrefixSet, Option<(PathBuf, PrefixSet)>) {
    const FILE_HELP: &str = "write the path of a text file, such as file = \"abuse.txt\"";
    let inline = section.take("entries").map(|value| entries(&section, &value)).unwrap_or_default();
    let file = section.take("file").and_then(|value| {
        let path = values::string(&section, &value, "`file`", FILE_HELP)?;
        let folder = section.reader().file().parent().unwrap_or(Path::new(""));
        let path = folder.join(path);
        let set = match section.reader().list_file(&path) {
            Ok(bytes) => {
                let set = file_entries(section.reader(), &path, &bytes);
                section.reader().keep(&path, bytes);
                set
            }
            Err(error) => {
                section.error(
                    value.span(),
                    format!("cannot read the list file {}: {error}", path.display()),
                    "create it (it may be empty), or correct the path, which is relative to the folder of the configuration",
                );
                PrefixSet::default()
            }
        };
        Some((path, set))
    });
    section.finish();
    (inline, file)
}

/// Entries of the configuration itself.
fn entries(section: &Section<'_, '_>, value: &super::section::Value<'_>) -> PrefixSet {
    const HELP: &str = "write entries = [\"192.0.2.0/24\", \"2001:db8::/32\"]";
    let items = values::array(section, value, "`entries`", HELP).unwrap_or_default();
    items
        .iter()
        .filter_map(|item| {
            let DeValue::String(text) = item.get_ref() else {
                section.error(
                    item.span(),
                    format!("an entry must be a string, not {}", values::article(item.get_ref())),
                    HELP,
                );
                return None;
            };
            match Prefix::parse(text) {
                Ok(parsed) => {
                    if parsed.host_bits {
                        section.reader().note(
                            item.span(),
                            text_list::host_bits(text, &parsed.prefix),
                            None,
                        );
                    }
                    Some(parsed.prefix)
                }
                Err(error) => {
                    section.error(item.span(), error.message, error.help);
                    None
                }
            }
        })
        .collect()
}

fn file_entries(reader: &Reader<'_>, path: &Path, bytes: &[u8]) -> PrefixSet {
    let list = text_list::parse(bytes);
    report(reader, path, Severity::Error, list.errors);
    report(reader, path, Severity::Note, list.notes);
    list.set
}

fn report(reader: &Reader<'_>, path: &Path, severity: Severity, findings: Findings) {
    let more = findings.total - findings.first.len();
    let file = || path.to_owned();
    for finding in findings.first {
        let text_list::Finding { line, column, message, help } = finding;
        reader.push(Diagnostic { severity, file: file(), line, column, message, help });
    }
    if more > 0 {
        let message = format!("{more} more lines like these");
        reader.push(Diagnostic { severity, file: file(), line: 0, column: 0, message, help: None });
    }
}

fn check_size(reader: &Reader<'_>, span: &Range<usize>, name: &str, entries: &PrefixSet) {
    let largest = entries.len4().max(entries.len6());
    if largest > MAX_ENTRIES {
        reader.error(
            span.clone(),
            format!("the list \"{name}\" has {largest} entries of one IP version, at most {MAX_ENTRIES} can be"),
            "join neighbouring prefixes to shorter ones",
        );
    }
}
