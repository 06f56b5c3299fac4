//! What an earlier process has left: pinned links, and the programs of pinned instances.

use std::{
    fs,
    os::fd::{AsFd as _, OwnedFd},
    path::PathBuf,
};

use super::Role;
use crate::kernel::{
    error::{ErrorKind, KernelError},
    folders::{self, Folders},
    netlink,
    sys::{
        link::{self, Place},
        object::{self, Kind},
    },
};

/// A pinned link to an interface.
pub(in crate::kernel) struct Link {
    pub role: Role,
    /// Index of the interface now; 0 if it is gone.
    pub ifindex: u32,
    pub fd: OwnedFd,
    pub path: PathBuf,
    /// Whether an interface of this network namespace runs it.
    pub here: bool,
}

/// A program of a pinned instance.
pub(in crate::kernel) struct Program {
    pub id: u32,
    pub fd: OwnedFd,
}

/// Everything that is pinned and of use.
pub(in crate::kernel) struct Existing {
    pub links: Vec<Link>,
    pub programs: Vec<Program>,
    /// Numbers of all instances that left anything.
    pub instances: Vec<u32>,
}

impl Existing {
    /// Reads the pins. Changes nothing.
    pub fn read(folders: &Folders) -> Result<Self, KernelError> {
        let instances = folders.instance_numbers();
        let mut programs = Vec::new();
        for number in &instances {
            for path in folders::entries(&folders.instance(*number).join("programs")) {
                let fd = open(&path, Kind::Program)?;
                let info = object::program(fd.as_fd()).map_err(|error| unreadable(&path, error))?;
                programs.push(Program { id: info.id, fd });
            }
        }
        let attached = netlink::attached().map_err(|error| {
            KernelError::call("cannot ask which XDP programs are attached", error)
        })?;
        let mut links = Vec::new();
        for path in folders::entries(&folders.links()) {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let Some(role) = Role::of_pin(&name) else {
                continue; // a tracing program's
            };
            let fd = open(&path, Kind::Link)?;
            let info = link::describe(fd.as_fd()).map_err(|error| unreadable(&path, error))?;
            let runs = |ifindex: u32| {
                role.tcx().is_some_and(|hook| {
                    link::tcx_links(ifindex, hook).is_ok_and(|links| links.contains(&info.id))
                })
            };
            let (ifindex, here) = match (role, info.place) {
                (Role::Ingress, Place::Xdp(ifindex)) => {
                    let held = attached.iter().find(|found| found.ifindex == ifindex);
                    (
                        ifindex,
                        held.is_some_and(|held| {
                            held.programs().any(|program| program == info.program)
                        }),
                    )
                }
                (Role::Egress, Place::TcxEgress(ifindex))
                | (Role::ObserveIngress, Place::TcxIngress(ifindex)) => (ifindex, runs(ifindex)),
                _ => return Err(foreign(&path, "a link of another kind")),
            };
            links.push(Link { role, ifindex, fd, path, here });
        }
        Ok(Existing { links, programs, instances })
    }

    /// Refuses pins that hold interfaces of another network namespace and none of this one.
    pub fn belongs_here(&self, folders: &Folders) -> Result<(), KernelError> {
        let elsewhere = |link: &&Link| link.ifindex != 0 && !link.here;
        match self.links.iter().find(elsewhere) {
            Some(link) if !self.links.iter().any(|link| link.here) => Err(KernelError::new(
                ErrorKind::Busy,
                format!(
                    "{} holds the programs of another network namespace ({} is attached to its interface {})",
                    folders.root().display(),
                    link.role.name(),
                    link.ifindex
                ),
            )
            .advise(format!(
                "choose another --bpf-dir for this network namespace, or take that filter off: foobar detach --bpf-dir {}",
                folders.root().display()
            ))),
            _ => Ok(()),
        }
    }

    /// Removes the pins of links whose interface is gone, or runs in another namespace. Says which.
    pub fn drop_dead(&mut self) -> Result<Vec<String>, KernelError> {
        let mut notes = Vec::new();
        for link in self.links.extract_if(.., |link| !link.here) {
            fs::remove_file(&link.path).map_err(|error| {
                KernelError::call(format!("cannot remove {}", link.path.display()), error)
            })?;
            let why = if link.ifindex == 0 {
                "its interface is gone"
            } else {
                "its interface is in another network namespace"
            };
            notes.push(format!("removed the pin {}: {why}", link.path.display()));
        }
        Ok(notes)
    }
}

fn open(path: &std::path::Path, kind: Kind) -> Result<OwnedFd, KernelError> {
    match object::open(path, kind) {
        Ok(Some(fd)) => Ok(fd),
        Ok(None) => Err(foreign(path, "it went away while it was read")),
        Err(error) if error.raw_os_error().is_none() => Err(foreign(path, &error.to_string())),
        Err(error) => Err(unreadable(path, error)),
    }
}

fn unreadable(path: &std::path::Path, error: std::io::Error) -> KernelError {
    KernelError::call(format!("cannot read the pin {}", path.display()), error)
}

fn foreign(path: &std::path::Path, why: &str) -> KernelError {
    KernelError::new(
        ErrorKind::ForeignPin,
        format!("the pin {} is not foobar's: {why}", path.display()),
    )
    .advise("remove it, or choose another --bpf-dir")
}
