//! Small programs, put together instruction by instruction (RFC 9669), so that no compiler stands between a measurement and
//! its floor.

use std::{
    io,
    os::fd::{AsRawFd as _, BorrowedFd, OwnedFd},
};

use aya_obj::generated::{bpf_attach_type, bpf_cmd, bpf_prog_type};

use crate::kernel::sys;

/// linux/bpf.h: the program takes packets of several parts.
const BPF_F_XDP_HAS_FRAGS: u32 = 1 << 5;
/// linux/bpf.h: the immediate is the descriptor of a map.
const BPF_PSEUDO_MAP_FD: u8 = 1;
/// linux/bpf.h: the immediate is the descriptor of a map of one element, whose address is meant.
const BPF_PSEUDO_MAP_VALUE: u8 = 2;

/// Flags and attach type that a program is loaded with. A tail call needs those of the program that it leads to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Variant {
    flags: u32,
    attach_type: u32,
}

/// A program in the making. Registers are given by their number.
#[derive(Default)]
pub(super) struct Code {
    instructions: Vec<u64>,
    /// Jumps to a place that is not known yet: see [`Code::land`].
    leaving: Vec<usize>,
}

impl Code {
    /// All that programs in use are loaded with; the first is that of our own.
    pub const VARIANTS: [Variant; 4] = {
        let xdp = bpf_attach_type::BPF_XDP as u32;
        [
            Variant { flags: BPF_F_XDP_HAS_FRAGS, attach_type: xdp },
            Variant { flags: BPF_F_XDP_HAS_FRAGS, attach_type: 0 },
            Variant { flags: 0, attach_type: xdp },
            Variant { flags: 0, attach_type: 0 },
        ]
    };

    fn push(&mut self, opcode: u8, (to, from): (u8, u8), offset: i16, immediate: i32) -> &mut Self {
        let registers = u64::from(from << 4 | to);
        let offset = u64::from(offset as u16);
        self.instructions.push(
            u64::from(opcode) | registers << 8 | offset << 16 | u64::from(immediate as u32) << 32,
        );
        self
    }

    /// `to = immediate`
    pub fn set(&mut self, to: u8, immediate: i32) -> &mut Self {
        self.push(0xb7, (to, 0), 0, immediate)
    }

    /// `to = from`
    pub fn copy(&mut self, to: u8, from: u8) -> &mut Self {
        self.push(0xbf, (to, from), 0, 0)
    }

    /// `to += immediate`
    pub fn add(&mut self, to: u8, immediate: i32) -> &mut Self {
        self.push(0x07, (to, 0), 0, immediate)
    }

    /// `to = to * factor + summand`, in 32 bits.
    pub fn step(&mut self, to: u8, factor: u32, summand: u32) -> &mut Self {
        self.push(0x24, (to, 0), 0, factor as i32).push(0x04, (to, 0), 0, summand as i32)
    }

    /// `to += from`
    pub fn add_register(&mut self, to: u8, from: u8) -> &mut Self {
        self.push(0x0f, (to, from), 0, 0)
    }

    /// `to -= from`
    pub fn subtract_register(&mut self, to: u8, from: u8) -> &mut Self {
        self.push(0x1f, (to, from), 0, 0)
    }

    /// `to <<= bits`
    pub fn shift_left(&mut self, to: u8, bits: i32) -> &mut Self {
        self.push(0x67, (to, 0), 0, bits)
    }

    /// `to &= immediate`
    pub fn and(&mut self, to: u8, immediate: i32) -> &mut Self {
        self.push(0x57, (to, 0), 0, immediate)
    }

    /// `to ^= immediate`
    pub fn xor(&mut self, to: u8, immediate: i32) -> &mut Self {
        self.push(0xa7, (to, 0), 0, immediate)
    }

    /// `to *= immediate`
    pub fn multiply(&mut self, to: u8, immediate: i32) -> &mut Self {
        self.push(0x27, (to, 0), 0, immediate)
    }

    /// `to >>= bits`
    pub fn shift_right(&mut self, to: u8, bits: i32) -> &mut Self {
        self.push(0x77, (to, 0), 0, bits)
    }

    /// The low 32 bits of `to` in network byte order.
    pub fn network_order(&mut self, to: u8) -> &mut Self {
        self.push(0xdc, (to, 0), 0, 32)
    }

    /// `to = *(u32 *)(from + offset)`
    pub fn read(&mut self, to: u8, from: u8, offset: i16) -> &mut Self {
        self.push(0x61, (to, from), offset, 0)
    }

    /// `to = *(u8 *)(from + offset)`
    pub fn read_byte(&mut self, to: u8, from: u8, offset: i16) -> &mut Self {
        self.push(0x71, (to, from), offset, 0)
    }

    /// `to = *(u16 *)(from + offset)`
    pub fn read_half(&mut self, to: u8, from: u8, offset: i16) -> &mut Self {
        self.push(0x69, (to, from), offset, 0)
    }

