//! Interfaces come and go; and what is attached where, asked of the kernel.

use std::{fs, os::fd::AsFd as _};

use super::{Engine, Guarded};
use crate::kernel::{
    attach::{Attachment, Existing, Held, Mode, Role, Switch},
    error::{ErrorKind, KernelError},
    folders::Folders,
    instance::Instance,
    netlink::{self, Attached, Interface, clsact},
    probe,
    sys::{link, object},
};

impl Engine {
    /// Attaches the programs in force to one more interface, or again to one that came back.
    ///
    /// # Errors
    /// As for [`Engine::start`]; nothing is attached then.
    pub fn attach(&mut self, interface: &Interface) -> Result<Vec<Attachment>, KernelError> {
        self.forget(interface.index)?;
        let existing = Existing::read(&self.store.folders)?;
        let mut switch = Switch::new(
            &self.store.folders,
            &self.instance,
            &existing.programs,
            self.options.replace,
        );
        let mut guarded = Guarded::new(interface, &self.instance);
        for role in self.instance.roles() {
            guarded.hold(role, switch.attach(role, interface))?;
        }
        self.notes.extend(switch.commit());
        self.guarded.insert(interface.index, guarded);
        Ok(self
            .attachments()?
            .into_iter()
            .filter(|attachment| attachment.ifindex == interface.index)
            .collect())
    }

    /// An interface has another name. What is attached to it stays.
    pub fn rename(&mut self, interface: &Interface) {
        if let Some(guarded) = self.guarded.get_mut(&interface.index) {
            guarded.interface = interface.clone();
        }
    }

    /// Takes the programs off one interface, or forgets one that is gone.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn forget(&mut self, ifindex: u32) -> Result<(), KernelError> {
        let Some(guarded) = self.guarded.remove(&ifindex) else { return Ok(()) };
        for (role, held) in guarded.held {
            release(&self.store.folders, role, &guarded.interface, &held)?;
        }
        Ok(())
    }

    /// Takes programs off that an instance does not have, because nothing is observed any more.
    pub(super) fn release_unused(&mut self, instance: &Instance) -> Result<(), KernelError> {
        let used: Vec<Role> = instance.roles().collect();
        for guarded in self.guarded.values_mut() {
            if instance.observer_missing().is_some() || !used.iter().any(|role| role.observes()) {
                guarded.miss(instance);
            }
            for (role, held) in guarded.held.extract_if(.., |role, _| !used.contains(role)) {
                release(&self.store.folders, role, &guarded.interface, &held)?;
            }
        }
        Ok(())
    }

    /// What should be attached, and whether the kernel says, now, that it is.
    ///
    /// # Errors
    /// If the kernel does not answer.
    pub fn attachments(&self) -> Result<Vec<Attachment>, KernelError> {
        let failed = |error| KernelError::call("cannot ask what is attached", error);
        let attached = netlink::attached().map_err(failed)?;
        let id = |program| object::program(program).map(|info| info.id).map_err(failed);
        let mut list = Vec::new();
        for (&ifindex, guarded) in &self.guarded {
            let here =
                attached.iter().find(|found| found.ifindex == ifindex).copied().unwrap_or_default();
            for (&role, held) in &guarded.held {
                let program_id = id(self.instance.program(role)?)?;
                let link = held.link.as_ref().map(|link| link::describe(link.as_fd()));
                let link = link.transpose().map_err(failed)?;
                let (mode, attached) = match (&link, role.tcx(), role.seat()) {
                    (Some(link), Some(hook), _) => {
                        let links = link::tcx_links(ifindex, hook);
                        let runs = links.is_ok_and(|links| links.contains(&link.id));
                        (Mode::Tcx, link.program == program_id && runs)
                    }
                    (None, Some(_), Some(seat)) => {
                        let found = clsact::find(ifindex, seat).map_err(failed)?;
                        (Mode::Clsact, found == Some(program_id))
                    }
                    _ => ingress_mode(&here, program_id),
                };
                list.push(Attachment {
                    interface: guarded.interface.name.clone(),
                    ifindex,
                    program: role.name(),
                    mode,
                    note: held.note.clone().or_else(|| generic(mode)),
                    attached,
                    missing: false,
                    program_id,
                    link_id: link.map(|link| link.id),
                });
            }
            list.extend(guarded.missing.iter().map(|(role, why)| Attachment {
                interface: guarded.interface.name.clone(),
                ifindex,
                program: role.name(),
                mode: if probe::has_tcx() { Mode::Tcx } else { Mode::Clsact },
                note: Some(why.clone()),
                attached: false,
                missing: true,
                program_id: 0,
                link_id: None,
            }));
        }
        Ok(list)
    }
}

/// Takes one program off an interface.
fn release(
    folders: &Folders,
    role: Role,
    interface: &Interface,
    held: &Held,
) -> Result<(), KernelError> {
    let what = || format!("cannot take {} off {}", role.name(), interface.name);
    let failed = |error| KernelError::call(what(), error);
    match (&held.link, role.seat()) {
        (Some(link), _) => {
            let path = role.pin(folders, interface.index);
            if fs::exists(&path).map_err(failed)? {
                fs::remove_file(&path).map_err(failed)?;
            }
            link::detach(link.as_fd()).map_err(failed)
        }
        (None, Some(seat)) if clsact::find(interface.index, seat).ok().flatten().is_some() => {
            clsact::remove(interface.index, seat).map_err(|refusal| {
                KernelError::new(ErrorKind::Kernel, format!("{}: {refusal}", what()))
            })
        }
        _ => Ok(()),
    }
}

/// How an interface runs a program, and whether it does at all.
fn ingress_mode(found: &Attached, program: u32) -> (Mode, bool) {
    if found.generic == program {
        (Mode::Generic, true)
    } else {
        (Mode::Native, found.native == program)
    }
}

/// For a link that an earlier process made: it is kept as it is, because changing its mode would open a gap.
fn generic(mode: Mode) -> Option<String> {
    (mode == Mode::Generic)
        .then(|| "an earlier start found that the driver refuses native mode; `foobar detach` and a new start try again".to_owned())
}
