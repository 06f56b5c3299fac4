//! XDP: native mode first, generic mode if the driver refuses, and why it did.

use std::{
    io,
    os::fd::{BorrowedFd, OwnedFd},
};

use super::{Held, foreign};
use crate::kernel::{
    error::{ErrorKind, KernelError},
    netlink::{self, Interface},
    sys::link::{self, XDP_FLAGS_DRV_MODE, XDP_FLAGS_SKB_MODE},
};

/// Attaches the program to an interface that has none.
pub(super) fn attach(program: BorrowedFd<'_>, interface: &Interface) -> Result<Held, KernelError> {
    let error = match link::attach_xdp(program, interface.index, XDP_FLAGS_DRV_MODE) {
        Ok(link) => return Ok(Held { link: Some(link), note: None }),
        Err(error) => error,
    };
    match error.raw_os_error() {
        Some(libc::EPERM) => return Err(failed(interface, error)),
        Some(libc::ENODEV) => return Err(foreign::gone(interface)),
        // Somebody was faster than us.
        Some(libc::EBUSY | libc::EEXIST) => {
            return Err(match foreign::find(interface, &[])? {
                Some(found) => foreign::refuse(interface, &found),
                None => failed(interface, error),
            });
        }
        _ => {}
    }
    let reason = reason(program, interface, &error);
    let link = generic(program, interface).map_err(|generic| {
        let what = format!(
            "{} takes no XDP program: native mode: {reason}; generic mode: {generic}",
            interface.name
        );
        KernelError::new(ErrorKind::Refused, what)
            .advise("`foobar doctor` says what its driver needs; or leave it out of `interfaces`")
    })?;
    Ok(Held {
        link: Some(link),
        note: Some(format!("the driver of {} refuses native mode: {reason}", interface.name)),
    })
}

fn generic(program: BorrowedFd<'_>, interface: &Interface) -> io::Result<OwnedFd> {
    link::attach_xdp(program, interface.index, XDP_FLAGS_SKB_MODE)
}

/// The driver's own sentence if it has one, else the error number's.
fn reason(program: BorrowedFd<'_>, interface: &Interface, error: &io::Error) -> String {
    match netlink::refusal_text(interface.index, program) {
        Ok(Some(text)) => text,
        _ if error.raw_os_error() == Some(libc::EOPNOTSUPP) => {
            "it cannot run XDP programs".to_owned()
        }
        _ => error.to_string(),
    }
}

fn failed(interface: &Interface, error: io::Error) -> KernelError {
    KernelError::call(format!("cannot attach the program ingress to {}", interface.name), error)
}
