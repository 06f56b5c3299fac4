//! Running a program on a frame of our own (BPF_PROG_TEST_RUN).

use std::{
    io,
    os::fd::{AsRawFd as _, BorrowedFd},
};

use aya_obj::generated::bpf_cmd;

use super::{
    attributes, bpf,
    plain::{Plain, bytes},
};

/// What a program gets, and where its output goes.
pub(in crate::kernel) struct Run<'a, C> {
    /// The frame; for XDP with metadata in front, as `context` says.
    pub data: &'a [u8],
    /// Receives the same after the run; at least as long as `data`, or empty if it is of no interest.
    pub output: &'a mut [u8],
    /// `struct xdp_md` or `struct __sk_buff` of linux/bpf.h; overwritten with its state after the run where `context_back` is set.
    pub context: &'a mut C,
    pub context_back: bool,
}

/// Runs a program once and returns its verdict.
pub(in crate::kernel) fn run<C: Plain>(
    program: BorrowedFd<'_>,
    run: Run<'_, C>,
) -> io::Result<u32> {
    let given = *run.context;
    let mut attr = attributes();
    attr.test.prog_fd = program.as_raw_fd() as u32;
    attr.test.data_in = run.data.as_ptr() as u64;
    attr.test.data_size_in = run.data.len() as u32;
    if !run.output.is_empty() {
        attr.test.data_out = run.output.as_mut_ptr() as u64;
        attr.test.data_size_out = run.output.len() as u32;
    }
    attr.test.ctx_in = bytes(&given).as_ptr() as u64;
    attr.test.ctx_size_in = size_of::<C>() as u32;
    if run.context_back {
        attr.test.ctx_out = std::ptr::from_mut(run.context) as u64;
        attr.test.ctx_size_out = size_of::<C>() as u32;
    }
    // SAFETY: all four buffers outlive the call and are as long as said; the context takes any bytes (`Plain`).
    unsafe { bpf(bpf_cmd::BPF_PROG_TEST_RUN, &mut attr) }?;
    // SAFETY: the kernel has written the verdict there.
    Ok(unsafe { attr.test.retval })
}
