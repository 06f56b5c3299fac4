//! What must be there before anything is touched: rights, folders, locks, listeners.

use std::{
    fs,
    os::unix::net::UnixListener,
    path::{Path, PathBuf},
};

use anyhow::Result;
use nix::sys::stat::{Mode as FileMode, umask};
use tracing::warn;

use super::{boot::Boot, interfaces, startup};
use crate::{
    control::{Access, Refusal, socket},
    kernel::{self, Store},
    metrics::{Gate, Listener},
    state::disk,
};

/// Everything that only one daemon can have; all of it is given back when it is dropped.
pub struct Claims {
    /// Where commands come in.
    pub control: UnixListener,
    /// From whom.
    pub access: Access,
    /// Where that is; removes it in the end.
    pub socket: SocketFile,
    /// Where Prometheus scrapes.
    pub metrics: Option<Listener>,
    /// Lock of the runtime folder.
    pub _runtime: fs::File,
}

/// Says plainly that root is needed, before anything fails deep inside.
///
/// # Errors
/// A capability is missing.
pub fn capabilities() -> Result<()> {
    // What this process makes is nobody else's to read.
    umask(FileMode::from_bits_truncate(0o077));
    let missing = kernel::probe().missing_capabilities;
    if missing.is_empty() {
        return Ok(());
    }
    let refusal = Refusal::failed(format!(
        "foobar run needs root, because it loads programs into the kernel and attaches them to interfaces ({} missing)",
        missing.join(", ")
    ));
    Err(refusal.help("try `sudo foobar run ...`").into())
}

/// Takes what only one daemon can have, in the order of what is most likely to be taken.
///
/// # Errors
/// Another daemon has it, an interface, an address or a group does not exist.
pub fn claim(boot: &Boot) -> Result<(Store, Claims)> {
    let settings = &boot.settings;
    let options = &settings.options;
    // Later starts wait for what is missing: at boot, interfaces come late.
    let is_first = matches!(boot.state, Ok(None));
    if let Some(refusal) = interfaces::named(&settings.config)?.refusal
        && is_first
    {
        return Err(refusal.into());
    }
    let access = match Access::of(settings.config.control.group.as_deref()) {
        Ok(access) => access,
        Err(refusal) if is_first => return Err(refusal.into()),
        Err(refusal) => {
            warn!("only root can use the control socket: {refusal}");
            Access::default()
        }
    };
    if is_first {
        Gate::try_load(settings.config.metrics.web_config.as_deref())?;
    }
    disk::private_folder(&options.runtime_dir)?;
    let runtime = disk::lock_folder(&options.runtime_dir)?;
    let metrics = match settings.config.metrics.listen {
        Some(address) => Some(Listener::bind(address)?),
        None => None,
    };
    let store = startup::open_store(&startup::store_options(settings))?;
    let control = socket::bind(&options.runtime_dir, &access)?;
    let socket = SocketFile(socket::path(&options.runtime_dir));
    Ok((store, Claims { control, access, socket, metrics, _runtime: runtime }))
}

/// The control socket in the file system: removed in the end, so that clients need not find out by trying.
pub struct SocketFile(PathBuf);

impl SocketFile {
    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_file(&self.0) {
            warn!("cannot remove {}: {error}", self.0.display());
        }
    }
}
