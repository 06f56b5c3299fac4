//! Classifiers as clsact filters, for kernels without TCX (before Linux 6.6). Such a filter belongs to the interface and
//! to no descriptor: it cannot be pinned and needs no pin.

use std::{
    io,
    os::fd::{AsRawFd as _, BorrowedFd},
};

use super::wire::{Channel, NLA_F_NESTED, Refusal, attribute, list, number, push_attribute};

/// linux/pkt_sched.h: the hook of leaving packets, and both hooks of the clsact qdisc.
const EGRESS_HOOK: u32 = 0xffff_fff3;
const INGRESS_HOOK: u32 = 0xffff_fff2;
const CLSACT: u32 = 0xffff_fff1;
const CLSACT_HANDLE: u32 = 0xffff_0000;
/// linux/rtnetlink.h
const TCA_KIND: u16 = 1;
const TCA_OPTIONS: u16 = 2;
/// linux/pkt_cls.h
const TCA_BPF_FD: u16 = 6;
const TCA_BPF_NAME: u16 = 7;
const TCA_BPF_FLAGS: u16 = 8;
const TCA_BPF_ID: u16 = 11;
const TCA_BPF_FLAG_ACT_DIRECT: u32 = 1;
const ETH_P_ALL: u16 = 3;
/// linux/netlink.h
const NLM_F_CREATE: u16 = 0x400;
/// Place of our filters among others: early, so that a filter that decides for itself does not hide packets from them.
const PRIORITY: u32 = 1;
/// Length of `struct tcmsg`.
const TCMSG: usize = 20;

/// Which of our filters: its hook, and its handle there. A program that leaves a packet to the next one leads to that with the next
/// handle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::kernel) struct Seat {
    hook: u32,
    handle: u32,
}

impl Seat {
    /// Filters what leaves.
    pub const EGRESS: Seat = Seat { hook: EGRESS_HOOK, handle: 0xf00ba };
    /// Observes what arrives.
    pub const OBSERVE_INGRESS: Seat = Seat { hook: INGRESS_HOOK, handle: 0xf00bb };
}

fn header(ifindex: u32, handle: u32, parent: u32, info: u32) -> Vec<u8> {
    let mut message = vec![0; 4];
    for word in [ifindex, handle, parent, info] {
        message.extend_from_slice(&word.to_ne_bytes());
    }
    message
}

fn info() -> u32 {
    PRIORITY << 16 | u32::from(ETH_P_ALL.to_be())
}

/// Puts the program on an interface's hook, in place of an earlier one of ours.
pub(in crate::kernel) fn put(
    ifindex: u32,
    seat: Seat,
    program: BorrowedFd<'_>,
) -> Result<(), Refusal> {
    let mut channel = Channel::open(libc::NETLINK_ROUTE)?;
    let mut qdisc = header(ifindex, CLSACT_HANDLE, CLSACT, 0);
    push_attribute(&mut qdisc, TCA_KIND, b"clsact\0");
    match channel.request_with(libc::RTM_NEWQDISC, NLM_F_CREATE, &qdisc) {
        // Somebody has made it before us.
        Err(refusal) if refusal.error.raw_os_error() == Some(libc::EEXIST) => {}
        result => result?,
    }
    let mut options = Vec::new();
    push_attribute(&mut options, TCA_BPF_FD, &program.as_raw_fd().to_ne_bytes());
    push_attribute(&mut options, TCA_BPF_NAME, b"foobar\0");
    push_attribute(&mut options, TCA_BPF_FLAGS, &TCA_BPF_FLAG_ACT_DIRECT.to_ne_bytes());
    let mut filter = header(ifindex, seat.handle, seat.hook, info());
    push_attribute(&mut filter, TCA_KIND, b"bpf\0");
    push_attribute(&mut filter, TCA_OPTIONS | NLA_F_NESTED, &options);
    channel.request_with(libc::RTM_NEWTFILTER, NLM_F_CREATE, &filter)
}

/// The number of our program in this place, if it is there.
pub(in crate::kernel) fn find(ifindex: u32, seat: Seat) -> io::Result<Option<u32>> {
    let ours = |message: &Vec<u8>| {
        let word = |at: usize| Some(u32::from_ne_bytes(message.get(at..at + 4)?.try_into().ok()?));
        if word(8)? != seat.handle || word(16)? >> 16 != PRIORITY {
            return None;
        }
        number::<u32>(attribute(&message[TCMSG..], TCA_OPTIONS)?, TCA_BPF_ID)
    };
    Ok(filters(ifindex, seat.hook)?.iter().find_map(ours))
}

/// Takes our program off, and the qdisc with it if nobody else uses it.
pub(in crate::kernel) fn remove(ifindex: u32, seat: Seat) -> Result<(), Refusal> {
    let mut channel = Channel::open(libc::NETLINK_ROUTE)?;
    let mut filter = header(ifindex, seat.handle, seat.hook, info());
    push_attribute(&mut filter, TCA_KIND, b"bpf\0");
    channel.request(libc::RTM_DELTFILTER, &filter)?;
    if filters(ifindex, EGRESS_HOOK)?.is_empty() && filters(ifindex, INGRESS_HOOK)?.is_empty() {
        let mut qdisc = header(ifindex, CLSACT_HANDLE, CLSACT, 0);
        push_attribute(&mut qdisc, TCA_KIND, b"clsact\0");
        channel.request(libc::RTM_DELQDISC, &qdisc)?;
    }
    Ok(())
}

fn filters(ifindex: u32, hook: u32) -> io::Result<Vec<Vec<u8>>> {
    match list(libc::NETLINK_ROUTE, libc::RTM_GETTFILTER, &header(ifindex, 0, hook, 0)) {
        // No such qdisc, or no such interface.
        Err(error)
            if matches!(error.raw_os_error(), Some(libc::EINVAL | libc::ENODEV | libc::ENOENT)) =>
        {
            Ok(Vec::new())
        }
        result => result,
    }
}
