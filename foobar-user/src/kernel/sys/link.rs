//! Links: a program attached to something, owned by a descriptor or a pin.

use std::{
    io,
    os::fd::{AsRawFd as _, BorrowedFd, OwnedFd},
};

use aya_obj::generated::{bpf_attach_type, bpf_cmd, bpf_link_info, bpf_link_type};

use super::{attributes, bpf, bpf_descriptor, object};

/// linux/bpf.h: put it before the others; without a relative that is the head of the list.
const BPF_F_BEFORE: u32 = 1 << 3;
/// linux/bpf.h: replace only if the program is still the one named.
const BPF_F_REPLACE: u32 = 1 << 2;
/// linux/if_link.h: the driver runs the program.
pub(in crate::kernel) const XDP_FLAGS_DRV_MODE: u32 = 1 << 2;
/// linux/if_link.h: the network stack runs the program, after the driver has made a socket buffer.
pub(in crate::kernel) const XDP_FLAGS_SKB_MODE: u32 = 1 << 1;

/// Attaches an XDP program to an interface (Linux 5.9). `flags` chooses the mode.
pub(in crate::kernel) fn attach_xdp(
    program: BorrowedFd<'_>,
    ifindex: u32,
    flags: u32,
) -> io::Result<OwnedFd> {
    attach(program, ifindex, bpf_attach_type::BPF_XDP, flags)
}

/// Attaches a classifier to an interface, in front of all others on this hook (TCX, Linux 6.6). In front, because a program that
/// decides for itself ends the walk, and what the server sends would go unseen by those behind it.
pub(in crate::kernel) fn attach_tcx(
    program: BorrowedFd<'_>,
    ifindex: u32,
    hook: bpf_attach_type,
) -> io::Result<OwnedFd> {
    attach(program, ifindex, hook, BPF_F_BEFORE)
}

fn attach(
    program: BorrowedFd<'_>,
    ifindex: u32,
    place: bpf_attach_type,
    flags: u32,
) -> io::Result<OwnedFd> {
    let mut attr = attributes();
    attr.link_create.__bindgen_anon_1.prog_fd = program.as_raw_fd() as u32;
    attr.link_create.__bindgen_anon_2.target_ifindex = ifindex;
    attr.link_create.attach_type = place as u32;
    attr.link_create.flags = flags;
    // SAFETY: the attributes hold no pointer.
    unsafe { bpf_descriptor(bpf_cmd::BPF_LINK_CREATE, &mut attr) }
}

/// Attaches a tracing program to the tracepoint that it was loaded for (BPF_RAW_TRACEPOINT_OPEN without a name).
pub(in crate::kernel) fn attach_tracing(program: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let mut attr = attributes();
    attr.raw_tracepoint.prog_fd = program.as_raw_fd() as u32;
    // SAFETY: the attributes hold no pointer; a null name means "as loaded".
    unsafe { bpf_descriptor(bpf_cmd::BPF_RAW_TRACEPOINT_OPEN, &mut attr) }
}

/// Attaches a program to a perf event, here a probe (Linux 5.15). The program can ask for the cookie.
pub(in crate::kernel) fn attach_perf(
    program: BorrowedFd<'_>,
    event: BorrowedFd<'_>,
    cookie: u64,
) -> io::Result<OwnedFd> {
    let mut attr = attributes();
    attr.link_create.__bindgen_anon_1.prog_fd = program.as_raw_fd() as u32;
    attr.link_create.__bindgen_anon_2.target_fd = event.as_raw_fd() as u32;
    attr.link_create.attach_type = bpf_attach_type::BPF_PERF_EVENT as u32;
    attr.link_create.__bindgen_anon_3.perf_event.bpf_cookie = cookie;
    // SAFETY: the attributes hold no pointer.
    unsafe { bpf_descriptor(bpf_cmd::BPF_LINK_CREATE, &mut attr) }
}

/// Replaces the program of a link in one step; every packet meets the old or the new one. With `old`, only if it is still that
/// program.
pub(in crate::kernel) fn replace(
    link: BorrowedFd<'_>,
    new: BorrowedFd<'_>,
    old: Option<BorrowedFd<'_>>,
) -> io::Result<()> {
    let mut attr = attributes();
    attr.link_update.link_fd = link.as_raw_fd() as u32;
    attr.link_update.__bindgen_anon_1.new_prog_fd = new.as_raw_fd() as u32;
    if let Some(old) = old {
        attr.link_update.flags = BPF_F_REPLACE;
        attr.link_update.__bindgen_anon_2.old_prog_fd = old.as_raw_fd() as u32;
    }
    // SAFETY: the attributes hold no pointer.
    unsafe { bpf(bpf_cmd::BPF_LINK_UPDATE, &mut attr) }.map(drop)
}

