//! How a file is replaced, so that an interruption at any moment leaves the old or the new one, never a torn one.
//!
//! Temporary file in the same folder, write, fsync, rename, fsync of the folder (rename(2), fsync(2): a rename is durable only
//! once its folder was synced). Each step is one method of [`Disk`], so that tests can make any of them fail.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use super::Problem;

/// Mode of every file in the state folder: it says which addresses an operator trusts.
const FILE_MODE: u32 = 0o600;
/// The step after which the new file may be in place, as errors name it.
pub const RENAME: &str = "rename to";
/// Mode of the state folder.
const FOLDER_MODE: u32 = 0o700;

/// The steps of replacing a file, and of appending to one.
pub trait Disk: Send + Sync {
    /// Creates a file that must not exist, without following a symbolic link.
    fn create(&self, path: &Path) -> io::Result<File> {
        OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(FILE_MODE)
            .custom_flags(libc::O_NOFOLLOW)
            .open(path)
    }

    /// Opens a file to write behind what it holds, without following a symbolic link.
    fn append(&self, path: &Path) -> io::Result<File> {
        OpenOptions::new().append(true).custom_flags(libc::O_NOFOLLOW).open(path)
    }

    /// Writes the whole content.
    fn write(&self, file: &mut File, content: &[u8]) -> io::Result<()> {
        file.write_all(content)
    }

    /// Brings the content to the disk.
    fn sync(&self, file: &File) -> io::Result<()> {
        file.sync_all()
    }

    /// Takes back what was written behind this length, also from the disk.
    fn truncate(&self, file: &File, length: u64) -> io::Result<()> {
        file.set_len(length)?;
        file.sync_all()
    }

    /// Puts the new file into the place of the old one.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    /// Brings the rename to the disk.
    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        File::open(folder)?.sync_all()
    }
}

/// The disk of this machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct LocalDisk;

impl Disk for LocalDisk {}

/// Replaces `folder/name` by `content`.
///
/// # Errors
/// [`Problem::Write`] with the step that failed. The file is then the old one, except after a failed [`RENAME`] or fsync of the
/// folder: the new one may be in place, and only the caller knows what to put back.
pub fn replace(disk: &dyn Disk, folder: &Path, name: &str, content: &[u8]) -> Result<(), Problem> {
    let path = folder.join(name);
    refuse_symlink(&path)?;
    let temporary = folder.join(format!(".{name}.new"));
    remove_if_there(&temporary).map_err(|error| Problem::write("remove", &temporary, error))?;
    let written = write_new(disk, &temporary, content).and_then(|()| {
        disk.rename(&temporary, &path).map_err(|error| Problem::write(RENAME, &path, error))
    });
    if let Err(problem) = written {
        // The next attempt removes it as well; an error here would hide the one that matters.
        let _ = fs::remove_file(&temporary);
        return Err(problem);
    }
    disk.sync_folder(folder).map_err(|error| Problem::sync_folder(folder, error))
}

fn write_new(disk: &dyn Disk, path: &Path, content: &[u8]) -> Result<(), Problem> {
    let mut file = disk.create(path).map_err(|error| Problem::write("create", path, error))?;
    disk.write(&mut file, content).map_err(|error| Problem::write("write", path, error))?;
    disk.sync(&file).map_err(|error| Problem::write("fsync", path, error))
}

/// Reads a whole file without following a symbolic link; `None` if there is none.
///
/// # Errors
/// [`Problem::Symlink`], [`Problem::Read`].
pub fn read(path: &Path) -> Result<Option<Vec<u8>>, Problem> {
    refuse_symlink(path)?;
    let opened = OpenOptions::new().read(true).custom_flags(libc::O_NOFOLLOW).open(path);
    let read = opened.and_then(|mut file| {
        let mut content = Vec::new();
        io::Read::read_to_end(&mut file, &mut content)?;
        Ok(content)
    });
    match read {
        Ok(content) => Ok(Some(content)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Problem::Read { path: path.to_owned(), error }),
    }
}

/// Makes sure of a folder that belongs to this user alone (0700), and creates it where it is missing.
///
/// # Errors
/// [`Problem::Symlink`], [`Problem::Folder`].
pub fn private_folder(path: &Path) -> Result<(), Problem> {
    let problem = |why: String| Problem::Folder { path: path.to_owned(), why };
    match fs::DirBuilder::new().recursive(true).mode(FOLDER_MODE).create(path) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(problem(error.to_string())),
    }
    refuse_symlink(path)?;
    let found = fs::symlink_metadata(path).map_err(|error| problem(error.to_string()))?;
    if !found.is_dir() {
        return Err(problem("is not a folder".to_owned()));
    }
    let user = nix::unistd::geteuid().as_raw();
    if found.uid() != user {
        return Err(problem(format!("belongs to uid {}, not to uid {user}", found.uid())));
    }
    if found.mode() & 0o022 != 0 {
        return Err(problem(format!(
            "can be written by others (mode {:04o})",
            found.mode() & 0o7777
        )));
    }
    Ok(())
}

/// Moves a file that cannot be used to a name that is free, and says which.
///
/// # Errors
/// [`Problem::Write`].
pub fn keep_aside(path: &Path, label: &str) -> Result<PathBuf, Problem> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let free = (1u32..)
        .map(|number| path.with_file_name(format!("{name}.{label}-{number}")))
        .find(|candidate| fs::symlink_metadata(candidate).is_err());
    let aside = free.expect("a number of four billion is free");
    fs::rename(path, &aside).map_err(|error| Problem::write("rename", path, error))?;
    Ok(aside)
}

fn refuse_symlink(path: &Path) -> Result<(), Problem> {
    match fs::symlink_metadata(path) {
        Ok(found) if found.is_symlink() => Err(Problem::Symlink { path: path.to_owned() }),
        _ => Ok(()),
    }
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Locks a folder for this process until the file is closed (flock(2) on the folder itself, so that no lock file is left).
///
/// # Errors
/// [`Problem::Busy`], [`Problem::Folder`].
pub fn lock_folder(path: &Path) -> Result<File, Problem> {
    let problem = |error: &dyn std::fmt::Display| Problem::Folder {
        path: path.to_owned(),
        why: error.to_string(),
    };
    let folder = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NOFOLLOW | libc::O_DIRECTORY)
        .open(path)
        .map_err(|error| problem(&error))?;
    match folder.try_lock() {
        Ok(()) => Ok(folder),
        Err(fs::TryLockError::WouldBlock) => Err(Problem::Busy { path: path.to_owned() }),
        Err(fs::TryLockError::Error(error)) => Err(problem(&error)),
    }
}
