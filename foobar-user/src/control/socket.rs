//! The socket file and its permissions.

use std::{
    fs, io,
    os::unix::{
        fs::{FileTypeExt, PermissionsExt},
        net::UnixListener as StdListener,
    },
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use tokio::net::UnixListener;

/// Name of the socket in the runtime folder.
pub const FILE: &str = "control.sock";

/// Mode of the socket: connecting needs the right to write to it (unix(7)).
const MODE: u32 = 0o600;

/// Where the socket of a runtime folder is.
pub fn path(runtime_dir: &Path) -> PathBuf {
    runtime_dir.join(FILE)
}

/// Opens the socket of a runtime folder of which the caller holds the lock: what lies there is left over from a daemon that
/// was killed.
///
/// # Errors
/// The path is too long for a socket address, or something else than a socket is there.
pub fn bind(runtime_dir: &Path) -> Result<UnixListener> {
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
    let listener = StdListener::bind(&path)
        .with_context(|| format!("cannot open the control socket {}", path.display()))?;
    // The folder is closed to others already, so nobody can connect before this.
    fs::set_permissions(&path, fs::Permissions::from_mode(MODE))
        .with_context(|| format!("cannot set the mode of {}", path.display()))?;
    listener.set_nonblocking(true)?;
    UnixListener::from_std(listener).context("cannot listen on the control socket")
}
