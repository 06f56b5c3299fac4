//! The same frame from another source each time. One packet repeated flatters every table, since what it needs is in the cache.
//!
//! A small program writes the next source address into the frame, which the runs of one call share, and goes on to the program
//! that is measured by a tail call. What it costs by itself is measured in front of a bare drop.

use std::{
    io,
    os::fd::{AsFd as _, AsRawFd as _, BorrowedFd},
};

use aya_obj::generated::{bpf_func_id, bpf_map_type};

use super::{Code, Subject};
use crate::kernel::{
    error::KernelError,
    sys::map::{self, MapSpec},
};

/// Numerical Recipes' generator of 32-bit numbers: comes by each of them once.
const FACTOR: u32 = 1_664_525;
const SUMMAND: u32 = 1_013_904_223;
/// IPv4 sources lie in 1.0.0.0 to 222.255.255.255: below multicast.
const FIRST4: i32 = 1 << 24;
const BLOCKS4: i32 = 222;
/// IPv6 sources lie in 2000::/3.
const FIRST6: i32 = 0x2000_0000;

/// Where source address and sequence number of a TCP segment without options or tags stand in its frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RandomSources {
    /// IPv4.
    V4,
    /// IPv6: the upper 64 bits are random.
    V6,
}

impl RandomSources {
    /// The program, with another source in front of each run. The state of the generator is the TCP sequence number, of which no
    /// filter takes notice.
    ///
    /// # Errors
    /// If the kernel refuses the tail call.
    pub fn in_front_of(self, subject: &Subject) -> Result<Subject, KernelError> {
        self.chain(subject).map_err(|error| {
            KernelError::call("cannot put random sources in front of a program", error)
        })
    }

    fn chain(self, subject: &Subject) -> io::Result<Subject> {
        let spec = MapSpec {
            kind: bpf_map_type::BPF_MAP_TYPE_PROG_ARRAY as u32,
            key: 4,
            value: 4,
            entries: 1,
            flags: 0,
        };
        let programs = map::create(&spec, "measured", None)?;
        map::update(programs.as_fd(), &0u32, &(subject.program().as_raw_fd() as u32))?;
        let code = self.code(programs.as_fd());
        let mut refused = io::Error::other("no variant");
        for variant in Code::VARIANTS {
            match code.load(variant) {
                // The kernel empties the table of programs when its last descriptor is closed.
                Ok(program) => return Ok(Subject { program, _programs: Some(programs) }),
                Err(error) => refused = error,
            }
        }
        Err(refused)
    }

    fn code(self, programs: BorrowedFd<'_>) -> Code {
        const CONTEXT: u8 = 6;
        const PACKET: u8 = 7;
        const STATE: u8 = 8;
        const END: u8 = 3;
        const SCRATCH: u8 = 2;
        let (source, sequence) = match self {
            RandomSources::V4 => (14 + 12, 14 + 20 + 4),
            RandomSources::V6 => (14 + 8, 14 + 40 + 4),
        };
        let mut rewrite = Code::default();
        rewrite
            .read(STATE, PACKET, sequence)
            .step(STATE, FACTOR, SUMMAND)
            .write(PACKET, sequence, STATE)
            .copy(SCRATCH, STATE);
        match self {
            RandomSources::V4 => {
                rewrite.multiply(SCRATCH, BLOCKS4).shift_right(SCRATCH, 8).add(SCRATCH, FIRST4)
            }
            RandomSources::V6 => rewrite
                .write(PACKET, source + 4, STATE)
                .shift_right(SCRATCH, 3)
                .add(SCRATCH, FIRST6),
        };
        rewrite.network_order(SCRATCH).write(PACKET, source, SCRATCH);
        rewrite
            .copy(1, CONTEXT)
            .map(2, programs)
            .set(3, 0)
            .call(bpf_func_id::BPF_FUNC_tail_call as i32);

        let mut code = Code::default();
        code.copy(CONTEXT, 1)
            .read(PACKET, 1, 0)
            .read(END, 1, 4)
            .copy(SCRATCH, PACKET)
            .add(SCRATCH, (sequence + 4).into());
        code.skip_if_greater(SCRATCH, END, rewrite.len()).append(&rewrite).set(0, 0).exit();
        code
    }
}
