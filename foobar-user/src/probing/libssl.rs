//! OpenSSL's libssl: the two places in `SSL_read` and `SSL_write` at which a probe sees what a program reads and writes. From 1.1.1 on
//! both are (ssl/ssl_lib.c)
//!
//! ```c
//! ret = ssl_read_internal(s, buf, (size_t)num, &readbytes);
//! if (ret > 0)
//!     ret = (int)readbytes;
//! ```
//!
//! The call has all arguments in registers, the place of `readbytes` with them; the conditional jump behind it has the result. The kernel
//! emulates both. `SSL_read_ex` and `SSL_write_ex` have no such jump.

use iced_x86::{Code, FlowControl, InstructionInfoFactory, Mnemonic, OpAccess, Register};
use thiserror::Error;

use super::{
    Function,
    point::{instructions, is_come_back_to, is_emulated},
};

/// The function is another one than in the versions of OpenSSL that are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error(
    "{0} does not call another function with the place of its result, as it does in OpenSSL 1.1.1 and 3"
)]
pub struct UnknownShape(&'static str);

/// Where a function hands its work on, and where it has the result: bytes from its start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Around {
    /// The call of the inner function; its arguments are in their registers.
    pub call: u64,
    /// Behind it; the result is in `eax`.
    pub result: u64,
}

/// How far a walk down a function has come.
enum Walk {
    /// The place of the result is in no register yet.
    Before,
    /// It is in `rcx`, the fourth argument.
    Placed,
    /// The inner function was called there.
    Called(u64),
    /// Its result was compared with 0.
    Compared(u64),
}

/// Finds both places.
///
/// # Errors
/// The function has another shape.
pub fn around(function: &Function<'_>) -> Result<Around, UnknownShape> {
    let unknown = UnknownShape(function.name);
    let mut effects = InstructionInfoFactory::new();
    let mut walk = Walk::Before;
    for (at, instruction) in instructions(function) {
        let emulated = is_emulated(&function.code[at..at + instruction.len()]);
        let flow = instruction.flow_control();
        walk = match walk {
            Walk::Called(call) if is_comparison(&instruction) => Walk::Compared(call),
            Walk::Compared(call) if flow == FlowControl::ConditionalBranch && emulated => {
                let around = Around { call, result: at as u64 };
                return if is_come_back_to(function, at) { Err(unknown) } else { Ok(around) };
            }
            Walk::Placed if flow == FlowControl::Call && emulated => Walk::Called(at as u64),
            Walk::Before | Walk::Placed if flow == FlowControl::ConditionalBranch => walk,
            Walk::Before | Walk::Placed if flow == FlowControl::Next => {
                let written: Vec<_> = (effects.info(&instruction).used_registers().iter())
                    .filter(|used| !matches!(used.access(), OpAccess::Read | OpAccess::CondRead))
                    .map(|used| used.register().full_register())
                    .collect();
                if written.contains(&Register::RDI) || written.contains(&Register::RSI) {
                    return Err(unknown);
                }
                match written.contains(&Register::RCX) {
                    true if is_place_on_stack(&instruction) => Walk::Placed,
                    true => Walk::Before,
                    false => walk,
                }
            }
            _ => return Err(unknown),
        };
    }
    Err(unknown)
}

/// `test eax, eax`
fn is_comparison(instruction: &iced_x86::Instruction) -> bool {
    instruction.mnemonic() == Mnemonic::Test
        && (instruction.op0_register(), instruction.op1_register())
            == (Register::EAX, Register::EAX)
}

