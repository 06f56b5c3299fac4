//! Live packets without end, each from another source: the kernel makes them (BPF_F_TEST_XDP_LIVE_FRAMES, Linux 5.18), a small
//! program writes the source and sends them out.

use std::{
    io,
    os::fd::{AsFd as _, AsRawFd as _, OwnedFd},
};

use aya_obj::generated::{bpf_cmd, bpf_func_id};

use super::{Action, Code};
use crate::kernel::{
    error::KernelError,
    sys::{self, plain::bytes},
    trace::XdpContext,
};

/// linux/bpf.h: hand each run a packet of its own, which goes where the verdict says.
const BPF_F_TEST_XDP_LIVE_FRAMES: u32 = 1 << 1;
/// Sources lie in 1.0.0.0 to 222.255.255.255: below multicast.
const FIRST: i32 = 1 << 24;
const BLOCKS: i32 = 222;
/// Where things stand in a TCP segment over IPv4 without options or tags.
const SOURCE: i16 = 14 + 12;
const IDENTIFICATION: i16 = 14 + 4;
const SEQUENCE: i16 = 14 + 20 + 4;
const LENGTH: usize = 14 + 20 + 20;

/// A generator of TCP segments over IPv4.
pub struct Flood {
    program: OwnedFd,
    frame: Vec<u8>,
}

impl Flood {
    /// Prepares the generator. What a random source adds to the checksums is taken off again in the identification and in the
    /// sequence number, so every packet is a valid one.
    ///
    /// # Errors
    /// If the kernel refuses the program.
    ///
    /// # Panics
    /// If the frame is shorter than the headers.
    pub fn of(frame: &[u8]) -> Result<Self, KernelError> {
        assert!(frame.len() >= LENGTH, "no TCP segment");
        let mut frame = frame.to_vec();
        for offset in [SOURCE as usize, IDENTIFICATION as usize, SEQUENCE as usize] {
            let bytes = if offset == IDENTIFICATION as usize { 2 } else { 4 };
            frame[offset..offset + bytes].fill(0);
        }
        checksums(&mut frame);
        let program = code()
            .load(Code::VARIANTS[0])
            .map_err(|error| KernelError::call("cannot load the generator of packets", error))?;
        Ok(Flood { program, frame })
    }

    /// Sends so many packets out of an interface of the calling thread's network namespace. One call costs some 25 ms beside the
    /// packets.
    ///
    /// # Errors
    /// Before Linux 5.18; if a signal came in between.
    pub fn send(&self, count: u32, interface: u32) -> Result<(), KernelError> {
        self.run(count, interface)
            .map_err(|error| KernelError::call("cannot make live packets", error))
    }

    fn run(&self, count: u32, interface: u32) -> io::Result<()> {
        let context = XdpContext {
            data_end: self.frame.len() as u32,
            ingress_ifindex: interface,
            ..XdpContext::default()
        };
        let mut attr = sys::attributes();
        attr.test.prog_fd = self.program.as_fd().as_raw_fd() as u32;
        attr.test.data_in = self.frame.as_ptr() as u64;
        attr.test.data_size_in = self.frame.len() as u32;
        attr.test.ctx_in = bytes(&context).as_ptr() as u64;
        attr.test.ctx_size_in = size_of::<XdpContext>() as u32;
        attr.test.repeat = count;
        attr.test.flags = BPF_F_TEST_XDP_LIVE_FRAMES;
        // SAFETY: frame and context outlive the call and are as long as said; nothing is written back.
        unsafe { sys::bpf(bpf_cmd::BPF_PROG_TEST_RUN, &mut attr) }.map(drop)
    }
}

fn code() -> Code {
    const PACKET: u8 = 7;
    const WORD: u8 = 8;
    const SUM: u8 = 9;
    const END: u8 = 3;
    const SCRATCH: u8 = 2;
    let mut rewrite = Code::default();
    rewrite
        .call(bpf_func_id::BPF_FUNC_get_prandom_u32 as i32)
        .copy(WORD, 0)
        .multiply(WORD, BLOCKS)
        .shift_right(WORD, 8)
        .add(WORD, FIRST)
        .network_order(WORD)
        .write(PACKET, SOURCE, WORD)
        // The sum of both halves, with the carry added, and its complement: together they add nothing (RFC 1071).
        .copy(SUM, WORD)
        .and(SUM, 0xffff)
        .shift_right(WORD, 16)
        .add_register(SUM, WORD)
        .copy(SCRATCH, SUM)
        .shift_right(SCRATCH, 16)
        .and(SUM, 0xffff)
        .add_register(SUM, SCRATCH)
        .xor(SUM, 0xffff)
        .write_half(PACKET, IDENTIFICATION, SUM)
        .write_half(PACKET, SEQUENCE, SUM)
        .set(0, Action::Transmit as i32)
        .exit();
    let mut code = Code::default();
    code.read(PACKET, 1, 0).read(END, 1, 4).copy(SCRATCH, PACKET).add(SCRATCH, LENGTH as i32);
    code.skip_if_greater(SCRATCH, END, rewrite.len())
        .append(&rewrite)
        .set(0, Action::Drop as i32)
        .exit();
    code
}

/// Writes the checksums of IPv4 and TCP (RFC 1071).
fn checksums(frame: &mut [u8]) {
    let length = usize::from(u16::from_be_bytes([frame[16], frame[17]]));
    let end = (14 + length).min(frame.len());
    frame[24..26].fill(0);
    let sum = complement(add(0, &frame[14..34]));
    frame[24..26].copy_from_slice(&sum.to_be_bytes());
    frame[50..52].fill(0);
    let pseudo = add(6 + (end - 34) as u32, &frame[26..34]);
    let sum = complement(add(pseudo, &frame[34..end]));
    frame[50..52].copy_from_slice(&sum.to_be_bytes());
}

fn add(sum: u32, bytes: &[u8]) -> u32 {
    bytes.chunks(2).fold(sum, |sum, pair| {
        sum + u32::from(u16::from_be_bytes([pair[0], pair.get(1).copied().unwrap_or(0)]))
    })
}

fn complement(mut sum: u32) -> u16 {
    while sum >> 16 != 0 {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}
