//! Running the loaded programs on a frame of our own: what would become of it, and why.

use std::{io, os::fd::BorrowedFd};

use foobar_common::event::{TRACE_MAGIC, TRACE_NO_CLASS, TRACE_READ_ONLY, Trace};

use super::{
    attach::Direction,
    error::{ErrorKind, KernelError},
    sys::{
        plain::{Plain, bytes, read},
        run::{Run, run},
    },
};

/// linux/bpf.h: verdict of an XDP program.
const XDP_PASS: u32 = 2;
/// linux/pkt_cls.h: verdict of a classifier.
const TC_ACT_SHOT: u32 = 2;
/// The least that BPF_PROG_TEST_RUN takes: an Ethernet header.
const LEAST: usize = 14;

/// A frame and how to run it.
#[derive(Clone, Copy, Debug)]
pub struct TraceRequest<'a> {
    /// Which program.
    pub direction: Direction,
    /// From the Ethernet header on.
    pub frame: &'a [u8],
    /// Change no counter, flow or token.
    pub read_only: bool,
    /// The time to assume, in jiffies; 0 is now.
    pub jiffies: u64,
}

/// What a program found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Traced {
    /// Whether the packet passes.
    pub passed: bool,
    /// Number of the counter that was or would have been incremented; it names verdict, reason and rule.
    pub counter: u16,
    /// Source class, if the address was looked up.
    pub source_class: Option<u16>,
    /// It passes only because of the mode `audit`.
    pub audited: bool,
}

/// `struct xdp_md` of linux/bpf.h.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub(super) struct XdpContext {
    pub data: u32,
    pub data_end: u32,
    pub data_meta: u32,
    pub ingress_ifindex: u32,
    pub rx_queue_index: u32,
    pub egress_ifindex: u32,
}

// SAFETY: `repr(C)`, six integers, no padding.
unsafe impl Plain for XdpContext {}

/// `struct __sk_buff` of linux/bpf.h; only the control block is of interest. Longer than today's, so that the kernel can always
/// write back all of its own.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct SkBuff {
    before: [u32; 12],
    control: [u32; 5],
    behind: [[u32; 16]; 3],
}

// SAFETY: `repr(C)`, integers of four bytes, no padding.
unsafe impl Plain for SkBuff {}

/// Runs a frame through the ingress program. `buffer` is reused between calls.
pub(super) fn ingress(
    program: BorrowedFd<'_>,
    request: &TraceRequest<'_>,
    buffer: &mut Vec<u8>,
) -> Result<Traced, KernelError> {
    let flags = if request.read_only { TRACE_READ_ONLY } else { 0 };
    let trace = Trace { magic: TRACE_MAGIC, flags, jiffies: request.jiffies, ..Trace::default() };
    let frame = long_enough(request.frame)?;
    let length = size_of::<Trace>() + frame.len();
    // Input in the first half, output in the second.
    buffer.clear();
    buffer.extend_from_slice(bytes(&trace));
    buffer.extend_from_slice(frame);
    buffer.resize(2 * length, 0);
    let (data, output) = buffer.split_at_mut(length);
    let mut context = XdpContext {
        data: size_of::<Trace>() as u32,
        data_end: length as u32,
        ..XdpContext::default()
    };
    let verdict = run(program, Run { data, output, context: &mut context, context_back: false })
        .map_err(failed)?;
    let trace = read::<Trace>(output).filter(|trace| trace.done == 1).ok_or_else(silent)?;
    Ok(Traced {
        passed: verdict == XDP_PASS,
        counter: trace.counter,
        source_class: class(trace.source_class),
        audited: trace.audited == 1,
    })
}

/// Runs a frame through the egress program of a sandbox.
pub(super) fn egress(
    program: BorrowedFd<'_>,
    request: &TraceRequest<'_>,
) -> Result<Traced, KernelError> {
    let mut context = SkBuff::default();
    let flags = if request.read_only { TRACE_READ_ONLY } else { 0 };
    context.control =
        [TRACE_MAGIC, flags, request.jiffies as u32, (request.jiffies >> 32) as u32, 0];
    let data = long_enough(request.frame)?;
    let verdict =
        run(program, Run { data, output: &mut [], context: &mut context, context_back: true })
            .map_err(failed)?;
    let [magic, .., found] = context.control;
    if magic != TRACE_MAGIC + 1 {
        return Err(silent());
    }
    Ok(Traced {
        passed: verdict != TC_ACT_SHOT,
        counter: found as u16,
        source_class: class((found >> 16) as u16),
        audited: false,
    })
}

fn class(class: u16) -> Option<u16> {
    (class != TRACE_NO_CLASS).then_some(class)
}

fn long_enough(frame: &[u8]) -> Result<&[u8], KernelError> {
    if frame.len() >= LEAST {
        return Ok(frame);
    }
    Err(KernelError::new(
        ErrorKind::Unsupported,
        format!("the kernel runs no frame of {} bytes, only of {LEAST} and more", frame.len()),
    ))
}

fn failed(error: io::Error) -> KernelError {
    KernelError::call("cannot run the program on a frame (BPF_PROG_TEST_RUN)", error)
}

fn silent() -> KernelError {
    KernelError::new(
        ErrorKind::Kernel,
        "the program did not report what it found: it is not of this version",
    )
    .advise("restart the daemon, which then loads its own: systemctl restart foobar")
}
