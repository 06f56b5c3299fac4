//! The tracing programs: attached once for a folder of pins, whatever the interfaces.

use std::{
    fs, io,
    mem::offset_of,
    os::fd::{AsFd as _, OwnedFd},
    path::Path,
    sync::atomic::Ordering,
};

use foobar_common::tables::Root;

use super::{
    error::KernelError,
    folders::Folders,
    instance::{Instance, TRACING},
    sys::{
        link,
        memory::Region,
        object::{self, Kind},
    },
};

/// Behind the name of a pin that is to replace another one.
const NEW: &str = "-new";

/// One tracing program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hook {
    /// `sock_state`, `tcp_retransmit`, ...
    pub program: &'static str,
    /// Whether it counts.
    pub attached: bool,
    /// Why it does not.
    pub missing: Option<String>,
}

/// What is observed of TCP connections. Without `sock_state`, connections are known by the SYN segments that the filter let pass.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Observer {
    /// All tracing programs.
    pub hooks: Vec<Hook>,
}

impl Observer {
    /// Whether completed handshakes are counted.
    pub fn counts_connections(&self) -> bool {
        self.hooks.iter().any(|hook| hook.program == "sock_state" && hook.attached)
    }

    /// Attaches the programs of an instance in place of those of earlier ones, of which `roots` are the maps `ROOT`. What cannot be
    /// attached is left out: the filter does not depend on it.
    ///
    /// A tracing link cannot be replaced in place. So both are attached for a moment, and one word in each instance says which of
    /// them counts: an event that both counted would be wrong for ever.
    pub(super) fn attach(folders: &Folders, instance: &Instance, roots: &[Region]) -> Self {
        let pin = |program: &str, suffix: &str| folders.links().join(format!("{program}{suffix}"));
        let mut hooks = Vec::new();
        for (program, loaded) in &instance.tracing {
            let attached = loaded.as_ref().map_err(Clone::clone).and_then(|loaded| {
                let path = pin(program, NEW);
                let _ = fs::remove_file(&path);
                let link =
                    link::attach_tracing(loaded.as_fd()).map_err(|error| error.to_string())?;
                object::pin(link.as_fd(), &path).map_err(|error| error.to_string())
            });
            hooks.push(Hook { program, attached: attached.is_ok(), missing: attached.err() });
        }
        for root in roots {
            root.word(offset_of!(Root, observing)).store(0, Ordering::Release);
        }
        instance.observe();
        for hook in &mut hooks {
            let path = pin(hook.program, "");
            let done = if hook.attached {
                fs::rename(pin(hook.program, NEW), &path)
            } else {
                release(&path)
            };
            if let Err(error) = done {
                hook.missing = Some(format!("cannot replace {}: {error}", path.display()));
            }
        }
        Observer { hooks }
    }
}

/// The word that says who counts, of each instance that is pinned: `ROOT`, which the last process that had it may have left behind.
pub(super) fn roots(folders: &Folders, instances: &[u32]) -> Vec<Region> {
    let open = |number: &u32| {
        let map = object::open(&folders.instance(*number).join("maps/ROOT"), Kind::Map).ok()??;
        Region::map(map.as_fd(), 0, size_of::<Root>()).ok()
    };
    instances.iter().filter_map(open).collect()
}

/// Unpins a link and waits until it is off: closing the last descriptor does both, unpinning alone works in the background.
fn release(path: &Path) -> io::Result<()> {
    let held: Option<OwnedFd> = object::open(path, Kind::Link)?;
    if held.is_some() {
        fs::remove_file(path)?;
    }
    Ok(())
}

/// Takes all tracing programs off.
pub(super) fn detach(folders: &Folders) -> Result<usize, KernelError> {
    let mut count = 0;
    for (program, _) in TRACING {
        let path = folders.links().join(program);
        if path.exists() {
            release(&path).map_err(|error| {
                KernelError::call(format!("cannot remove {}", path.display()), error)
            })?;
            count += 1;
        }
    }
    Ok(count)
}
