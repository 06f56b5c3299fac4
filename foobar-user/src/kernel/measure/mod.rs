//! Running XDP programs many times, for the benchmark: our own, the two that do nothing, and a peer's.
//!
//! Nothing is attached here, and no other part of the project runs programs for their speed.

mod assemble;
mod sources;

use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd};

use aya_obj::generated::bpf_cmd;

use super::{
    error::KernelError,
    instance::ProgramFacts,
    sandbox::Sandbox,
    sys::{self, object, plain::bytes},
    trace::XdpContext,
};
use assemble::Code;
pub use sources::RandomSources;

/// linux/bpf.h: hand each run a packet of its own, which goes where the verdict says.
const BPF_F_TEST_XDP_LIVE_FRAMES: u32 = 1 << 1;

/// A verdict of an XDP program (`enum xdp_action` of linux/bpf.h).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Action {
    /// Drop the packet.
    Drop = 1,
    /// Hand it to the network stack.
    Pass = 2,
    /// Send it out of the interface that it came from.
    Transmit = 3,
}

/// What a series of runs told.
#[derive(Clone, Copy, Debug)]
pub struct Ran {
    /// Verdict of the last run, a number as in [`Action`].
    pub verdict: u32,
    /// Mean duration of a run as the kernel took it, nanoseconds.
    pub nanoseconds: u32,
}

/// An XDP program that is measured.
pub struct Subject {
    program: OwnedFd,
    /// The table of programs that it needs.
    _programs: Option<OwnedFd>,
}

impl Subject {
    /// The least that a program can be: one that gives every packet the same verdict.
    ///
    /// # Errors
    /// If the kernel refuses to load it.
    pub fn constant(action: Action) -> Result<Self, KernelError> {
        let mut code = Code::default();
        code.set(0, action as i32).exit();
        let program = code
            .load(Code::VARIANTS[0])
            .map_err(|error| KernelError::call("cannot load a program that does nothing", error))?;
        Ok(Subject { program, _programs: None })
    }

    /// The ingress program of a sandbox, which it may outlive.
    ///
    /// # Errors
    /// If the descriptor cannot be kept.
    pub fn ingress(sandbox: &Sandbox) -> Result<Self, KernelError> {
        let program = sandbox.ingress().try_clone_to_owned();
        let program =
            program.map_err(|error| KernelError::call("cannot keep the ingress program", error))?;
        Ok(Subject { program, _programs: None })
    }

    /// A program that somebody else has loaded. Needs CAP_SYS_ADMIN.
    ///
    /// # Errors
    /// If there is none of this number.
    pub fn by_id(id: u32) -> Result<Self, KernelError> {
        let program = object::program_by_id(id)
            .map_err(|error| KernelError::call(format!("cannot open the program {id}"), error))?;
        Ok(Subject { program, _programs: None })
    }

    /// Runs the program on a frame, `repeat` times in one call (BPF_PROG_TEST_RUN).
    ///
    /// # Errors
    /// For frames below 14 bytes; if a signal came in between.
    pub fn run(&self, frame: &[u8], repeat: u32) -> Result<Ran, KernelError> {
        let mut attr = sys::attributes();
        attr.test.prog_fd = self.program.as_raw_fd() as u32;
        attr.test.data_in = frame.as_ptr() as u64;
        attr.test.data_size_in = frame.len() as u32;
        attr.test.repeat = repeat;
        // SAFETY: the frame outlives the call and is as long as said; nothing is written back.
        unsafe { sys::bpf(bpf_cmd::BPF_PROG_TEST_RUN, &mut attr) }.map_err(|error| {
            KernelError::call("cannot run the program on a frame (BPF_PROG_TEST_RUN)", error)
        })?;
        // SAFETY: the kernel has written both there.
        Ok(unsafe { Ran { verdict: attr.test.retval, nanoseconds: attr.test.duration } })
    }

    /// Makes `count` live packets of a frame and does with each what the program says, on behalf of an interface of the calling
    /// thread's network namespace: [`Action::Transmit`] sends it out there. One call costs some 25 ms beside the packets.
    ///
    /// # Errors
    /// Before Linux 5.18; if a signal came in between.
    pub fn flood(&self, frame: &[u8], count: u32, interface: u32) -> Result<(), KernelError> {
        let context = XdpContext {
            data_end: frame.len() as u32,
            ingress_ifindex: interface,
            ..XdpContext::default()
        };
        let mut attr = sys::attributes();
        attr.test.prog_fd = self.program.as_raw_fd() as u32;
        attr.test.data_in = frame.as_ptr() as u64;
        attr.test.data_size_in = frame.len() as u32;
        attr.test.ctx_in = bytes(&context).as_ptr() as u64;
        attr.test.ctx_size_in = size_of::<XdpContext>() as u32;
        attr.test.repeat = count;
        attr.test.flags = BPF_F_TEST_XDP_LIVE_FRAMES;
        // SAFETY: frame and context outlive the call and are as long as said; nothing is written back.
        unsafe { sys::bpf(bpf_cmd::BPF_PROG_TEST_RUN, &mut attr) }.map(drop).map_err(|error| {
            KernelError::call("cannot make live packets (BPF_F_TEST_XDP_LIVE_FRAMES)", error)
        })
    }

    /// What the kernel says of the program.
    ///
    /// # Errors
    /// If it does not answer.
    pub fn facts(&self) -> Result<ProgramFacts, KernelError> {
        let info = object::program(self.program())
            .map_err(|error| KernelError::call("cannot ask about a program", error))?;
        Ok(ProgramFacts {
            name: info.name,
            id: info.id,
            verified_instructions: info.verified_instructions,
            translated_bytes: info.translated_bytes,
        })
    }

    fn program(&self) -> BorrowedFd<'_> {
        self.program.as_fd()
    }
}
