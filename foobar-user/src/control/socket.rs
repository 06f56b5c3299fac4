//! The socket file and its permissions.

use std::{
    fs, io,
    os::unix::{
        fs::{FileTypeExt, PermissionsExt, chown},
        net::UnixListener,
    },
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};

use super::Access;

/// Name of the socket in the runtime folder.
pub const FILE: &str = "control.sock";

/// Mode of the socket: connecting needs the right to write to it (unix(7)).
const MODE: u32 = 0o600;
/// The same where a group may connect.
const GROUP_MODE: u32 = 0o660;
/// Mode of the runtime folder where a group may reach the socket in it, and nothing else.
const GROUP_FOLDER: u32 = 0o710;
/// The same where none may.
const FOLDER: u32 = 0o700;

/// Where the socket of a runtime folder is.
pub fn path(runtime_dir: &Path) -> PathBuf {
    runtime_dir.join(FILE)
}

/// Opens the socket of a runtime folder of which the caller holds the lock: what lies there is left over from a daemon that
/// was killed. It does not block.
///
/// # Errors
/// The path is too long for a socket address, something else than a socket is there, or it cannot be given to the group.
pub fn bind(runtime_dir: &Path, access: &Access) -> Result<UnixListener> {
    let path = path(runtime_dir);
    match fs::symlink_metadata(&path) {
        Ok(found) if found.file_type().is_socket() => fs::remove_file(&path)
            .with_context(|| format!("cannot remove the old control socket {}", path.display()))?,
        Ok(_) => bail!(
            "{} is there and is no socket; remove it or choose another --runtime-dir",
            path.display()
        ),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => {
            return Err(error).with_context(|| format!("cannot look at {}", path.display()));
        }
    }
    let listener = UnixListener::bind(&path)
        .with_context(|| format!("cannot open the control socket {}", path.display()))?;
    // The folder is closed to others until here, so nobody can connect before this.
    match access.gid() {
        None => {
            set_mode(&path, MODE)?;
            // What a daemon with a group left.
            if fs::metadata(runtime_dir)?.permissions().mode() & 0o777 == GROUP_FOLDER {
                set_mode(runtime_dir, FOLDER)?;
            }
        }
        Some(gid) => {
            for (path, mode) in [(path.as_path(), GROUP_MODE), (runtime_dir, GROUP_FOLDER)] {
                chown(path, None, Some(gid)).with_context(|| {
                    format!(
                        "cannot give {} to the group {gid}; that takes CAP_CHOWN",
                        path.display()
                    )
                })?;
                set_mode(path, mode)?;
            }
        }
    }
    listener.set_nonblocking(true)?;
    Ok(listener)
}

fn set_mode(path: &Path, mode: u32) -> Result<()> {
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
        .with_context(|| format!("cannot set the mode of {}", path.display()))
}
