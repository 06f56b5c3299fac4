//! Leaving packets: TCX where the kernel has it (Linux 6.6), a clsact filter elsewhere.

use std::os::fd::BorrowedFd;

use super::{Held, foreign};
use crate::kernel::{
    error::{ErrorKind, KernelError},
    netlink::{Interface, Refusal, clsact},
    probe,
    sys::link,
};

/// Attaches the program to an interface that has none of ours.
pub(super) fn attach(program: BorrowedFd<'_>, interface: &Interface) -> Result<Held, KernelError> {
    if !probe::has_tcx() {
        put(program, interface)?;
        return Ok(Held {
            link: None,
            note: Some("this kernel has no TCX (Linux 6.6)".to_owned()),
        });
    }
    let what = format!("cannot attach the program egress to {}", interface.name);
    let link = link::attach_tcx_egress(program, interface.index)
        .map_err(|error| KernelError::call(what, error))?;
    Ok(Held { link: Some(link), note: None })
}

/// Puts the program there as a filter, or in place of the one that is there.
pub(super) fn put(program: BorrowedFd<'_>, interface: &Interface) -> Result<(), KernelError> {
    clsact::put(interface.index, program).map_err(|refusal: Refusal| {
        if refusal.error.raw_os_error() == Some(libc::ENODEV) {
            return foreign::gone(interface);
        }
        let what = format!("{} takes no egress filter (clsact): {refusal}", interface.name);
        KernelError::new(ErrorKind::Refused, what)
            .advise("the kernel needs CONFIG_NET_SCH_INGRESS and CONFIG_NET_CLS_BPF")
    })
}
