//! Why stored state cannot be read or written.

use std::{
    io,
    path::{Path, PathBuf},
};

use thiserror::Error;

/// What is wrong with the state folder or a file in it.
#[derive(Debug, Error)]
pub enum Problem {
    /// A step of replacing a file failed.
    #[error("cannot {step} {}: {error}{}", path.display(), remedy(error))]
    Write {
        /// What was tried.
        step: &'static str,
        /// On which file or folder.
        path: PathBuf,
        /// Why it failed.
        error: io::Error,
    },
    /// The new file is in place, but the folder was not synced: after a power cut it may be the old one.
    #[error("cannot fsync {}: {error}{}", path.display(), remedy(error))]
    SyncFolder {
        /// The folder.
        path: PathBuf,
        /// Why it failed.
        error: io::Error,
    },
    /// The file is there and cannot be read.
    #[error("cannot read {}: {error}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why it failed.
        error: io::Error,
    },
    /// Someone put a symbolic link where a file or folder of ours belongs.
    #[error("{} is a symbolic link, which is not followed; remove it or name the real folder", path.display())]
    Symlink {
        /// The link.
        path: PathBuf,
    },
    /// The folder is not one to trust.
    #[error("cannot use the folder {}: {why}; it must belong to the daemon's user with mode 0700", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// Another daemon holds the folder.
    #[error("another foobar daemon uses {}; stop it, or give this one a folder of its own", path.display())]
    Busy {
        /// The folder.
        path: PathBuf,
    },
    /// The file is not what was written: empty, truncated or changed.
    #[error("{} is damaged: {why}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The file was written by another version of this program.
    #[error("{} has state version {found}, this foobar reads versions up to {reads}; install the version that wrote it, or a later one", path.display())]
    Version {
        /// The file.
        path: PathBuf,
        /// Version in the file.
        found: u64,
        /// The last version that is understood.
        reads: u64,
    },
}

impl Problem {
    pub(super) fn write(step: &'static str, path: &Path, error: io::Error) -> Self {
        Problem::Write { step, path: path.to_owned(), error }
    }

    pub(super) fn sync_folder(path: &Path, error: io::Error) -> Self {
        Problem::SyncFolder { path: path.to_owned(), error }
    }

    /// Whether the content is the problem, so that the file can be kept aside and the daemon go on without it; a disk that
    /// does not answer or a folder of somebody else is another matter.
    pub fn is_about_content(&self) -> bool {
        matches!(self, Problem::Damaged { .. } | Problem::Version { .. })
    }

    /// The word for the name under which the file is kept aside.
    pub fn label(&self) -> &'static str {
        match self {
            Problem::Version { .. } => "other-version",
            _ => "damaged",
        }
    }
}

/// What to do about an error of the disk, where that is known.
fn remedy(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "; free some space and try again"
        }
        io::ErrorKind::ReadOnlyFilesystem => "; mount it writable and try again",
        io::ErrorKind::PermissionDenied => "; the daemon must be able to write there",
        _ => "",
    }
}
