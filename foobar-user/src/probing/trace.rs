//! What a function does with the structure that its first argument points to, and with a structure that one field of it points to.
//!
//! Instructions are read one behind the other, as if no branch were ever taken. That is no proof, so whoever uses it compares what two
//! functions say.

use std::collections::{BTreeMap, BTreeSet};

use iced_x86::{
    Code, FlowControl, Instruction, InstructionInfoFactory, MemorySize, OpAccess, OpKind, Register,
};

use super::{Function, point::instructions};

/// Registers that a call may change (System V ABI for AMD64, section 3.2.1).
const CHANGED_BY_CALLS: [Register; 9] = [
    Register::RAX,
    Register::RCX,
    Register::RDX,
    Register::RSI,
    Register::RDI,
    Register::R8,
    Register::R9,
    Register::R10,
    Register::R11,
];

/// What is seen of a function.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trace {
    /// Offsets of words of 64 bits within the structure that are copied within it: from, to.
    pub copies: BTreeSet<(u32, u32)>,
    /// Offsets within the structure that are read or written.
    pub touched: BTreeSet<u32>,
    /// Offsets that are written.
    pub written: BTreeSet<u32>,
    /// Offsets that are read or written in the structure that `via` points to.
    pub touched_via: BTreeSet<u32>,
}

/// What a register holds.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Value {
    /// The first argument.
    Structure,
    /// The field at this offset.
    Field(u32),
}

impl Trace {
    /// Follows the first argument; `via` is the offset of the pointer that is followed as well.
    pub fn of(function: &Function<'_>, via: u32) -> Self {
        let mut trace = Trace::default();
        let mut registers = BTreeMap::from([(Register::RDI, Value::Structure)]);
        let mut effects = InstructionInfoFactory::new();
        for (_, instruction) in instructions(function) {
            let held = memory(&instruction)
                .and_then(|(base, offset)| Some((*registers.get(&base)?, offset)));
            if let Some((value, offset)) = held {
                trace.touch(value, offset, via, writes_memory(&mut effects, &instruction));
            }
            let moved = instruction.code();
            if moved == Code::Mov_rm64_r64
                && instruction.op0_kind() == OpKind::Memory
                && let Some((Value::Structure, to)) = held
                && let Some(Value::Field(from)) = registers.get(&instruction.op1_register())
            {
                trace.copies.insert((*from, to));
            }
            let result = match (moved, held) {
                (Code::Mov_r64_rm64, Some((Value::Structure, offset))) => {
                    Some(Value::Field(offset))
                }
                (Code::Mov_r64_rm64 | Code::Mov_rm64_r64, _)
                    if instruction.op1_kind() == OpKind::Register =>
                {
                    registers.get(&instruction.op1_register()).copied()
                }
                _ => None,
            };
            for used in effects.info(&instruction).used_registers() {
                if !matches!(used.access(), OpAccess::Read | OpAccess::CondRead) {
                    registers.remove(&used.register().full_register());
                }
            }
            if matches!(instruction.flow_control(), FlowControl::Call | FlowControl::IndirectCall) {
                registers.retain(|register, _| !CHANGED_BY_CALLS.contains(register));
            }
            if let Some(result) = result
                && instruction.op0_kind() == OpKind::Register
            {
                registers.insert(instruction.op0_register(), result);
            }
        }
        trace
    }

    fn touch(&mut self, value: Value, offset: u32, via: u32, writes: bool) {
        match value {
            Value::Structure => {
                self.touched.insert(offset);
                if writes {
                    self.written.insert(offset);
                }
            }
            Value::Field(field) if field == via => drop(self.touched_via.insert(offset)),
            Value::Field(_) => {}
        }
    }
}

/// Base register and offset of what is read or written in memory; an index would make it an array.
fn memory(instruction: &Instruction) -> Option<(Register, u32)> {
    let is_memory = (0..instruction.op_count()).any(|op| instruction.op_kind(op) == OpKind::Memory);
    let plain = is_memory
        && instruction.memory_index() == Register::None
        && instruction.memory_size() != MemorySize::Unknown;
    let offset = u32::try_from(instruction.memory_displacement64()).ok()?;
    plain.then(|| (instruction.memory_base(), offset))
}

fn writes_memory(effects: &mut InstructionInfoFactory, instruction: &Instruction) -> bool {
    let used = effects.info(instruction).used_memory();
    used.iter().any(|used| !matches!(used.access(), OpAccess::Read | OpAccess::CondRead))
}
