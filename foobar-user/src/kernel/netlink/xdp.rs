//! XDP programs as netlink sees them: who holds an interface, and why a driver refuses.

use std::{
    io,
    os::fd::{AsRawFd as _, BorrowedFd},
};

use super::wire::{Channel, NLA_F_NESTED, Refusal, attribute, list, number, push_attribute};
use crate::kernel::sys::{link, plain::read};

/// linux/if_link.h
const IFLA_XDP: u16 = 43;
const IFLA_XDP_FD: u16 = 1;
const IFLA_XDP_ATTACHED: u16 = 2;
const IFLA_XDP_FLAGS: u16 = 3;
const IFLA_XDP_PROG_ID: u16 = 4;
const IFLA_XDP_DRV_PROG_ID: u16 = 5;
const IFLA_XDP_SKB_PROG_ID: u16 = 6;
const IFLA_XDP_HW_PROG_ID: u16 = 7;
const XDP_ATTACHED_DRV: u8 = 1;
const XDP_ATTACHED_SKB: u8 = 2;
const XDP_ATTACHED_HW: u8 = 3;
const XDP_FLAGS_UPDATE_IF_NOEXIST: u32 = 1;
const XDP_FLAGS_HW_MODE: u32 = 1 << 3;
/// Length of `struct ifinfomsg`.
const IFINFOMSG: usize = 16;

/// The XDP programs of an interface, by number; 0 where there is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::kernel) struct Attached {
    pub ifindex: u32,
    /// Run by the driver.
    pub native: u32,
    /// Run by the network stack.
    pub generic: u32,
    /// Run by the device.
    pub offloaded: u32,
}

impl Attached {
    /// All programs that are attached.
    pub fn programs(&self) -> impl Iterator<Item = u32> {
        [self.native, self.generic, self.offloaded].into_iter().filter(|&program| program != 0)
    }
}

/// What is attached to each interface, whatever attached it (link or netlink).
pub(in crate::kernel) fn attached() -> io::Result<Vec<Attached>> {
    let messages = list(libc::NETLINK_ROUTE, libc::RTM_GETLINK, &[0; IFINFOMSG])?;
    Ok(messages.iter().filter_map(|message| from_message(message)).collect())
}

fn from_message(message: &[u8]) -> Option<Attached> {
    let ifindex = read(message.get(4..)?)?;
    let xdp = attribute(message.get(IFINFOMSG..)?, IFLA_XDP).unwrap_or_default();
    let program = |kind| number::<u32>(xdp, kind).unwrap_or(0);
    let mut found = Attached {
        ifindex,
        native: program(IFLA_XDP_DRV_PROG_ID),
        generic: program(IFLA_XDP_SKB_PROG_ID),
        offloaded: program(IFLA_XDP_HW_PROG_ID),
    };
    // The numbers by mode came later than the one number.
    if found.programs().next().is_none() {
        match number::<u8>(xdp, IFLA_XDP_ATTACHED) {
            Some(XDP_ATTACHED_DRV) => found.native = program(IFLA_XDP_PROG_ID),
            Some(XDP_ATTACHED_SKB) => found.generic = program(IFLA_XDP_PROG_ID),
            Some(XDP_ATTACHED_HW) => found.offloaded = program(IFLA_XDP_PROG_ID),
            _ => {}
        }
    }
    Some(found)
}

/// Asks the driver by netlink to run `program`, for the sentence that goes with its refusal: creating a link gives only an error
/// number. `None` if it does not refuse; the program is taken off again then.
pub(in crate::kernel) fn refusal_text(
    ifindex: u32,
    program: BorrowedFd<'_>,
) -> io::Result<Option<String>> {
    let flags = link::XDP_FLAGS_DRV_MODE | XDP_FLAGS_UPDATE_IF_NOEXIST;
    match set(ifindex, program.as_raw_fd(), flags) {
        Ok(()) => set(ifindex, -1, link::XDP_FLAGS_DRV_MODE)
            .map(|()| None)
            .map_err(|refusal| refusal.error),
        Err(refusal) => Ok(refusal.text),
    }
}

/// Takes off the programs that were attached by netlink. What a link holds stays, and is answered with EBUSY.
pub(in crate::kernel) fn remove(attached: &Attached) -> Result<(), Refusal> {
    for (program, mode) in [
        (attached.native, link::XDP_FLAGS_DRV_MODE),
        (attached.generic, link::XDP_FLAGS_SKB_MODE),
        (attached.offloaded, XDP_FLAGS_HW_MODE),
    ] {
        if program != 0 {
            set(attached.ifindex, -1, mode)?;
        }
    }
    Ok(())
}

fn set(ifindex: u32, program: i32, flags: u32) -> Result<(), Refusal> {
    let mut xdp = Vec::new();
    push_attribute(&mut xdp, IFLA_XDP_FD, &program.to_ne_bytes());
    push_attribute(&mut xdp, IFLA_XDP_FLAGS, &flags.to_ne_bytes());
    let mut message = vec![0; IFINFOMSG];
    message[4..8].copy_from_slice(&ifindex.to_ne_bytes());
    push_attribute(&mut message, IFLA_XDP | NLA_F_NESTED, &xdp);
    Channel::open(libc::NETLINK_ROUTE)?.request(libc::RTM_SETLINK, &message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_read_by_mode() {
        let message = |attributes: &[(u16, &[u8])]| {
            let mut xdp = Vec::new();
            for (kind, value) in attributes {
                push_attribute(&mut xdp, *kind, value);
            }
            let mut message = vec![0; IFINFOMSG];
            message[4] = 9;
            push_attribute(&mut message, IFLA_XDP | NLA_F_NESTED, &xdp);
            from_message(&message).unwrap()
        };
        let id = 77u32.to_ne_bytes();
        let by_mode = message(&[(IFLA_XDP_ATTACHED, &[4]), (IFLA_XDP_SKB_PROG_ID, &id)]);
        assert_eq!(
            (by_mode.ifindex, by_mode.generic, by_mode.native),
            (u32::from_ne_bytes([9, 0, 0, 0]), 77, 0)
        );
        assert_eq!(message(&[(IFLA_XDP_ATTACHED, &[1]), (IFLA_XDP_PROG_ID, &id)]).native, 77);
        assert_eq!(message(&[(IFLA_XDP_ATTACHED, &[0])]).programs().count(), 0);
    }
}
