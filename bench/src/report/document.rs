//! docs/performance.md, brought up to date: what stands between the markers is replaced, and the pictures are drawn anew.

use std::{fs, path::Path};

use anyhow::{Context as _, Result, ensure};

use super::{markdown, picture};
use crate::{goals, results::Results};

/// The document, below the folder of documents.
const DOCUMENT: &str = "performance.md";
/// The pictures' folder, below the folder of documents.
const PICTURES: &str = "performance";

/// Writes the results into the document and its pictures.
///
/// # Errors
/// A marker is missing, or a file cannot be written.
pub fn update(folder: &Path, results: &Results) -> Result<()> {
    let path = folder.join(DOCUMENT);
    let mut text =
        fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let pictures = folder.join(PICTURES);
    fs::create_dir_all(&pictures)
        .with_context(|| format!("cannot create {}", pictures.display()))?;
    replace(&mut text, "machine", &markdown::machine(&results.machine, results.quick))?;
    let goals = markdown::goals(&goals::all(results));
    let goals = merged(between(&text, "goals"), &goals);
    replace(&mut text, "goals", &goals)?;
    for table in &results.tables {
        let name = format!("{}.svg", table.name);
        let drawn = picture::of(table);
        if let Some(svg) = &drawn {
            let file = pictures.join(&name);
            fs::write(&file, svg).with_context(|| format!("cannot write {}", file.display()))?;
        }
        let link = drawn.map(|_| format!("{PICTURES}/{name}"));
        replace(&mut text, &table.name, &markdown::table(table, link.as_deref()))?;
    }
    fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
}

/// The table of goals: what a run of some parts did not measure stays as it was.
fn merged(old: &str, new: &str) -> String {
    fn goal(line: &str) -> Option<&str> {
        line.strip_prefix("| ")?.split(" | ").next()
    }
    let fresh =
        |line: &str| new.lines().find(|new| goal(line).is_some() && goal(new) == goal(line));
    let known = |line: &str| old.lines().any(|old| goal(old) == goal(line));
    let kept = old.lines().filter(|line| goal(line).is_some() && goal(line) != Some("goal"));
    let (head, rows) =
        new.split_at(new.match_indices('\n').nth(1).map_or(new.len(), |(at, _)| at + 1));
    let rows = kept
        .map(|line| fresh(line).unwrap_or(line))
        .chain(rows.lines().filter(|line| !known(line)));
    rows.fold(head.to_owned(), |text, line| text + line + "\n")
}

/// What stands between `<!-- bench: NAME -->` and `<!-- end -->`; nothing if a marker is missing.
fn between<'t>(text: &'t str, name: &str) -> &'t str {
    let behind = text.split_once(&format!("<!-- bench: {name} -->"));
    behind.and_then(|(_, rest)| rest.split_once("<!-- end -->")).map_or("", |(part, _)| part)
}

/// Replaces what stands between `<!-- bench: NAME -->` and `<!-- end -->`.
fn replace(text: &mut String, name: &str, new: &str) -> Result<()> {
    let begin = format!("<!-- bench: {name} -->");
    ensure!(
        text.matches(&begin).count() == 1,
        "{DOCUMENT} does not have the line `{begin}` exactly once"
    );
    let from = text.find(&begin).unwrap_or_default() + begin.len();
    let length = text[from..]
        .find("<!-- end -->")
        .with_context(|| format!("{DOCUMENT} has no `<!-- end -->` behind `{begin}`"))?;
    text.replace_range(from..from + length, &format!("\n{}\n", new.trim_end()));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn goals_that_were_not_measured_stay() {
        let old = "\n| goal | bound |\n|---|---:|\n| a | 1 |\n| b | 2 |\n";
        let new = "| goal | new |\n|---|---:|\n| b | 3 |\n| c | 4 |\n";
        assert_eq!(
            merged(old, new),
            "| goal | new |\n|---|---:|\n| a | 1 |\n| b | 3 |\n| c | 4 |\n"
        );
        assert_eq!(merged("", new), new);
        assert_eq!(between("<!-- bench: x -->y<!-- end -->", "x"), "y");
    }

    #[test]
    fn only_what_is_between_the_markers_changes() {
        let mut text =
            "a\n<!-- bench: one -->\nold\n<!-- end -->\nb\n<!-- bench: two -->\n<!-- end -->\n"
                .to_owned();
        replace(&mut text, "one", "new\n").unwrap();
        assert_eq!(
            text,
            "a\n<!-- bench: one -->\nnew\n<!-- end -->\nb\n<!-- bench: two -->\n<!-- end -->\n"
        );
        assert!(replace(&mut text, "three", "").is_err());
    }
}
