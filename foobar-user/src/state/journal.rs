//! The journal beside the document: one line for each step since the document was written, so that one entry more costs one
//! line, not all that is stored.
//!
//! ```text
//! crc32:89abcdef {"from":7,"generation":9,…}
//! ```
//!
//! A line is acknowledged once it was synced. What a kill or a power cut leaves unfinished at the end was therefore never
//! acknowledged, and does not count; a bad line before a good one is damage.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use super::{Problem, delta::Delta, disk::Disk, document};

/// What the names of journals begin with; a number follows.
const PREFIX: &str = "journal-";

/// A journal that is being written. It is open only while something is appended: a file that is open for writing keeps its file
/// system from being mounted read-only.
pub(super) struct Journal {
    path: PathBuf,
    /// Bytes that are on disk for certain.
    length: u64,
}

/// What a journal holds.
pub(super) struct Journaled {
    /// The steps, in order.
    pub steps: Vec<Delta>,
    /// Bytes at the end that were never acknowledged.
    pub unfinished: usize,
}

/// A step as it stands in a journal.
pub(super) fn line(step: &Delta) -> Vec<u8> {
    let json = serde_json::to_vec(step).expect("steps have string keys only");
    let mut line = format!("{} ", document::checksum(&json)).into_bytes();
    line.extend(json);
    line.push(b'\n');
    line
}

impl Journal {
    /// An empty one, under a name that was not in use. It lasts once the folder was synced.
    ///
    /// # Errors
    /// [`Problem::Write`].
    pub fn create(disk: &dyn Disk, folder: &Path) -> Result<Self, Problem> {
        let last = all(folder).filter_map(|name| number(&name)).max().unwrap_or(0);
        let path = folder.join(format!("{PREFIX}{}", last + 1));
        disk.create(&path).map_err(|error| Problem::write("create", &path, error))?;
        Ok(Self { path, length: 0 })
    }

    /// Its name in the state folder.
    pub fn name(&self) -> String {
        self.path.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    /// Bytes in it.
    pub fn len(&self) -> u64 {
        self.length
    }

    /// Brings lines to the disk.
    ///
    /// # Errors
    /// [`Problem::Write`]. The lines were taken back as far as that was possible, and nothing may be appended any more: what an
    /// fsync that failed leaves behind is unknown (fsync(2)).
    pub fn append(&mut self, disk: &dyn Disk, lines: &[u8]) -> Result<(), Problem> {
        let path = &self.path;
        let fail = |step| move |error| Problem::write(step, path, error);
        let mut file = disk.append(&self.path).map_err(fail("open"))?;
        let found = file.metadata().map_err(fail("look at"))?.len();
        if found != self.length {
            let why =
                format!("somebody else wrote to it: it has {found} bytes, not {}", self.length);
            return Err(fail("append to")(io::Error::other(why)));
        }
        let written = match disk.write(&mut file, lines) {
            Ok(()) => disk.sync(&file).map_err(|error| ("fsync", error)),
            Err(error) => Err(("write", error)),
        };
        match written {
            Ok(()) => {
                self.length += lines.len() as u64;
                Ok(())
            }
            Err((step, error)) => {
                // The disk just failed, so this may fail as well; the error that is reported is the first.
                let _ = disk.truncate(&file, self.length);
                Err(Problem::write(step, &self.path, error))
            }
        }
    }

    /// Removes it.
    pub fn discard(self) {
        let _ = fs::remove_file(&self.path);
    }
}

/// Reads a journal.
///
/// # Errors
/// [`Problem::Damaged`] if it is missing or holds a bad line before a good one; those of reading.
pub(super) fn read(folder: &Path, name: &str) -> Result<Journaled, Problem> {
    let path = folder.join(name);
    let damaged = |why: String| Problem::Damaged { path: path.clone(), why };
    // The name stands in a document that somebody may have edited.
    if number(name).is_none() {
        return Err(damaged("that is no name of a journal".to_owned()));
    }
    let bytes = super::disk::read(&path)?.ok_or_else(|| damaged("it is missing".to_owned()))?;
    let mut steps = Vec::new();
    let mut good = 0;
    let mut at = 0;
    for (number, line) in (1usize..).zip(bytes.split_inclusive(|byte| *byte == b'\n')) {
        at += line.len();
        let Some(step) = parse(line) else { continue };
        if good + line.len() != at {
            return Err(damaged(format!("what stands before line {number} is no step")));
        }
        good = at;
        steps.push(step);
    }
    Ok(Journaled { steps, unfinished: bytes.len() - good })
}

/// A step, if the line is whole and is what was written.
fn parse(line: &[u8]) -> Option<Delta> {
    let line = str::from_utf8(line.strip_suffix(b"\n")?).ok()?;
    let (checksum, json) = line.split_once(' ')?;
    if document::checksum(json.as_bytes()) != checksum {
        return None;
    }
    serde_json::from_str(json).ok()
}

/// Names of all journals in the state folder.
pub(super) fn all(folder: &Path) -> impl Iterator<Item = String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter_map(|entry| {
        entry.file_name().into_string().ok().filter(|name| number(name).is_some())
    })
}

fn number(name: &str) -> Option<u64> {
    name.strip_prefix(PREFIX)?.parse().ok()
}
