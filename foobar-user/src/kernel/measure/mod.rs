//! Running XDP programs many times, for the benchmark: our own, the two that do nothing, and a peer's.
//!
//! No other part of the project runs programs for their speed.

mod assemble;
mod flood;
mod ladder;
mod slow;
mod sources;

use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd};

use aya_obj::generated::bpf_cmd;

use super::{
    error::KernelError,
    instance::ProgramFacts,
    sandbox::Sandbox,
    sys::{self, link, object},
};
use assemble::Code;
pub use flood::Flood;
pub use ladder::Rung;
pub use sources::RandomSources;

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
    /// The table of programs that it needs: the kernel empties it when its last descriptor is closed.
    _programs: Option<OwnedFd>,
}

/// A program that is attached to an interface as long as this exists.
pub struct Attached {
    _link: OwnedFd,
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

    /// Attaches the program to an interface of the calling thread's network namespace, in the driver, until the result is dropped.
    ///
    /// # Errors
    /// If the interface has a program already, or its driver takes none.
    pub fn attach(&self, interface: u32) -> Result<Attached, KernelError> {
        let link = link::attach_xdp(self.program(), interface, link::XDP_FLAGS_DRV_MODE);
        link.map(|link| Attached { _link: link }).map_err(|error| {
            KernelError::call(format!("cannot attach a program to interface {interface}"), error)
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
