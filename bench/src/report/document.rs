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
    replace(&mut text, "goals", &markdown::goals(&goals::all(results)))?;
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
