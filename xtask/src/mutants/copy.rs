//! A copy of the workspace, to break.

use std::{collections::BTreeSet, ffi::OsStr, fs, path::Path};

use anyhow::{Context as _, Result};

/// What is not copied: what was built, and the history.
const LEFT_OUT: [&str; 2] = ["target", ".git"];

/// Makes `to` equal to `from`. A file that is equal already is not written, so that cargo does not build it again.
pub fn renew(from: &Path, to: &Path) -> Result<()> {
    let failed = || format!("cannot copy {} to {}", from.display(), to.display());
    fs::create_dir_all(to).with_context(failed)?;
    let mut names = BTreeSet::new();
    for entry in fs::read_dir(from).with_context(failed)? {
        let entry = entry.with_context(failed)?;
        let name = entry.file_name();
        if LEFT_OUT.iter().any(|left_out| name == OsStr::new(left_out)) {
            continue;
        }
        let (source, copy) = (entry.path(), to.join(&name));
        if entry.file_type().with_context(failed)?.is_dir() {
            renew(&source, &copy)?;
        } else {
            renew_file(&source, &copy).with_context(failed)?;
        }
        names.insert(name);
    }
    for entry in fs::read_dir(to).with_context(failed)? {
        let entry = entry.with_context(failed)?;
        if !names.contains(&entry.file_name()) {
            remove(&entry.path()).with_context(failed)?;
        }
    }
    Ok(())
}

fn renew_file(source: &Path, copy: &Path) -> std::io::Result<()> {
    let text = fs::read(source)?;
    if fs::read(copy).is_ok_and(|there| there == text) {
        return Ok(());
    }
    fs::write(copy, text)
}

fn remove(path: &Path) -> std::io::Result<()> {
    if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_is_renewed_and_what_is_equal_is_left_alone() {
        let folder = std::env::temp_dir().join(format!("foobar-xtask-copy-{}", std::process::id()));
        let (from, to) = (folder.join("from"), folder.join("to"));
        fs::create_dir_all(from.join("a/b")).unwrap();
        fs::create_dir_all(from.join("target")).unwrap();
        fs::write(from.join("a/b/one"), "1").unwrap();
        fs::write(from.join("a/two"), "2").unwrap();
        fs::write(from.join("target/three"), "3").unwrap();
        renew(&from, &to).unwrap();
        let one = to.join("a/b/one");
        assert_eq!(fs::read_to_string(&one).unwrap(), "1");
        assert!(!to.join("target").exists());

        let written = fs::metadata(&one).unwrap().modified().unwrap();
        fs::write(to.join("a/two"), "broken").unwrap();
        fs::write(to.join("a/four"), "4").unwrap();
        renew(&from, &to).unwrap();
        assert_eq!(fs::metadata(&one).unwrap().modified().unwrap(), written);
        assert_eq!(fs::read_to_string(to.join("a/two")).unwrap(), "2");
        assert!(!to.join("a/four").exists());
        fs::remove_dir_all(folder).unwrap();
    }
}
