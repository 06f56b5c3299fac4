//! One load of the probes: verified, its maps pinned or taken from their pins, nothing attached.

use std::{
    collections::{BTreeMap, HashSet},
    error::Error,
    fs,
    os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd},
    path::Path,
};

use aya_obj::{
    btf::{Btf, BtfFeatures, BtfKind},
    generated::{BPF_ADD, BPF_ATOMIC, BPF_CALL, BPF_DW, BPF_JMP, BPF_STX},
};
use foobar_common::probes::ATOMIC_ADD;

use super::ProbeObject;
use crate::kernel::{
    error::{ErrorKind, KernelError},
    folders,
    sys::{
        self,
        map::{self, MapSpec},
        object::{self as bpf, Kind},
        program::{Attaching, Code, ProgramKind, has_probe_links, load_types},
    },
};

/// A call of a helper, and what stands instead: an atomic operation on 64 bits of memory, here `lock *(u64 *)(r1 + 0) += r2`
/// (Documentation/bpf/standardization/instruction-set.rst).
const CALL: u8 = (BPF_JMP | BPF_CALL) as u8;
const ADD: u8 = (BPF_STX | BPF_ATOMIC | BPF_DW) as u8;

/// What came of it.
pub(super) struct Loaded {
    pub maps: BTreeMap<&'static str, OwnedFd>,
    pub programs: BTreeMap<&'static str, OwnedFd>,
    /// How they are attached.
    pub attaching: Attaching,
    /// Whether the programs that were pinned have the same instructions, or none were.
    pub same_code: bool,
}

/// Whether what is pinned is what this version makes.
pub(super) fn fits(folder: &Path, object: &ProbeObject) -> bool {
    object.specs().into_iter().all(|(name, spec)| {
        match bpf::open(&folder.join("maps").join(name), Kind::Map) {
            Ok(Some(found)) => map::describe(found.as_fd()).is_ok_and(|found| found == spec),
            Ok(None) => true,
            Err(_) => false,
        }
    })
}

/// Loads an object.
pub(super) fn load(folder: &Path, from: &ProbeObject) -> Result<Loaded, KernelError> {
    sys::lift_memlock();
    let unreadable = |error: &dyn Error| broken(error.to_string());
    let mut object = aya_obj::Object::parse(from.bytes).map_err(|error| unreadable(&error))?;
    let mut maps = BTreeMap::new();
    for (name, spec) in from.specs() {
        maps.insert(name, make(&folder.join("maps").join(name), name, &spec)?);
    }
    let types = types(&mut object)?;
    let described = std::mem::take(&mut object.maps);
    let relocated =
        maps.iter().filter_map(|(name, map)| Some((*name, map.as_raw_fd(), described.get(*name)?)));
    let text: HashSet<_> = object.functions.keys().map(|(section, _)| *section).collect();
    object.relocate_maps(relocated, &text).map_err(|error| unreadable(&error))?;
    object.relocate_calls(&text).map_err(|error| unreadable(&error))?;
    with_atomics(&mut object)?;

    let verified = |attaching| {
        let verify = |name: &'static str| {
            let kind = ProgramKind::Probe(attaching);
            Ok((name, verify(&object, types.as_fd(), name, kind)?))
        };
        from.programs.iter().copied().map(verify).collect::<Result<BTreeMap<_, _>, KernelError>>()
    };
    let (mut programs, attaching) = match verified(Attaching::Link) {
        Ok(programs) if programs.values().all(|program| has_probe_links(program.as_fd())) => {
            (programs, Attaching::Link)
        }
        // A kernel before 6.6 does not know this way; what is wrong with the programs themselves it says again.
        _ => (verified(Attaching::Event)?, Attaching::Event),
    };
    if let Some((name, tracepoint)) = from.traced {
        let kind = ProgramKind::Tracepoint(tracepoint_id(tracepoint)?);
        programs.insert(name, verify(&object, types.as_fd(), name, kind)?);
    }
    let mut same_code = true;
    for (name, program) in &programs {
        same_code &= pin(&folder.join("programs").join(name), program)?;
    }
    Ok(Loaded { maps, programs, attaching, same_code })
}

/// The types of an object, by which the kernel knows what its functions take: each of those is verified once then, not at every call.
fn types(object: &mut aya_obj::Object) -> Result<OwnedFd, KernelError> {
    // What kernels from 5.16 on know. None of these programs has the one that came later.
    let known = BtfFeatures::new(true, true, true, true, true, true, true, false);
    let types = object.fixup_and_sanitize_btf(&known);
    let types = types.map_err(|error| broken(error.to_string()))?;
    let types = types.ok_or_else(|| broken("it does not describe its types".to_owned()))?;
    load_types(&types.to_bytes())
        .map_err(|error| KernelError::call("the kernel refuses the types of the probes", error))
}