/// `mov rcx, rsp` or `lea rcx, [rsp + ...]`
fn is_place_on_stack(instruction: &iced_x86::Instruction) -> bool {
    let from_stack = match instruction.code() {
        Code::Mov_rm64_r64 | Code::Mov_r64_rm64 => instruction.op1_register() == Register::RSP,
        Code::Lea_r64_m => {
            matches!(instruction.memory_base(), Register::RSP | Register::RBP)
                && instruction.memory_index() == Register::None
        }
        _ => false,
    };
    from_stack && instruction.op0_register() == Register::RCX
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `SSL_read` of OpenSSL 3.0 (Debian 12), up to its end without the error path.
    #[rustfmt::skip]
    const SSL_READ: &[u8] = &[
        0x48, 0x83, 0xec, 0x18, 0x64, 0x48, 0x8b, 0x04, 0x25, 0x28, 0x00, 0x00, 0x00, 0x48, 0x89, 0x44, 0x24, 0x08, 0x31, 0xc0,
        0x85, 0xd2, 0x78, 0x2f, 0x48, 0x89, 0xe1, 0x48, 0x63, 0xd2, 0xe8, 0x3d, 0xfe, 0xff, 0xff, 0x85, 0xc0, 0x7e, 0x03, 0x8b,
        0x04, 0x24, 0x48, 0x8b, 0x54, 0x24, 0x08, 0x64, 0x48, 0x2b, 0x14, 0x25, 0x28, 0x00, 0x00, 0x00, 0x75, 0x44, 0x48, 0x83,
        0xc4, 0x18, 0x31, 0xd2, 0x31, 0xc9, 0x31, 0xf6, 0x31, 0xff, 0xc3,
    ];
    /// `SSL_read_ex` of the same.
    #[rustfmt::skip]
    const SSL_READ_EX: &[u8] = &[
        0x48, 0x83, 0xec, 0x08, 0xe8, 0xc7, 0xfd, 0xff, 0xff, 0x31, 0xd2, 0x85, 0xc0, 0x0f, 0x48, 0xc2, 0x48, 0x83, 0xc4, 0x08,
        0x31, 0xd2, 0x31, 0xc9, 0x31, 0xf6, 0x31, 0xff, 0xc3,
    ];

    fn found(code: &[u8]) -> Result<Around, UnknownShape> {
        around(&Function { name: "SSL_read", address: 0x35430, file_offset: 0x35430, code })
    }

    /// With the bytes from `at` on replaced.
    fn with(at: usize, bytes: &[u8]) -> Vec<u8> {
        let mut code = SSL_READ.to_vec();
        code[at..at + bytes.len()].copy_from_slice(bytes);
        code
    }

    #[test]
    fn both_places_are_found() {
        let expected = Around { call: 30, result: 37 };
        assert_eq!(found(SSL_READ), Ok(expected));
        // Built for CET, which puts endbr64 in front.
        let cet = [&[0xf3, 0x0f, 0x1e, 0xfa], SSL_READ].concat();
        assert_eq!(found(&cet), Ok(Around { call: 34, result: 41 }));
    }

    #[test]
    fn another_shape_is_refused() {
        let unknown = Err(UnknownShape("SSL_read"));
        for (name, code) in [
            ("no jump behind the call", SSL_READ_EX.to_vec()),
            (
                "the place of the result is no fourth argument: mov rdx, rsp",
                with(24, &[0x48, 0x89, 0xe2]),
            ),
            ("the buffer is gone: xor esi, esi", with(18, &[0x31, 0xf6])),
            ("the result is not compared: mov eax, ebx", with(35, &[0x89, 0xd8])),
            ("another call comes first", with(18, &[0xe8, 0, 0, 0, 0, 0x90])),
            ("it returns before", with(18, &[0xc3, 0x90])),
            ("cut short", SSL_READ[..36].to_vec()),
            ("nothing", Vec::new()),
        ] {
            assert_eq!(found(&code), unknown, "{name}");
        }
        // A jump back to where the result is compared: it would be seen twice.
        let looped = [SSL_READ, &[0xeb, 0xda]].concat();
        assert_eq!(looped.len() as i64 - 38, 35, "the jump leads to the comparison");
        assert_eq!(found(&looped), unknown);
    }
}
