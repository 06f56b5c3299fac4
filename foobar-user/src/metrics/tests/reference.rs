//! `docs/metrics.md` says what the catalogue says, and its examples work.

use std::fmt::Write as _;
use std::process::Command;

use crate::metrics::catalogue::{LABELS, ROWS, Section};

const DOCUMENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/metrics.md");
const BEGIN: &str = "<!-- catalogue: written by `UPDATE_DOCS=1 cargo test -p foobar-user metrics::tests::reference` -->\n";
const END: &str = "<!-- end of catalogue -->\n";

fn document() -> String {
    std::fs::read_to_string(DOCUMENT).unwrap_or_else(|error| panic!("{DOCUMENT}: {error}"))
}

/// The part of the document that follows from the catalogue.
fn reference() -> String {
    let mut text = String::new();
    for section in Section::ALL {
        let title = section.title();
        write!(text, "\n### {title}\n\n| metric | type | labels | meaning |\n|---|---|---|---|\n")
            .unwrap();
        for row in ROWS.iter().filter(|row| row.section == section) {
            let labels: Vec<_> =
                row.labels.iter().map(|label| format!("`{}`", label.name)).collect();
            writeln!(
                text,
                "| `{}` | {} | {} | {} |",
                row.name,
                row.kind.name(),
                labels.join(", "),
                row.help
            )
            .unwrap();
        }
    }
    text.push_str("\n### Labels\n\n| label | values |\n|---|---|\n");
    for label in LABELS {
        writeln!(text, "| `{}` | {} |", label.name, label.bound).unwrap();
    }
    text.push('\n');
    text
}

#[test]
fn the_document_lists_the_catalogue() {
    let document = document();
    let (before, rest) = document.split_once(BEGIN).expect("the catalogue begins somewhere");
    let (listed, after) = rest.split_once(END).expect("the catalogue ends somewhere");
    let reference = reference();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(DOCUMENT, format!("{before}{BEGIN}{reference}{END}{after}"))
            .expect("the document is written");
        return;
    }
    for (listed, expected) in listed.lines().zip(reference.lines()) {
        assert_eq!(listed, expected, "docs/metrics.md does not follow the catalogue; {BEGIN}");
    }
    assert_eq!(
        listed.lines().count(),
        reference.lines().count(),
        "docs/metrics.md misses rows or has too many"
    );
}

#[test]
fn the_document_speaks_of_no_metric_that_is_not_there() {
    let document = document();
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut mentioned = 0;
    for (position, _) in document.match_indices("foobar_") {
        let name = document[position..].split(|c| !is_name(c)).next().unwrap_or_default();
        let family = ["_bucket", "_sum", "_count"]
            .iter()
            .find_map(|suffix| name.strip_suffix(suffix))
            .unwrap_or(name);
        assert!(ROWS.iter().any(|row| row.name == name || row.name == family), "{name}");
        mentioned += 1;
    }
    assert!(mentioned > ROWS.len());
}

#[test]
fn the_examples_are_valid() {
    let document = document();
    let examples: Vec<&str> = document
        .split("```promql\n")
        .skip(1)
        .map(|rest| rest.split("```").next().unwrap_or(rest))
        .collect();
    assert!(examples.len() >= 8, "{} examples", examples.len());
    let mut rules = "groups:\n- name: examples\n  rules:\n".to_owned();
    for (number, example) in examples.iter().enumerate() {
        writeln!(rules, "  - record: example:{number}\n    expr: |").unwrap();
        for line in example.lines() {
            writeln!(rules, "      {line}").unwrap();
        }
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("examples.yml");
    std::fs::write(&file, &rules).expect("the rules are written");
    let output = Command::new("promtool").args(["check", "rules"]).arg(&file).output();
    let output = output.expect("promtool runs: install the Debian package `prometheus`");
    assert!(output.status.success(), "{}\n{rules}", String::from_utf8_lossy(&output.stderr));
}
