//! One load of the probes: verified, its maps pinned or taken from their pins, nothing attached.

use std::{
    collections::{BTreeMap, HashSet},
    fs,
    os::fd::{AsFd as _, AsRawFd as _, OwnedFd},
    path::Path,
};

use aya_obj::generated::{
    BPF_ADD, BPF_ATOMIC, BPF_CALL, BPF_DW, BPF_F_MMAPABLE, BPF_JMP, BPF_STX, bpf_map_type,
};
use foobar_common::{
    http::stats::CLASSES,
    probes::{
        ATOMIC_ADD, PORTS, PORTS_ROW, ProbeSettings, ProbeStats, RequestKey, SLOTS, TARGETS, Target,
    },
};

use crate::kernel::{
    error::{ErrorKind, KernelError},
    folders,
    sys::{
        self,
        map::{self, MapSpec},
        object::{self as bpf, Kind},
        program::{Attaching, has_probe_links, load_probe},
    },
};

const _: () = assert!(CLASSES.len() == 6, "the classes of status are part of the layout");

/// A call of a helper, and what stands instead: an atomic operation on 64 bits of memory, here `lock *(u64 *)(r1 + 0) += r2`
/// (Documentation/bpf/standardization/instruction-set.rst).
const CALL: u8 = (BPF_JMP | BPF_CALL) as u8;
const ADD: u8 = (BPF_STX | BPF_ATOMIC | BPF_DW) as u8;

/// All programs.
const PROGRAMS: [&str; 3] = ["nginx_begin", "nginx_end", "apache_end"];

/// What came of it.
pub(super) struct Loaded {
    pub maps: BTreeMap<&'static str, OwnedFd>,
    pub programs: BTreeMap<&'static str, OwnedFd>,
    /// How they are attached.
    pub attaching: Attaching,
    /// Whether the programs that were pinned have the same instructions, or none were.
    pub same_code: bool,
}

/// What each map ought to be.
fn specs() -> [(&'static str, MapSpec); 5] {
    let request = MapSpec {
        kind: bpf_map_type::BPF_MAP_TYPE_LRU_HASH as u32,
        key: size_of::<RequestKey>() as u32,
        value: 8,
        entries: 16384,
        flags: 0,
    };
    let stats = MapSpec {
        kind: bpf_map_type::BPF_MAP_TYPE_PERCPU_ARRAY as u32,
        ..MapSpec::array(size_of::<ProbeStats>(), SLOTS, 0)
    };
    [
        ("PROBED_PORTS", MapSpec::array(PORTS_ROW, (PORTS / PORTS_ROW) as u32, BPF_F_MMAPABLE)),
        ("PROBE_STATS", stats),
        ("PROBE_SETTINGS", MapSpec::array(size_of::<ProbeSettings>(), 1, BPF_F_MMAPABLE)),
        ("PROBE_TARGETS", MapSpec::array(size_of::<Target>(), TARGETS, BPF_F_MMAPABLE)),
        ("REQUESTS", request),
    ]
}

/// Whether what is pinned is what this version makes.
pub(super) fn fits(folder: &Path) -> bool {
    specs().into_iter().all(|(name, spec)| {
        match bpf::open(&folder.join("maps").join(name), Kind::Map) {
            Ok(Some(found)) => map::describe(found.as_fd()).is_ok_and(|found| found == spec),
            Ok(None) => true,
            Err(_) => false,
        }
    })
}

/// Loads the probes.
pub(super) fn load(folder: &Path) -> Result<Loaded, KernelError> {
    sys::lift_memlock();
    let mut object =
        aya_obj::Object::parse(crate::PROBES_OBJECT).map_err(|error| broken(error.to_string()))?;
    let mut maps = BTreeMap::new();
    for (name, spec) in specs() {
        maps.insert(name, make(&folder.join("maps").join(name), name, &spec)?);
    }
    let described = std::mem::take(&mut object.maps);
    let relocated =
        maps.iter().filter_map(|(name, map)| Some((*name, map.as_raw_fd(), described.get(*name)?)));
    let text: HashSet<_> = object.functions.keys().map(|(section, _)| *section).collect();
    object.relocate_maps(relocated, &text).map_err(|error| broken(error.to_string()))?;
    object.relocate_calls(&text).map_err(|error| broken(error.to_string()))?;
    with_atomics(&mut object)?;

    let (programs, attaching) = match verified(&object, Attaching::Link) {
        Ok(programs) if programs.values().all(|program| has_probe_links(program.as_fd())) => {
            (programs, Attaching::Link)
        }
        // A kernel before 6.6 does not know this way; what is wrong with the programs themselves it says again.
        _ => (verified(&object, Attaching::Event)?, Attaching::Event),
    };
    let mut same_code = true;
    for (name, program) in &programs {
        same_code &= pin(&folder.join("programs").join(name), program)?;
    }
    Ok(Loaded { maps, programs, attaching, same_code })
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

fn verified(
    object: &aya_obj::Object,
    attaching: Attaching,
) -> Result<BTreeMap<&'static str, OwnedFd>, KernelError> {
    let mut programs = BTreeMap::new();
    for name in PROGRAMS {
        let found = object.programs.get(name);
        let function = found.and_then(|program| object.functions.get(&program.function_key()));
        let (Some(program), Some(function)) = (found, function) else {
            return Err(broken(format!("there is no program {name}")));
        };
        let loaded = load_probe(name, &function.instructions, &program.license, attaching);
        let loaded = loaded.map_err(|error| {
            KernelError::call(format!("the kernel refuses the program {name}"), error)
        })?;
        programs.insert(name, loaded);
    }
    Ok(programs)
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
        let mut object = aya_obj::Object::parse(crate::PROBES_OBJECT).unwrap();
        let count = |object: &aya_obj::Object, code: u8, imm: i32| {
            let instructions =
                object.functions.values().flat_map(|function| &function.instructions);
            instructions.filter(|found| (found.code, found.imm) == (code, imm)).count()
        };
        let calls = count(&object, CALL, ATOMIC_ADD as i32);
        // A class or aborted, a sum, a bucket, for each of two servers.
        assert!(calls >= 6, "{calls}");
        assert_eq!(count(&object, ADD, BPF_ADD as i32), 0);
        with_atomics(&mut object).unwrap();
        assert_eq!(count(&object, CALL, ATOMIC_ADD as i32), 0);
        assert_eq!(count(&object, ADD, BPF_ADD as i32), calls);
        assert!(with_atomics(&mut object).is_err());
    }
}
