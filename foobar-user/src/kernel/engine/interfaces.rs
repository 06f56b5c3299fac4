//! Interfaces come and go; and what is attached where, asked of the kernel.

use std::{fs, os::fd::AsFd as _};

use super::{Engine, Guarded};
use crate::kernel::{
    attach::{Attachment, Direction, Existing, Mode, Switch},
    error::{ErrorKind, KernelError},
    netlink::{self, Attached, Interface, clsact},
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
        let egress = switch.attach(Direction::Egress, interface)?;
        let ingress = switch.attach(Direction::Ingress, interface)?;
        self.notes.extend(switch.commit());
        self.guarded
            .insert(interface.index, Guarded { interface: interface.clone(), ingress, egress });
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
        for direction in Direction::ALL {
            let path = direction.pin(&self.store.folders, ifindex);
            match &guarded.held(direction).link {
                Some(held) => {
                    let failed = |error| {
                        KernelError::call(
                            format!(
                                "cannot take {} off {}",
                                direction.name(),
                                guarded.interface.name
                            ),
                            error,
                        )
                    };
                    if fs::exists(&path).map_err(failed)? {
                        fs::remove_file(&path).map_err(failed)?;
                    }
                    link::detach(held.as_fd()).map_err(failed)?;
                }
                None => {
                    if clsact::find(ifindex).ok().flatten().is_some() {
                        clsact::remove(ifindex).map_err(|refusal| {
                            KernelError::new(
                                ErrorKind::Kernel,
                                format!(
                                    "cannot take egress off {}: {refusal}",
                                    guarded.interface.name
                                ),
                            )
                        })?;
                    }
                }
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
        let (ingress, egress) = (id(self.instance.ingress())?, id(self.instance.egress())?);
        let mut list = Vec::new();
        for (&ifindex, guarded) in &self.guarded {
            let here =
                attached.iter().find(|found| found.ifindex == ifindex).copied().unwrap_or_default();
            let mut add = |direction: Direction, program_id, mode, attached| {
                let held = guarded.held(direction);
                let link_id = held
                    .link
                    .as_ref()
                    .map(|link| link::describe(link.as_fd()).map(|info| info.id))
                    .transpose()
                    .map_err(failed)?;
                list.push(Attachment {
                    interface: guarded.interface.name.clone(),
                    ifindex,
                    program: direction.name(),
                    mode,
                    note: held.note.clone().or_else(|| generic(mode)),
                    attached,
                    program_id,
                    link_id,
                });
                Ok(())
            };
            let (mode, runs) = ingress_mode(&here, ingress);
            add(Direction::Ingress, ingress, mode, runs)?;
            let (mode, runs) = match &guarded.egress.link {
                Some(held) => {
                    let link = link::describe(held.as_fd()).map_err(failed)?;
                    (
                        Mode::Tcx,
                        link.program == egress
                            && link::tcx_egress_links(ifindex)
                                .is_ok_and(|links| links.contains(&link.id)),
                    )
                }
                None => (Mode::Clsact, clsact::find(ifindex).map_err(failed)? == Some(egress)),
            };
            add(Direction::Egress, egress, mode, runs)?;
        }
        Ok(list)
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
