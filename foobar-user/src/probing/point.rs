//! The instruction of a function that is probed. The kernel writes a breakpoint over it. Some instructions it then carries out itself;
//! all others it lets the processor run alone and trap again, which is about 30 times as slow (31 µs instead of 1 µs).
//!
//! So the first instruction of the function is taken that the kernel emulates, as long as each call of the function comes there exactly
//! once and the arguments are still in their registers.

use iced_x86::{
    Decoder, DecoderOptions, FlowControl, Instruction, InstructionInfoFactory, OpAccess, Register,
};
use thiserror::Error;

use super::Function;

/// Why a function cannot be probed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum PointError {
    /// Its instructions cannot be read.
    #[error("the function {0} cannot be read as instructions of x86-64")]
    NoCode(&'static str),
    /// None is emulated while the arguments are there.
    #[error(
        "at the beginning of {0} is no instruction that the kernel emulates; the others cost 30 times as much with a probe"
    )]
    NoneEmulated(&'static str),
    /// A loop comes back to it.
    #[error("the beginning of {0} is part of a loop, so a probe there would count too much")]
    Loop(&'static str),
}

/// Registers of the first integer arguments (System V ABI for AMD64, section 3.2.3).
const ARGUMENTS: [Register; 6] =
    [Register::RDI, Register::RSI, Register::RDX, Register::RCX, Register::R8, Register::R9];

/// Bytes from the start of the function to the instruction that is probed; its first `arguments` arguments are intact there.
pub fn choose(function: &Function<'_>, arguments: usize) -> Result<u64, PointError> {
    let needed = &ARGUMENTS[..arguments];
    let mut effects = InstructionInfoFactory::new();
    for (at, instruction) in instructions(function) {
        if instruction.is_invalid() {
            return Err(PointError::NoCode(function.name));
        }
        let bytes = &function.code[at..at + instruction.len()];
        if is_emulated(bytes) {
            return match is_come_back_to(function, at) {
                true => Err(PointError::Loop(function.name)),
                false => Ok(at as u64),
            };
        }
        let spoils = effects.info(&instruction).used_registers().iter().any(|used| {
            !matches!(used.access(), OpAccess::Read | OpAccess::CondRead)
                && needed.contains(&used.register().full_register())
        });
        if spoils || instruction.flow_control() != FlowControl::Next {
            break;
        }
    }
    Err(if function.code.is_empty() {
        PointError::NoCode(function.name)
    } else {
        PointError::NoneEmulated(function.name)
    })
}

/// The instructions of a function, each with its offset.
pub fn instructions<'a>(
    function: &Function<'a>,
) -> impl Iterator<Item = (usize, Instruction)> + use<'a> {
    let start = function.address;
    Decoder::with_ip(64, function.code, start, DecoderOptions::NONE)
        .into_iter()
        .map(move |instruction| ((instruction.ip() - start) as usize, instruction))
}

/// Whether the kernel carries it out itself, whatever its version (branch_setup_ops and push_setup_ops of arch/x86/kernel/uprobes.c): of
/// prefixed forms only those that versions from 6.1 on agree on.
pub(super) fn is_emulated(bytes: &[u8]) -> bool {
    match bytes {
        // push, also of the registers R8 to R15
        [0x50..=0x57] | [0x41, 0x50..=0x57] => true,
        [0x90] => true,
        // call, jmp
        [0xe8 | 0xe9, _, _, _, _] | [0xeb, _] => true,
        // jcc
        [0x70..=0x7f, _] | [0x0f, 0x80..=0x8f, _, _, _, _] => true,
        _ => false,
    }
}

/// Whether a jump leads back between the start of the function and this instruction.
pub(super) fn is_come_back_to(function: &Function<'_>, at: usize) -> bool {
    let (start, end) = (function.address, function.address + at as u64);
    instructions(function).any(|(_, instruction)| {
        let jumps = matches!(
            instruction.flow_control(),
            FlowControl::ConditionalBranch | FlowControl::UnconditionalBranch
        );
        let target = instruction.near_branch_target();
        jumps && start < target && target <= end
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(code: &[u8], arguments: usize) -> Result<u64, PointError> {
        choose(&Function { name: "f", address: 0x1000, file_offset: 0x1000, code }, arguments)
    }

    #[test]
    fn the_first_emulated_instruction_is_taken() {
        for (name, code, expected) in [
            ("nginx of Debian 12: push rbx; mov rbx,rdi", &[0x53, 0x48, 0x89, 0xfb][..], 0),
            ("push r13", &[0x41, 0x55, 0x49, 0x89, 0xf5], 0),
            ("built for CET: endbr64; push rbx", &[0xf3, 0x0f, 0x1e, 0xfa, 0x53], 4),
            (
                "Debian 12, ap_run_log_transaction: mov rax,[rip+..]; test rax,rax; je",
                &[
                    0x48, 0x8b, 0x05, 0x79, 0xb7, 0x06, 0x00, 0x48, 0x85, 0xc0, 0x74, 0x54, 0x41,
                    0x54,
                ],
                10,
            ),
            ("sub rsp,8; call", &[0x48, 0x83, 0xec, 0x08, 0xe8, 0, 0, 0, 0], 4),
            ("mov rax,rdi; nop", &[0x48, 0x89, 0xf8, 0x90], 3),
        ] {
            assert_eq!(chosen(code, 2), Ok(expected), "{name}");
        }
    }

    #[test]
    fn without_a_good_one_it_is_refused() {
        let none = PointError::NoneEmulated("f");
        for (name, code, expected) in [
            ("mov rdi,rsi; push rbx", &[0x48, 0x89, 0xf7, 0x53][..], &none),
            ("xor edi,edi; push rbx", &[0x31, 0xff, 0x53], &none),
            ("pop rsi; push rbx", &[0x5e, 0x53], &none),
            ("ret; push rbx", &[0xc3, 0x53], &none),
            ("jmp [rax]; push rbx", &[0xff, 0x20, 0x53], &none),
            ("pause; wide nop; ret", &[0xf3, 0x90, 0x66, 0x90, 0xc3], &none),
            ("push with a needless prefix; ret", &[0x48, 0x53, 0xc3], &none),
            ("no instruction", &[0x06], &PointError::NoCode("f")),
            ("cut short", &[0x48, 0x89], &PointError::NoCode("f")),
            ("nothing", &[], &PointError::NoCode("f")),
            (
                "endbr64; push rbx; jmp back to the push",
                &[0xf3, 0x0f, 0x1e, 0xfa, 0x53, 0xeb, 0xfd],
                &PointError::Loop("f"),
            ),
        ] {
            assert_eq!(chosen(code, 2).as_ref(), Err(expected), "{name}");
        }
        // An argument that nobody reads may be gone: mov rsi,rdi; push rbx.
        assert_eq!(chosen(&[0x48, 0x89, 0xfe, 0x53], 1), Ok(3));
        assert_eq!(chosen(&[0x48, 0x89, 0xfe, 0x53], 2), Err(none));
    }
}
