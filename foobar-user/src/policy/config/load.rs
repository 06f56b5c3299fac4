//! From the file to the configuration.

use std::{collections::BTreeSet, fs, io, ops::Range, path::Path};

use toml::de::DeTable;

use super::{
    Choices, Config, Control, Flows, Interfaces, Limits, ListConfig, Loaded, Log, MAX_NAMED_PORTS,
    Metrics, Observed, Reload, Sources, egress, list_files, reachable,
    reader::Reader,
    rules::{self, Names},
    section::Section,
    values,
};
use crate::policy::{
    diagnostic::{ConfigError, Diagnostic, Severity},
    lists::ListKind,
    model::{Egress, Mode, Peers, Rule},
};

/// One key, two meanings of which one is the default.
const MODES: &[(&str, Mode)] = &[("enforce", Mode::Enforce), ("audit", Mode::Audit)];

impl Config {
    /// Reads a configuration and the list files that it names.
    ///
    /// # Errors
    /// All mistakes of all files at once.
    pub fn load(path: &Path) -> Result<Loaded, ConfigError> {
        match fs::read_to_string(path) {
            Ok(text) => Config::parse(&text, path),
            Err(error) => {
                let why = match error.kind() {
                    io::ErrorKind::InvalidData => "it is not UTF-8 text".to_owned(),
                    _ => error.to_string(),
                };
                Err(ConfigError {
                    diagnostics: vec![Diagnostic {
                        severity: Severity::Error,
                        file: path.to_owned(),
                        line: 0,
                        column: 0,
                        message: format!("cannot read the configuration: {why}"),
                        help: Some("give the path of a readable text file with --config".into()),
                    }],
                })
            }
        }
    }

    /// Reads the text of a configuration. Its list files are relative to the folder of `path`, which need not exist itself.
    ///
    /// # Errors
    /// All mistakes of all files at once.
    pub fn parse(text: &str, path: &Path) -> Result<Loaded, ConfigError> {
        read_text(Reader::new(text, path, None), text, path)
    }

    /// Reads a configuration once more from what it was read from before; no file is opened.
    ///
    /// # Errors
    /// Those of [`Config::parse`], where another version of this program read it.
    pub fn from_sources(sources: &Sources) -> Result<Loaded, ConfigError> {
        let Sources { path, text, files } = sources;
        read_text(Reader::new(text, path, Some(files)), text, path)
    }
}

fn read_text(reader: Reader<'_>, text: &str, path: &Path) -> Result<Loaded, ConfigError> {
    let (root, errors) = DeTable::parse_recoverable(text);
    for error in errors {
        reader.error(
            error.span().unwrap_or_default(),
            format!("this is not TOML: {}", error.message()),
            "see https://toml.io for the syntax; strings need quotes",
        );
    }
    // What could be saved of a broken file would raise errors that are none.
    if reader.has_errors() {
        return Err(ConfigError { diagnostics: reader.into_diagnostics() });
    }
    let span = root.span();
    if root.as_ref().is_empty() {
        // As power cuts and full disks leave files; as a policy it would close every port.
        reader.error(
            span.clone(),
            "there is nothing in the configuration",
            "bring back a good copy; to close every port on purpose, write at least mode = \"enforce\"",
        );
    }
    let config = read(Section::new(&reader, "the configuration", span, root.into_inner()));
    if reader.has_errors() {
        return Err(ConfigError { diagnostics: reader.into_diagnostics() });
    }
    let sources =
        Sources { path: path.to_owned(), text: text.to_owned(), files: reader.take_files() };
    Ok(Loaded { config, notes: reader.into_diagnostics(), sources })
}

fn read(mut root: Section<'_, '_>) -> Config {
    let reader = root.reader();
    let mut names = Names::default();
    let interfaces = Interfaces::read(&mut root);
    let mode = root
        .take("mode")
        .and_then(|value| values::word(&root, &value, "mode", MODES))
        .unwrap_or(Mode::Enforce);
    let metrics = root.section("metrics").map(Metrics::read).unwrap_or_default();
    let mut lists = Vec::new();
    for (key, kind) in [("allowlists", ListKind::Allow), ("blocklists", ListKind::Block)] {
        lists.extend(
            root.section(key)
                .map(|section| list_files::read(section, kind, &mut names))
                .unwrap_or_default(),
        );
    }
    let rules = root
        .sections("rules")
        .map(|sections| rules::read(sections, &mut names))
        .unwrap_or_default();
    let egress =
        root.section("egress").map(|section| egress::read(section, &mut names)).unwrap_or_default();
    let limits = root.section("limits").map(Limits::read).unwrap_or_default();
    let choices = root.section("choices").map(Choices::read).unwrap_or_default();
    let flows = root.section("flows").map(Flows::read).unwrap_or_default();
    let observe = root.sections("observe").map(Observed::read_all);
    let log = root.section("log").map(Log::read).unwrap_or_default();
    let control = root.section("control").map(Control::read).unwrap_or_default();
    let reload = root.section("reload").map(Reload::read).unwrap_or_default();
    root.finish();

    // Where something could not be read, such notes would be about what is left.
    if !reader.has_errors() {
        reachable::note(reader, &rules);
        note_unused(reader, &lists, &rules, &egress);
    }
    let mut lists: Vec<ListConfig> = lists.into_iter().map(|(list, _)| list).collect();
    lists.sort_by(|a, b| a.name.cmp(&b.name));
    let rules: Vec<_> = rules.into_iter().map(|(rule, _)| rule).collect();
    let observe = observe.unwrap_or_else(|| Observed::defaults(&rules));
    let config = Config {
        interfaces,
        mode,
        metrics,
        lists,
        rules,
        egress,
        limits,
        choices,
        flows,
        observe,
        log,
        control,
        reload,
    };
    if config.metrics.ports.is_none() && !config.candidate_ports().1 && !reader.has_errors() {
        reader.push(Diagnostic {
            severity: Severity::Note,
            file: reader.file().to_owned(),
            line: 0,
            column: 0,
            message: format!(
                "more than {MAX_NAMED_PORTS} ports are named, so some are counted as \"other\""
            ),
            help: Some("choose those that matter with [metrics] ports = [80, 443]".into()),
        });
    }
    config
}

fn note_unused(
    reader: &Reader<'_>,
    lists: &[(ListConfig, Range<usize>)],
    rules: &[(Rule, Range<usize>)],
    egress: &Egress,
) {
    let ingress = rules.iter().map(|(rule, _)| &rule.from);
    let used: BTreeSet<&String> = ingress
        .chain(egress.rules.iter().map(|rule| &rule.to))
        .flat_map(|peers| match peers {
            Peers::Any => &[][..],
            Peers::Lists(lists) => lists,
        })
        .collect();
    for (list, span) in lists {
        if list.kind == ListKind::Allow && !used.contains(&list.name) {
            reader.note(
                span.clone(),
                format!("no rule names the allowlist \"{}\", so it allows nothing", list.name),
                Some(format!("name it in a rule: from = [\"{}\"]", list.name)),
            );
        }
    }
}
