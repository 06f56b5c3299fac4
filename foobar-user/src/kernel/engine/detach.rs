//! Everything off, nothing left: links, pins, folders.

use std::{collections::BTreeSet, fs, os::fd::AsFd as _, path::Path};

use super::Engine;
use crate::kernel::{
    attach::{Existing, Role},
    error::KernelError,
    folders::{self, Folders},
    netlink::{self, clsact},
    observer,
    sys::link,
};

/// What was taken off.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Detached {
    /// Interfaces that were filtered, by name, or by index where they have none here.
    pub interfaces: Vec<String>,
    /// What is worth telling.
    pub notes: Vec<String>,
    /// Whether there was anything.
    pub found: bool,
}

impl Engine {
    /// Takes everything off and removes every pin.
    ///
    /// # Errors
    /// If the kernel refuses a step.
    pub fn detach(self) -> Result<Detached, KernelError> {
        take_off(&self.store.folders)
    }
}

/// The same without a daemon, for whatever is pinned below `bpf_dir`.
///
/// # Errors
/// [`ErrorKind::Busy`](crate::kernel::ErrorKind::Busy) while a daemon works with it; if the kernel refuses a step.
pub fn detach(bpf_dir: &Path) -> Result<Detached, KernelError> {
    match Folders::open_existing(bpf_dir)? {
        Some(folders) => take_off(&folders),
        None => Ok(Detached::default()),
    }
}

fn take_off(folders: &Folders) -> Result<Detached, KernelError> {
    let mut done = Detached { found: true, ..Detached::default() };
    let names = netlink::interfaces()?;
    let name = |ifindex: u32| netlink::name_of(ifindex, &names);
    let mut off = BTreeSet::new();
    match Existing::read(folders) {
        Ok(existing) => {
            for held in &existing.links {
                // Detached first: other descriptors may keep the link alive after its pin is gone.
                if held.ifindex != 0 {
                    link::detach(held.fd.as_fd()).map_err(|error| {
                        KernelError::call(
                            format!("cannot take {} off {}", held.role.name(), name(held.ifindex)),
                            error,
                        )
                    })?;
                    off.insert(name(held.ifindex));
                }
            }
            for interface in &names {
                let ours = |program: &u32| existing.programs.iter().any(|ours| ours.id == *program);
                for role in Role::ALL {
                    let Some(seat) = role.seat() else { continue };
                    if clsact::find(interface.index, seat).ok().flatten().filter(ours).is_none() {
                        continue;
                    }
                    match clsact::remove(interface.index, seat) {
                        Ok(()) => drop(off.insert(interface.name.clone())),
                        Err(refusal) => done.notes.push(format!(
                            "cannot take {} off {}: {refusal}",
                            role.name(),
                            interface.name
                        )),
                    }
                }
            }
        }
        // Foreign pins among ours: they are removed with the folder, which lets go of them.
        Err(error) => done.notes.push(format!("{error:#}")),
    }
    observer::detach(folders)?;
    folders::remove(folders.root()).map_err(|error| {
        KernelError::call(format!("cannot remove {}", folders.root().display()), error)
    })?;
    debug_assert!(!fs::exists(folders.root()).unwrap_or(false));
    done.interfaces = off.into_iter().collect();
    Ok(done)
}