/// The number by which the kernel knows the arguments of a tracepoint.
fn tracepoint_id(name: &str) -> Result<u32, KernelError> {
    let found = Btf::from_sys_fs().and_then(|kernel| {
        kernel.id_by_type_name_kind(&format!("btf_trace_{name}"), BtfKind::Typedef)
    });
    found.map_err(|error| {
        KernelError::new(
            ErrorKind::Unsupported,
            format!("the tracepoint {name} cannot be used: {error}"),
        )
    })
}

/// Opens a pinned map, or creates and pins it.
fn make(path: &Path, name: &str, spec: &MapSpec) -> Result<OwnedFd, KernelError> {
    let failed = |error| KernelError::call(format!("cannot create the map {name}"), error);
    if let Some(map) = bpf::open(path, Kind::Map).map_err(failed)? {
        return Ok(map);
    }
    let map = map::create(spec, name, None).map_err(failed)?;
    bpf::pin(map.as_fd(), path).map_err(failed)?;
    Ok(map)
}

fn verify(
    object: &aya_obj::Object,
    types: BorrowedFd<'_>,
    name: &str,
    kind: ProgramKind,
) -> Result<OwnedFd, KernelError> {
    let found = object.programs.get(name);
    let function = found.and_then(|program| object.functions.get(&program.function_key()));
    let (Some(program), Some(function)) = (found, function) else {
        return Err(broken(format!("there is no program {name}")));
    };
    let code = Code {
        name,
        license: &program.license,
        instructions: &function.instructions,
        types,
        functions: &function.func_info.func_info_bytes(),
    };
    code.load(kind)
        .map_err(|error| KernelError::call(format!("the kernel refuses the program {name}"), error))
}

/// Pins a program; what was pinned before stays if it is the same. Returns whether it was, or nothing was there.
fn pin(path: &Path, program: &OwnedFd) -> Result<bool, KernelError> {
    let failed = |error| KernelError::call(format!("cannot pin {}", path.display()), error);
    let tag = |program: &OwnedFd| bpf::program(program.as_fd()).map(|info| info.tag);
    let same = match bpf::open(path, Kind::Program).map_err(failed)? {
        Some(pinned) if tag(&pinned).map_err(failed)? == tag(program).map_err(failed)? => {
            return Ok(true);
        }
        Some(_) => {
            fs::remove_file(path).map_err(failed)?;
            false
        }
        None => true,
    };
    bpf::pin(program.as_fd(), path).map_err(failed)?;
    Ok(same)
}

/// Folders for the pins.
pub(super) fn make_folders(folder: &Path) -> Result<(), KernelError> {
    ["maps", "programs", "links"].into_iter().try_for_each(|name| folders::make(&folder.join(name)))
}

/// Puts the atomic additions in, for which the compiler of the object has no word ([`ATOMIC_ADD`]).
fn with_atomics(object: &mut aya_obj::Object) -> Result<(), KernelError> {
    let mut count = 0;
    let instructions =
        object.functions.values_mut().flat_map(|function| &mut function.instructions);
    for instruction in instructions {
        if instruction.code == CALL
            && instruction.src_reg() == 0
            && instruction.imm == ATOMIC_ADD as i32
        {
            instruction.code = ADD;
            instruction.set_dst_reg(1);
            instruction.set_src_reg(2);
            instruction.imm = BPF_ADD as i32;
            count += 1;
        }
    }
    if count == 0 { Err(broken("nothing is counted in it".to_owned())) } else { Ok(()) }
}

fn broken(why: String) -> KernelError {
    KernelError::new(ErrorKind::Kernel, format!("the object of the probes is broken: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_addition_becomes_an_instruction() {
        for object in ProbeObject::ALL {
            check(aya_obj::Object::parse(object.bytes).unwrap());
        }
    }

    fn check(mut object: aya_obj::Object) {
        let count = |object: &aya_obj::Object, code: u8, imm: i32| {
            let instructions =
                object.functions.values().flat_map(|function| &function.instructions);
            instructions.filter(|found| (found.code, found.imm) == (code, imm)).count()
        };
        let calls = count(&object, CALL, ATOMIC_ADD as i32);
        assert!(calls >= 1, "{calls}");
        assert_eq!(count(&object, ADD, BPF_ADD as i32), 0);
        with_atomics(&mut object).unwrap();
        assert_eq!(count(&object, CALL, ATOMIC_ADD as i32), 0);
        assert_eq!(count(&object, ADD, BPF_ADD as i32), calls);
        assert!(with_atomics(&mut object).is_err());
    }
}
