//! A program that takes long: what a packet is that is held up in the middle of a program.

use std::{
    io,
    os::fd::{AsFd as _, OwnedFd},
};

use aya_obj::generated::{bpf_func_id, bpf_map_type};

use super::{Action, Code, Subject};
use crate::kernel::{
    error::KernelError,
    sys::map::{self, MapSpec},
};

/// Bytes that are copied in a step: some milliseconds.
const BYTES: u32 = 16 << 20;

impl Subject {
    /// A program that copies 16 MB in the kernel, `steps` times, and then drops.
    ///
    /// # Errors
    /// If the kernel refuses it.
    pub fn slow(steps: u16) -> Result<Self, KernelError> {
        slow(steps).map_err(|error| KernelError::call("cannot load a program that is slow", error))
    }
}

fn slow(steps: u16) -> io::Result<Subject> {
    const FRAME: u8 = 10;
    const KEY: i16 = -4;
    const SOURCE: u8 = 6;
    let maps: [OwnedFd; 2] = [table()?, table()?];
    let mut copy = Code::default();
    for _ in 0..steps {
        copy.map(1, maps[1].as_fd())
            .copy(2, FRAME)
            .add(2, KEY.into())
            .copy(3, SOURCE)
            .set(4, 0)
            .call(bpf_func_id::BPF_FUNC_map_update_elem as i32);
    }
    let mut code = Code::default();
    code.store(FRAME, KEY, 0)
        .map(1, maps[0].as_fd())
        .copy(2, FRAME)
        .add(2, KEY.into())
        .call(bpf_func_id::BPF_FUNC_map_lookup_elem as i32)
        .copy(SOURCE, 0)
        .skip_if_zero(SOURCE, copy.len())
        .append(&copy)
        .set(0, Action::Drop as i32)
        .exit();
    // The program keeps its maps.
    let program = code.load(Code::VARIANTS[0])?;
    Ok(Subject { program, _programs: None })
}

fn table() -> io::Result<OwnedFd> {
    let kind = bpf_map_type::BPF_MAP_TYPE_ARRAY as u32;
    map::create(&MapSpec { kind, key: 4, value: BYTES, entries: 1, flags: 0 }, "slow", None)
}