/// Detaches what a link has attached, whoever else still holds it (BPF_LINK_DETACH, Linux 5.9; tracing links do not know it).
pub(in crate::kernel) fn detach(link: BorrowedFd<'_>) -> io::Result<()> {
    let mut attr = attributes();
    attr.link_detach.link_fd = link.as_raw_fd() as u32;
    // SAFETY: the attributes hold no pointer.
    unsafe { bpf(bpf_cmd::BPF_LINK_DETACH, &mut attr) }.map(drop)
}

/// What a link attaches where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::kernel) struct LinkInfo {
    pub id: u32,
    pub program: u32,
    pub place: Place,
}

/// Where a link is attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::kernel) enum Place {
    /// An interface's XDP hook, by interface index; 0 once the interface is gone.
    Xdp(u32),
    /// An interface's TCX ingress hook, by interface index; 0 once the interface is gone.
    TcxIngress(u32),
    /// An interface's TCX egress hook, by interface index; 0 once the interface is gone.
    TcxEgress(u32),
    /// Elsewhere.
    Other,
}

/// What the kernel says about a link.
pub(in crate::kernel) fn describe(link: BorrowedFd<'_>) -> io::Result<LinkInfo> {
    // SAFETY: the structure is all integers.
    let info: bpf_link_info = unsafe { object::info(link) }?;
    // SAFETY: the type says which variant of the union the kernel has filled, and all are integers.
    let place = unsafe {
        if info.type_ == bpf_link_type::BPF_LINK_TYPE_XDP as u32 {
            Place::Xdp(info.__bindgen_anon_1.xdp.ifindex)
        } else if info.type_ == bpf_link_type::BPF_LINK_TYPE_TCX as u32
            && info.__bindgen_anon_1.tcx.attach_type == bpf_attach_type::BPF_TCX_EGRESS as u32
        {
            Place::TcxEgress(info.__bindgen_anon_1.tcx.ifindex)
        } else if info.type_ == bpf_link_type::BPF_LINK_TYPE_TCX as u32 {
            Place::TcxIngress(info.__bindgen_anon_1.tcx.ifindex)
        } else {
            Place::Other
        }
    };
    Ok(LinkInfo { id: info.id, program: info.prog_id, place })
}

/// The numbers of the links on a TCX hook of an interface, in their order (BPF_PROG_QUERY, Linux 6.6).
pub(in crate::kernel) fn tcx_links(ifindex: u32, hook: bpf_attach_type) -> io::Result<Vec<u32>> {
    tcx(ifindex, hook).map(|entries| entries.into_iter().map(|(_, link)| link).collect())
}

/// The numbers of the programs there, in the order in which they run.
pub(in crate::kernel) fn tcx_programs(ifindex: u32, hook: bpf_attach_type) -> io::Result<Vec<u32>> {
    tcx(ifindex, hook).map(|entries| entries.into_iter().map(|(program, _)| program).collect())
}

/// Programs and their links.
fn tcx(ifindex: u32, hook: bpf_attach_type) -> io::Result<Vec<(u32, u32)>> {
    /// BPF_MPROG_MAX of kernel/bpf/mprog.c.
    const MOST: usize = 64;
    let mut programs = [0u32; MOST];
    let mut links = [0u32; MOST];
    let mut attr = attributes();
    attr.query.__bindgen_anon_1.target_ifindex = ifindex;
    attr.query.attach_type = hook as u32;
    attr.query.prog_ids = programs.as_mut_ptr() as u64;
    attr.query.link_ids = links.as_mut_ptr() as u64;
    attr.query.__bindgen_anon_2.count = MOST as u32;
    // SAFETY: the kernel writes at most `count` numbers into each array.
    unsafe { bpf(bpf_cmd::BPF_PROG_QUERY, &mut attr) }?;
    // SAFETY: the kernel has written the number of entries there.
    let count = unsafe { attr.query.__bindgen_anon_2.count } as usize;
    Ok(programs.into_iter().zip(links).take(count).collect())
}
