//! Rules that the whole project keeps, checked on its files.

use std::{
    collections::{BTreeMap, BTreeSet},
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

/// Which modules at the top of foobar-user use which others, tests aside.
fn uses() -> BTreeMap<String, BTreeSet<String>> {
    let folder = root().join("foobar-user/src");
    let lib = fs::read_to_string(folder.join("lib.rs")).expect("lib.rs");
    let modules: Vec<_> =
        lib.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';')).collect();
    let mut files = Vec::new();
    sources(&folder, &mut files);
    let mut uses = BTreeMap::new();
    for file in files {
        let parts: Vec<_> = file.strip_prefix(&folder).expect("a file below").iter().collect();
        let parts: Vec<_> = parts.into_iter().filter_map(|part| part.to_str()).collect();
        let module = parts[0].trim_end_matches(".rs");
        if !modules.contains(&module) || parts.iter().any(|part| part.starts_with("tests")) {
            continue;
        }
        let text = fs::read_to_string(&file).expect("a source");
        let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
        let code: String = code
            .lines()
            .map(|line| line.split("//").next().unwrap_or_default())
            .flat_map(|line| [line, "\n"])
            .collect();
        let used: &mut BTreeSet<String> = uses.entry(module.to_owned()).or_default();
        for after in code.split("crate::").skip(1) {
            // `crate::{a::b, c}` as rustfmt breaks it, or `crate::a::b`.
            let names = match after.strip_prefix('{') {
                Some(group) => top_level(group),
                None => vec![first_word(after)],
            };
            let others = names.into_iter().filter(|name| *name != module && modules.contains(name));
            used.extend(others.map(ToOwned::to_owned));
        }
    }
    uses
}

fn first_word(text: &str) -> &str {
    text.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or_default()
}

/// The first words of the parts of a group of imports, of which `group` begins behind the brace.
fn top_level(group: &str) -> Vec<&str> {
    let (mut depth, mut begin, mut parts) = (0, 0, Vec::new());
    for (at, character) in group.char_indices() {
        match character {
            '{' => depth += 1,
            '}' if depth == 0 => {
                parts.push(&group[begin..at]);
                break;
            }
            '}' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(&group[begin..at]);
                begin = at + 1;
            }
            _ => {}
        }
    }
    parts.into_iter().map(|part| first_word(part.trim_start())).collect()
}

/// A way from `from` back to `to`, if there is one.
fn way(uses: &BTreeMap<String, BTreeSet<String>>, from: &str, to: &str) -> Option<Vec<String>> {
    let mut ways = vec![vec![from.to_owned()]];
    let mut seen = BTreeSet::new();
    while let Some(way) = ways.pop() {
        for next in uses.get(way.last()?).into_iter().flatten() {
            let longer: Vec<_> = way.iter().chain([next]).cloned().collect();
            if next == to {
                return Some(longer);
            }
            if seen.insert(next.clone()) {
                ways.push(longer);
            }
        }
    }
    None
}

#[test]
fn modules_are_layers() {
    let uses = uses();
    assert!(uses["cli"].contains("control") && uses["daemon"].contains("kernel"), "{uses:?}");
    let circles: Vec<_> = uses.keys().filter_map(|module| way(&uses, module, module)).collect();
    assert!(circles.is_empty(), "modules of foobar-user that use each other: {circles:?}");
}
