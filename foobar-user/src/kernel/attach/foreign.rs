//! Other people's XDP programs: named, never thrown out unless asked to.

use std::{fmt::Write as _, os::fd::AsFd as _};

use crate::kernel::{
    error::{ErrorKind, KernelError},
    netlink::{self, Attached, Interface},
    sys::{
        link::{self, Place},
        object,
    },
};

/// What is attached to an interface and is not one of `ours` (numbers of programs).
pub(super) fn find(interface: &Interface, ours: &[u32]) -> Result<Option<Attached>, KernelError> {
    let all = netlink::attached()
        .map_err(|error| KernelError::call("cannot ask which XDP programs are attached", error))?;
    let found = all.into_iter().find(|found| found.ifindex == interface.index);
    let found = found.ok_or_else(|| gone(interface))?;
    Ok(found.programs().any(|program| !ours.contains(&program)).then_some(found))
}

pub(super) fn gone(interface: &Interface) -> KernelError {
    KernelError::new(
        ErrorKind::NoSuchInterface,
        format!("the interface {} ({}) is gone", interface.name, interface.index),
    )
}

/// The error for an interface that another program holds.
pub(super) fn refuse(interface: &Interface, found: &Attached) -> KernelError {
    let mut text = format!("another XDP program holds {}:", interface.name);
    for (program, mode) in
        [(found.native, "native"), (found.generic, "generic"), (found.offloaded, "offloaded")]
    {
        if program != 0 {
            let _ = write!(text, " {} in {mode} mode", describe(program));
        }
    }
    KernelError::new(ErrorKind::ForeignProgram, text).advise(format!(
        "take it off with what attached it (or: ip link set dev {} xdp off), or start foobar with --replace",
        interface.name
    ))
}

/// Number, and name and user where we are allowed to ask.
fn describe(id: u32) -> String {
    let known = object::program_by_id(id).and_then(|program| object::program(program.as_fd()));
    match known {
        Ok(info) => format!("program {id} ({}, loaded by user {})", info.name, info.uid),
        Err(_) => format!("program {id}"),
    }
}

/// Takes other programs off an interface, whatever attached them.
pub(super) fn remove(interface: &Interface, found: &Attached) -> Result<String, KernelError> {
    let names: Vec<_> = found.programs().map(describe).collect();
    if let Err(refusal) = netlink::remove(found) {
        // A link holds it; that can be asked for among all links of the machine, with CAP_SYS_ADMIN.
        let mut detached = false;
        for link in object::all_links() {
            let Ok(link) = link else { break };
            let Ok(info) = link::describe(link.as_fd()) else { continue };
            if info.place == Place::Xdp(found.ifindex)
                && found.programs().any(|program| program == info.program)
            {
                detached |= link::detach(link.as_fd()).is_ok();
            }
        }
        if !detached {
            let error = KernelError::new(
                ErrorKind::ForeignProgram,
                format!("cannot take {} off {}: {refusal}", names.join(" and "), interface.name),
            );
            return Err(error
                .advise("take it off with what attached it; foobar needs CAP_SYS_ADMIN to do so"));
        }
    }
    Ok(format!("took {} off {}, as --replace asks", names.join(" and "), interface.name))
}
