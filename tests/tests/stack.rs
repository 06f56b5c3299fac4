//! The stack that chains of calls take. Kernels before 6.13 or so add up the whole chain, rounded up function by function, and refuse what is
//! above 512 bytes (check_max_stack_depth of kernel/bpf/verifier.c); newer ones give some programs a stack for each function and
//! would not say. So it is added up here, from the instructions.

use std::collections::HashMap;

use foobar_user::{KERNEL_OBJECT, LIBSSL_OBJECT, PROBES_OBJECT};
use object::{
    Object as _, ObjectSection as _, ObjectSymbol as _, RelocationTarget, SectionIndex,
    SectionKind, SymbolKind,
};

/// Bytes that a chain of calls may take (`MAX_BPF_STACK`), and to which each function's are rounded up.
const MOST: u32 = 512;
const STEP: u32 = 32;
/// Functions that may call each other (`MAX_CALL_FRAMES`).
const FRAMES: usize = 8;

/// Codes of instructions (Documentation/bpf/standardization/instruction-set.rst).
const CALL: u8 = 0x85;
const MOVE: u8 = 0xbf;
const ADD: u8 = 0x07;
/// `src_reg` of a call of another function of the program, and the register of the stack.
const FUNCTION: u8 = 1;
const FRAME: u8 = 10;

/// Where a function stands.
type Place = (SectionIndex, u64);

#[derive(Debug)]
struct Function {
    name: String,
    /// Bytes of its stack.
    depth: u32,
    calls: Vec<Place>,
}

/// All functions of an object.
fn functions(bytes: &[u8]) -> HashMap<Place, Function> {
    let file = object::File::parse(bytes).expect("an ELF file");
    let mut functions = HashMap::new();
    for section in file.sections().filter(|section| section.kind() == SectionKind::Text) {
        let code = section.data().expect("instructions");
        let relocated: HashMap<u64, _> = section.relocations().collect();
        let symbols = file.symbols().filter(|symbol| {
            symbol.kind() == SymbolKind::Text && symbol.section_index() == Some(section.index())
        });
        for symbol in symbols.filter(|symbol| symbol.size() > 0) {
            let (start, size) = (symbol.address(), symbol.size());
            let (mut depth, mut calls) = (0, Vec::new());
            let mut copies = [false; 16];
            for at in (start..start + size).step_by(8) {
                let word: [u8; 8] = code[at as usize..][..8].try_into().expect("eight bytes");
                let (op, to, from) = (word[0], word[1] & 15, word[1] >> 4);
                let offset = i16::from_le_bytes([word[2], word[3]]);
                let immediate = i32::from_le_bytes([word[4], word[5], word[6], word[7]]);
                let memory = match op & 7 {
                    // Loads are by the source, stores by the destination.
                    1 => Some(from),
                    2 | 3 => Some(to),
                    _ => None,
                };
                if memory == Some(FRAME) {
                    depth = depth.max(-i32::from(offset));
                }
                match op {
                    MOVE => copies[usize::from(to)] = from == FRAME,
                    ADD if copies[usize::from(to)] => {
                        depth = depth.max(-immediate);
                        copies[usize::from(to)] = false;
                    }
                    CALL if from == FUNCTION => {
                        calls.push(target(
                            &file,
                            section.index(),
                            at,
                            immediate,
                            relocated.get(&at),
                        ));
                    }
                    _ => {}
                }
            }
            let name = symbol.name().expect("a name").to_owned();
            let depth = depth.try_into().expect("below the frame");
            functions.insert((section.index(), start), Function { name, depth, calls });
        }
    }
    functions
}

/// Which function an instruction calls.
fn target(
    file: &object::File<'_>,
    section: SectionIndex,
    at: u64,
    immediate: i32,
    relocation: Option<&object::Relocation>,
) -> Place {
    let Some(relocation) = relocation else {
        return (section, at.wrapping_add_signed(8 * (i64::from(immediate) + 1)));
    };
    let RelocationTarget::Symbol(symbol) = relocation.target() else {
        panic!("a call of {:?}", relocation.target());
    };
    let symbol = file.symbol_by_index(symbol).expect("a symbol");
    let section = symbol.section_index().expect("a function of this object");
    match symbol.kind() {
        // The place within the section is in the instruction.
        SymbolKind::Section => (section, (8 * (i64::from(immediate) + 1)) as u64),
        _ => (section, symbol.address()),
    }
}

/// The chain of calls from a function on that takes most.
fn deepest(functions: &HashMap<Place, Function>, place: Place) -> (u32, Vec<&str>) {
    let function = functions.get(&place).unwrap_or_else(|| panic!("no function at {place:?}"));
    let below = function.calls.iter().map(|call| deepest(functions, *call));
    let (bytes, mut names) = below.max_by_key(|(bytes, _)| *bytes).unwrap_or_default();
    names.insert(0, &function.name);
    (bytes + function.depth.max(1).next_multiple_of(STEP), names)
}

#[test]
fn no_chain_of_calls_takes_more_stack_than_older_kernels_allow() {
    let (programs, calls) = check(KERNEL_OBJECT, "egress");
    assert_eq!(programs, 2, "the programs are found: with observers and without");
    assert!(calls > 10, "calls are found: {calls}");
    assert_ne!(check(PROBES_OBJECT, "nginx_").0, 0);
    assert_ne!(check(LIBSSL_OBJECT, "libssl_").0, 0);
}

/// Checks every chain of an object. Returns how many of its functions have names that begin so, and how many calls there are.
fn check(bytes: &[u8], prefix: &str) -> (usize, usize) {
    let functions = functions(bytes);
    for place in functions.keys() {
        let (bytes, chain) = deepest(&functions, *place);
        let chain_text = chain.join(" > ");
        println!("{bytes} bytes: {chain_text}");
        assert!(bytes <= MOST, "{bytes} bytes of stack: {chain_text}");
        assert!(chain.len() <= FRAMES, "{} functions deep: {chain_text}", chain.len());
    }
    let named = functions.values().filter(|function| function.name.starts_with(prefix)).count();
    (named, functions.values().map(|function| function.calls.len()).sum())
}