    /// `to = *(u64 *)(from + offset)`
    pub fn read_double(&mut self, to: u8, from: u8, offset: i16) -> &mut Self {
        self.push(0x79, (to, from), offset, 0)
    }

    /// `*(u64 *)(to + offset) = from`
    pub fn write_double(&mut self, to: u8, offset: i16, from: u8) -> &mut Self {
        self.push(0x7b, (to, from), offset, 0)
    }

    /// `*(u32 *)(to + offset) = from`
    pub fn write(&mut self, to: u8, offset: i16, from: u8) -> &mut Self {
        self.push(0x63, (to, from), offset, 0)
    }

    /// `*(u16 *)(to + offset) = from`
    pub fn write_half(&mut self, to: u8, offset: i16, from: u8) -> &mut Self {
        self.push(0x6b, (to, from), offset, 0)
    }

    /// `*(u32 *)(to + offset) = immediate`
    pub fn store(&mut self, to: u8, offset: i16, immediate: i32) -> &mut Self {
        self.push(0x62, (to, 0), offset, immediate)
    }

    /// Skips `instructions` if `left` is 0.
    pub fn skip_if_zero(&mut self, left: u8, instructions: i16) -> &mut Self {
        self.push(0x15, (left, 0), instructions, 0)
    }

    /// Skips `instructions` if `left > right`.
    pub fn skip_if_greater(&mut self, left: u8, right: u8, instructions: i16) -> &mut Self {
        self.push(0x2d, (left, right), instructions, 0)
    }

    /// Leaves for where [`Code::land`] says if `left` is the number.
    pub fn leave_if(&mut self, left: u8, right: i32) -> &mut Self {
        self.leave(0x15, (left, 0), right)
    }

    /// The same if `left` is another number.
    pub fn leave_unless(&mut self, left: u8, right: i32) -> &mut Self {
        self.leave(0x55, (left, 0), right)
    }

    /// The same if `left > right`.
    pub fn leave_if_greater(&mut self, left: u8, right: u8) -> &mut Self {
        self.leave(0x2d, (left, right), 0)
    }

    fn leave(&mut self, opcode: u8, registers: (u8, u8), immediate: i32) -> &mut Self {
        self.leaving.push(self.instructions.len());
        self.push(opcode, registers, 0, immediate)
    }

    /// The next instruction is where all jumps that left so far lead to.
    pub fn land(&mut self) -> &mut Self {
        for from in std::mem::take(&mut self.leaving) {
            let skipped = (self.instructions.len() - from - 1) as u64;
            self.instructions[from] |= (skipped & 0xffff) << 16;
        }
        self
    }

    /// `to = &value` of a map of one element; two instructions.
    pub fn value(&mut self, to: u8, map: BorrowedFd<'_>) -> &mut Self {
        self.push(0x18, (to, BPF_PSEUDO_MAP_VALUE), 0, map.as_raw_fd()).push(0, (0, 0), 0, 0)
    }

    /// `to = map`; two instructions.
    pub fn map(&mut self, to: u8, map: BorrowedFd<'_>) -> &mut Self {
        self.push(0x18, (to, BPF_PSEUDO_MAP_FD), 0, map.as_raw_fd()).push(0, (0, 0), 0, 0)
    }

    /// Calls a helper by its number.
    pub fn call(&mut self, helper: i32) -> &mut Self {
        self.push(0x85, (0, 0), 0, helper)
    }

    /// Ends the program; its result stands in register 0.
    pub fn exit(&mut self) -> &mut Self {
        self.push(0x95, (0, 0), 0, 0)
    }

    /// Number of instructions.
    pub fn len(&self) -> i16 {
        self.instructions.len() as i16
    }

    /// Adds other code behind.
    pub fn append(&mut self, other: &Code) -> &mut Self {
        self.instructions.extend(&other.instructions);
        self
    }

    /// Loads it as an XDP program.
    pub fn load(&self, variant: Variant) -> io::Result<OwnedFd> {
        const LICENSE: &std::ffi::CStr = c"GPL";
        let mut attr = sys::attributes();
        // SAFETY: this variant of the union belongs to BPF_PROG_LOAD; every field is an integer.
        let fields = unsafe { &mut attr.__bindgen_anon_3 };
        fields.prog_type = bpf_prog_type::BPF_PROG_TYPE_XDP as u32;
        fields.insns = self.instructions.as_ptr() as u64;
        fields.insn_cnt = self.instructions.len() as u32;
        fields.license = LICENSE.as_ptr() as u64;
        fields.prog_flags = variant.flags;
        fields.expected_attach_type = variant.attach_type;
        // SAFETY: instructions and licence outlive the call; an instruction is 8 bytes, as `insn_cnt` counts them.
        unsafe { sys::bpf_descriptor(bpf_cmd::BPF_PROG_LOAD, &mut attr) }
    }
}
