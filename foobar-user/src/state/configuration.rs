//! Configurations in the state folder: the one in force, to start from when its file is gone or broken, and the one before it
//! while a change waits to be confirmed.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{Deadline, Problem, disk, document};
use crate::policy::{config::Sources, lists::NamedOverlay};

/// Which configuration the policy follows from, and which others matter.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Configured {
    /// The one in force; `None` if it could not be written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub current: Option<Kept>,
    /// The one in force waits to be confirmed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pending: Option<Pending>,
    /// Fingerprint of one that was not confirmed in time, and is not read again by a start of the daemon.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rejected: Option<String>,
}

/// A change that is taken back unless it is confirmed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pending {
    /// When it is taken back.
    pub deadline: Deadline,
    /// What comes back then.
    pub previous: Kept,
    /// Runtime changes of lists that only the previous configuration has.
    pub lost: Vec<NamedOverlay>,
}

/// A configuration in the state folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// Checksum over the configuration and its list files.
    pub fingerprint: String,
    /// The file that it was read from.
    path: String,
    /// A copy of that file.
    text: KeptFile,
    /// The list files and their copies.
    lists: Vec<(String, KeptFile)>,
}

/// A copy of a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct KeptFile {
    /// Its name in the folder of configurations.
    file: String,
    /// Of its content.
    checksum: String,
}

impl Configured {
    /// Names of the copies of all configurations that matter.
    pub(super) fn files(&self) -> impl Iterator<Item = &str> {
        let previous = self.pending.as_ref().map(|pending| &pending.previous);
        self.current.iter().chain(previous).flat_map(Kept::files)
    }
}

impl Kept {
    /// Names of the copies.
    fn files(&self) -> impl Iterator<Item = &str> {
        let lists = self.lists.iter().map(|(_, copy)| copy);
        std::iter::once(&self.text).chain(lists).map(|copy| copy.file.as_str())
    }
}

/// Checksum over all that a configuration was read from.
pub fn fingerprint(sources: &Sources) -> String {
    let parts = sources
        .files
        .iter()
        .map(|(path, content)| format!("{} {}\n", path.display(), document::checksum(content)));
    let all: String = std::iter::once(sources.text.clone()).chain(parts).collect();
    document::checksum(all.as_bytes())
}

impl super::Store {
    /// Copies a configuration into the state folder. It counts from the moment when a state that names it is saved.
    ///
    /// # Errors
    /// The step that failed, with its file.
    pub fn keep(&self, generation: u64, sources: &Sources) -> Result<Kept, Problem> {
        let copy = |file: String, content: &[u8]| {
            disk::replace(self.disk(), &self.configurations(), &file, content)?;
            Ok(KeptFile { checksum: document::checksum(content), file })
        };
        let text = copy(format!("{generation}.toml"), sources.text.as_bytes())?;
        let lists = sources.files.iter().enumerate().map(|(number, (path, content))| {
            let copied = copy(format!("{generation}-{number}.txt"), content)?;
            Ok((path.to_string_lossy().into_owned(), copied))
        });
        Ok(Kept {
            fingerprint: fingerprint(sources),
            path: sources.path.to_string_lossy().into_owned(),
            text,
            lists: lists.collect::<Result<_, _>>()?,
        })
    }

    /// What a configuration in the state folder was read from.
    ///
    /// # Errors
    /// A copy is missing or is not what was written.
    pub fn kept(&self, kept: &Kept) -> Result<Sources, Problem> {
        let read = |copy: &KeptFile| {
            let path = self.configurations().join(&copy.file);
            let content = disk::read(&path)?;
            match content {
                Some(content) if document::checksum(&content) == copy.checksum => Ok(content),
                Some(_) => Err(damaged(&path, "its checksum is another one")),
                None => Err(damaged(&path, "it is missing")),
            }
        };
        let text = String::from_utf8(read(&kept.text)?)
            .map_err(|_| damaged(&self.configurations().join(&kept.text.file), "it is no text"))?;
        let files = kept.lists.iter().map(|(path, copy)| Ok((PathBuf::from(path), read(copy)?)));
        Ok(Sources {
            path: PathBuf::from(&kept.path),
            text,
            files: files.collect::<Result<_, Problem>>()?,
        })
    }
}

fn damaged(path: &Path, why: &str) -> Problem {
    Problem::Damaged { path: path.to_owned(), why: why.to_owned() }
}
