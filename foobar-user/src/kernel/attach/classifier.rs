//! Classifiers: TCX where the kernel has it (Linux 6.6), clsact filters elsewhere.

use std::os::fd::BorrowedFd;

use super::{Held, Role, foreign};
use crate::kernel::{
    error::{ErrorKind, KernelError},
    netlink::{Interface, Refusal, clsact},
    probe,
    sys::link,
};

/// Attaches the program to an interface that has none of this role. `role` is not [`Role::Ingress`].
pub(super) fn attach(
    program: BorrowedFd<'_>,
    role: Role,
    interface: &Interface,
) -> Result<Held, KernelError> {
    let what = format!("cannot attach the program {} to {}", role.name(), interface.name);
    let Some(hook) = role.tcx().filter(|_| probe::has_tcx()) else {
        put(program, role, interface)?;
        return Ok(Held {
            link: None,
            note: Some("this kernel has no TCX (Linux 6.6)".to_owned()),
        });
    };
    let link = link::attach_tcx(program, interface.index, hook).map_err(|error| {
        match error.raw_os_error() {
            Some(libc::ENODEV) => foreign::gone(interface),
            _ => KernelError::call(what, error),
        }
    })?;
    Ok(Held { link: Some(link), note: None })
}

/// Puts the program there as a filter, or in place of the one that is there.
pub(super) fn put(
    program: BorrowedFd<'_>,
    role: Role,
    interface: &Interface,
) -> Result<(), KernelError> {
    let Some(seat) = role.seat() else {
        return Err(KernelError::new(ErrorKind::Unsupported, "XDP programs are no filters"));
    };
    clsact::put(interface.index, seat, program).map_err(|refusal: Refusal| {
        if refusal.error.raw_os_error() == Some(libc::ENODEV) {
            return foreign::gone(interface);
        }
        let name = role.name();
        let what = format!("{} takes no filter for {name} (clsact): {refusal}", interface.name);
        KernelError::new(ErrorKind::Refused, what)
            .advise("the kernel needs CONFIG_NET_SCH_INGRESS and CONFIG_NET_CLS_BPF")
    })
}
