//! Rules that the whole project keeps, checked on its files.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// Lines of a source file that need no reason.
const LONG: usize = 500;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace")
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder").flatten() {
        let path = entry.path();
        let is_source = path.extension().is_some_and(|extension| extension == "rs");
        if path.is_dir() && path.file_name().is_none_or(|name| name != "target") {
            sources(&path, found);
        } else if is_source {
            found.push(path);
        }
    }
}

#[test]
fn a_file_is_short_or_says_why_it_is_not() {
    let mut files = Vec::new();
    for folder in
        ["bench", "foobar-common", "foobar-ebpf", "foobar-user", "fuzz", "site", "tests", "xtask"]
    {
        sources(&root().join(folder), &mut files);
    }
    assert!(files.len() > 300, "{} files", files.len());
    let without_reason: Vec<_> = files
        .iter()
        .filter(|file| {
            let text = fs::read_to_string(file).expect("a source");
            let top = text.lines().take_while(|line| line.starts_with("//!"));
            text.lines().count() > LONG
                && !top.into_iter().any(|line| line.contains("Long because"))
        })
        .collect();
    assert!(
        without_reason.is_empty(),
        "more than {LONG} lines, and no \"Long because\" at the top: {without_reason:?}"
    );
}

#[test]
fn a_prefix_alone_keeps_a_test_out_of_the_quick_tier() {
    let profile = fs::read_to_string(root().join(".config/nextest.toml")).expect("the profiles");
    let filters: Vec<_> =
        profile.lines().filter(|line| line.starts_with("default-filter")).collect();
    assert_eq!(
        filters,
        ["default-filter = 'not test(/(^|::)slow_/)'"],
        "a tier is a prefix, so that a new test is quick and everything runs in the full test"
    );
    let mut files = Vec::new();
    for folder in ["bench", "foobar-common", "foobar-user", "site", "tests", "xtask"] {
        sources(&root().join(folder), &mut files);
    }
    let mut slow = 0;
    for file in files {
        let text = fs::read_to_string(&file).expect("a source");
        let mut is_test = false;
        for line in text.lines().map(str::trim_start) {
            let name = line.trim_start_matches("async ").strip_prefix("fn ");
            match name.and_then(|name| name.split_once('(')) {
                Some((name, _)) if is_test => {
                    slow += usize::from(name.starts_with("slow_"));
                    // `cargo test --skip slow_` takes the word wherever it stands, nextest at the beginning.
                    assert!(
                        !name.contains("slow_") || name.starts_with("slow_"),
                        "{}: {name}: `slow_` begins a name or is not in it",
                        file.display()
                    );
                    is_test = false;
                }
                Some(_) => is_test = false,
                None => is_test |= line.starts_with("#[test]") || line.starts_with("#[tokio::test"),
            }
        }
    }
    assert!(slow > 20, "{slow} tests in the slow tier: are they found at all?");
}

#[test]
fn each_dependency_is_accounted_for() {
    let manifest = fs::read_to_string(root().join("Cargo.toml")).expect("Cargo.toml");
    let document = fs::read_to_string(root().join("docs/dependencies.md")).expect("the list");
    let section = manifest.split("[workspace.dependencies]").nth(1).expect("dependencies");
    let section = section.split("\n[").next().expect("a section");
    let names: Vec<_> = section
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| Some(line.split_once(" = ")?.0))
        .collect();
    let rows: Vec<_> = document
        .lines()
        .filter_map(|line| Some(line.strip_prefix("| ")?.split_once(" |")?.0))
        .filter(|name| *name != "crate")
        .collect();
    let missing: Vec<_> = names.iter().filter(|name| !rows.contains(*name)).collect();
    let gone: Vec<_> = rows.iter().filter(|row| !names.contains(*row)).collect();
    assert!(
        missing.is_empty(),
        "docs/dependencies.md does not say what these are for: {missing:?}"
    );
    assert!(gone.is_empty(), "docs/dependencies.md lists what is no dependency: {gone:?}");
}
