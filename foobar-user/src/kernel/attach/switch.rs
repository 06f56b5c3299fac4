//! Putting a new instance's programs under all links: all of it or nothing.

use std::{
    fs, io,
    os::fd::{AsFd as _, BorrowedFd, OwnedFd},
    path::PathBuf,
};

use super::{Held, Role, classifier, existing::Program, foreign, ingress};
use crate::kernel::{
    error::{ErrorKind, KernelError},
    folders::Folders,
    instance::Instance,
    netlink::{Interface, clsact},
    sys::{link, object},
};

/// A change in progress. Dropped without [`Switch::commit`], it takes back what it did.
pub(in crate::kernel) struct Switch<'a> {
    folders: &'a Folders,
    new: &'a Instance,
    /// The programs that the links run now.
    old: &'a [Program],
    /// Whether other people's XDP programs give way.
    replace: bool,
    done: Vec<Done>,
    pub notes: Vec<String>,
}

/// How to take one step back.
enum Done {
    Replaced { link: OwnedFd, program: OwnedFd },
    Created { link: OwnedFd, path: PathBuf },
    Filter { role: Role, interface: Interface, program: Option<OwnedFd> },
}

impl<'a> Switch<'a> {
    pub fn new(folders: &'a Folders, new: &'a Instance, old: &'a [Program], replace: bool) -> Self {
        Switch { folders, new, old, replace, done: Vec::new(), notes: Vec::new() }
    }

    /// Replaces the program under a link. `false`: its interface is gone.
    pub fn take_over(
        &mut self,
        role: Role,
        held: BorrowedFd<'_>,
        interface: &str,
    ) -> Result<bool, KernelError> {
        let failed = |error: io::Error| {
            KernelError::call(
                format!("cannot replace the program {} on {interface}", role.name()),
                error,
            )
        };
        let before = link::describe(held).map_err(failed)?.program;
        match link::replace(held, self.new.program(role)?, None) {
            Ok(()) => {}
            Err(error) if matches!(error.raw_os_error(), Some(libc::ENOLINK | libc::ENODEV)) => {
                return Ok(false);
            }
            Err(error) => return Err(failed(error)),
        }
        if let Some(old) = self.old.iter().find(|program| program.id == before) {
            let link = held.try_clone_to_owned().map_err(failed)?;
            let program = old.fd.try_clone().map_err(failed)?;
            self.done.push(Done::Replaced { link, program });
        }
        Ok(true)
    }

    /// Attaches to an interface that has no link of ours in this role, and pins the link.
    pub fn attach(&mut self, role: Role, interface: &Interface) -> Result<Held, KernelError> {
        let program = self.new.program(role)?;
        let held = match role {
            Role::Ingress => {
                if let Some(found) = foreign::find(interface, &[])? {
                    if !self.replace {
                        return Err(foreign::refuse(interface, &found));
                    }
                    self.notes.push(foreign::remove(interface, &found)?);
                }
                ingress::attach(program, interface)?
            }
            _ => {
                let before = found(role, interface);
                let held = classifier::attach(program, role, interface)?;
                if held.link.is_none() {
                    self.remember_filter(role, interface, before)?;
                }
                held
            }
        };
        if let Some(link) = &held.link {
            let path = role.pin(self.folders, interface.index);
            let failed = |error: io::Error| {
                KernelError::call(format!("cannot pin {}", path.display()), error)
            };
            self.done.push(Done::Created {
                link: link.try_clone().map_err(failed)?,
                path: path.clone(),
            });
            object::pin(link.as_fd(), &path).map_err(failed)?;
        }
        Ok(held)
    }

    /// Replaces the program of a clsact filter of ours. `false`: its interface is gone.
    pub fn take_over_filter(
        &mut self,
        role: Role,
        interface: &Interface,
    ) -> Result<bool, KernelError> {
        let before = found(role, interface);
        match classifier::put(self.new.program(role)?, role, interface) {
            Err(error) if error.kind() == ErrorKind::NoSuchInterface => return Ok(false),
            result => result?,
        }
        self.remember_filter(role, interface, before).map(|()| true)
    }

    fn remember_filter(
        &mut self,
        role: Role,
        interface: &Interface,
        before: Option<u32>,
    ) -> Result<(), KernelError> {
        let old = before.and_then(|id| self.old.iter().find(|program| program.id == id));
        let program = old.map(|old| old.fd.try_clone()).transpose();
        let program =
            program.map_err(|error| KernelError::call("cannot keep the old program", error))?;
        self.done.push(Done::Filter { role, interface: interface.clone(), program });
        Ok(())
    }

    /// What was done stays. Returns what is worth telling.
    pub fn commit(mut self) -> Vec<String> {
        self.done.clear();
        std::mem::take(&mut self.notes)
    }

    /// Checks, before anything is changed, that nobody else holds an interface that has no link of ours.
    pub fn check_free(interface: &Interface, replace: bool) -> Result<(), KernelError> {
        match foreign::find(interface, &[])? {
            Some(found) if !replace => Err(foreign::refuse(interface, &found)),
            _ => Ok(()),
        }
    }
}

impl Drop for Switch<'_> {
    fn drop(&mut self) {
        for step in self.done.drain(..).rev() {
            if let Err(error) = step.undo() {
                tracing::error!(
                    "a step of a failed change cannot be taken back, `foobar status` says what is attached: {error:#}"
                );
            }
        }
    }
}

impl Done {
    fn undo(self) -> Result<(), KernelError> {
        match self {
            Done::Replaced { link, program } => link::replace(link.as_fd(), program.as_fd(), None)
                .map_err(|error| {
                    KernelError::call("cannot put the earlier program back under its link", error)
                }),
            Done::Created { link, path } => {
                // Pinning may be the step that failed.
                let _ = fs::remove_file(&path);
                link::detach(link.as_fd()).map_err(|error| {
                    KernelError::call(format!("cannot detach the link {}", path.display()), error)
                })
            }
            Done::Filter { role, interface, program: Some(program) } => {
                classifier::put(program.as_fd(), role, &interface)
            }
            Done::Filter { role, interface, program: None } => {
                let Some(seat) = role.seat() else { return Ok(()) };
                clsact::remove(interface.index, seat).map_err(|refusal| {
                    let (role, interface) = (role.name(), &interface.name);
                    let what = format!("cannot take {role} off {interface}: {refusal}");
                    KernelError::new(ErrorKind::Kernel, what)
                })
            }
        }
    }
}

/// The number of our program among the filters of an interface.
fn found(role: Role, interface: &Interface) -> Option<u32> {
    clsact::find(interface.index, role.seat()?).ok().flatten()
}
