//! One load of the kernel programs: constants and table sizes set, everything verified, nothing attached.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    os::fd::{AsFd as _, OwnedFd},
    path::{Path, PathBuf},
};

use aya::{
    Btf, Ebpf, EbpfError, EbpfLoader,
    maps::Map,
    programs::{Program, ProgramError},
};
use aya_obj::generated::BPF_F_MMAPABLE;
use foobar_common::{
    flow::FlowTimeouts,
    observe::SockOffsets,
    tables::{Capacities, feature},
};

use super::ProgramFacts;
use crate::kernel::{
    attach::Role,
    error::{ErrorKind, KernelError},
    folders,
    messages::Messages,
    shape::TABLE_SECTION,
    sys::{
        self,
        map::{self, MapSpec},
        plain::bytes,
    },
};

/// The tracing programs and the tracepoints that they belong to.
pub(in crate::kernel) const TRACING: [(&str, &str); 4] = [
    ("sock_state", "inet_sock_set_state"),
    ("tcp_retransmit", "tcp_retransmit_skb"),
    ("tcp_receive_reset", "tcp_receive_reset"),
    ("tcp_send_reset", "tcp_send_reset"),
];

/// What is set before load.
pub(super) struct Settings<'a> {
    pub features: u32,
    pub capacities: Capacities,
    pub timeouts: FlowTimeouts,
    /// Bytes of each table: those of the policy, and [`foobar_common::tables::USED_PORTS_LEN`], which may be pinned.
    pub tables: Vec<(&'static str, usize)>,
    /// Where the tables are pinned while the programs are loaded.
    pub folder: PathBuf,
    /// Sizes of other maps by name, where they are not those of the object.
    pub sizes: Vec<(&'static str, u32)>,
    /// Maps that are taken from a pin, or pinned there when they are created.
    pub pinned: Vec<(&'static str, PathBuf)>,
    /// Whether the egress program reports what it finds (replay only).
    pub trace_egress: bool,
    /// Where the tracing programs read, or why they are left out.
    pub offsets: Result<SockOffsets, &'a str>,
    /// Number of the network namespace whose sockets are counted.
    pub net_inum: u32,
}

/// What came of it.
pub(super) struct Loaded {
    pub maps: BTreeMap<String, OwnedFd>,
    pub messages: Messages,
    pub ingress: OwnedFd,
    pub egress: OwnedFd,
    /// The program that observes what arrives at ports, if the policy has use for it, or why nothing is observed: then `egress` does not either.
    pub observer: Option<Result<OwnedFd, String>>,
    /// The tracing programs, or why one could not be loaded.
    pub tracing: Vec<(&'static str, Result<OwnedFd, String>)>,
    pub facts: Vec<ProgramFacts>,
}

/// Loads the kernel programs. What the kernel refuses comes with the end of the verifier's log.
pub(super) fn load(settings: &Settings<'_>) -> Result<Loaded, KernelError> {
    sys::lift_memlock();
    let offsets = settings.offsets.unwrap_or_default();
    let trace_egress = u32::from(settings.trace_egress);
    let mut loader = EbpfLoader::new();
    loader
        // The programs have no CO-RE relocations.
        .btf(None)
        .override_global("FEATURES", &settings.features, true)
        .override_global("CAPACITIES", bytes(&settings.capacities), true)
        .override_global("FLOW_TIMEOUTS", bytes(&settings.timeouts), true)
        .override_global("SOCK_OFFSETS", bytes(&offsets), true)
        .override_global("NET_INUM", &settings.net_inum, true)
        .override_global("TRACE_EGRESS", &trace_egress, true);
    for &(name, size) in &settings.sizes {
        loader.map_max_entries(name, size);
    }
    let tables = Tables::create(&settings.tables, &settings.pinned, &settings.folder)?;
    for (name, path) in &settings.pinned {
        loader.map_pin_path(name, path.as_path());
    }
    for (section, path) in &tables.pins {
        loader.map_pin_path(section, path.as_path());
    }
    let mut ebpf = loader.load(crate::KERNEL_OBJECT).map_err(refused)?;
    drop(tables);

    let messages = Messages::of(&mut ebpf);
    let mut facts = Vec::new();
    let ingress = program(&mut ebpf, "ingress", None, &mut facts)?;
    let observes = settings.features & feature::OBSERVED != 0 && !settings.trace_egress;
    let observing = observes.then(|| observing(&mut ebpf, &mut facts));
    let (egress, observer) = match observing {
        Some(Ok([leaving, arriving])) => (leaving, Some(Ok(arriving))),
        refused => (
            program(&mut ebpf, "egress", None, &mut facts)?,
            refused.and_then(Result::err).map(Err),
        ),
    };
    let kernel = settings.offsets.map_err(str::to_owned).and_then(|_| {
        Btf::from_sys_fs().map_err(|error| format!("the kernel's BTF cannot be read: {error}"))
    });
    let tracing = TRACING
        .iter()
        .map(|&(name, tracepoint)| {
            let loaded = kernel.as_ref().map_err(Clone::clone).and_then(|kernel| {
                program(&mut ebpf, name, Some((tracepoint, kernel)), &mut facts)
                    .map_err(|error| chain(&error))
            });
            (name, loaded)
        })
        .collect();
    // One after the other changes hands, so that no more descriptors are needed than there are maps.
    let names: Vec<_> = ebpf.maps().map(|(name, _)| name.to_owned()).collect();
    let taken = names.into_iter().filter_map(|name| Some((ebpf.take_map(&name)?, name)));
    let maps = taken
        .map(|(map, name)| Ok((map_name(&name).to_owned(), descriptor(&name, &map)?)))
        .collect::<Result<_, _>>()?;
    Ok(Loaded { maps, messages, ingress, egress, observer, tracing, facts })
}

/// The programs for what leaves and what arrives where something is observed. The filter does not depend on them: if one is refused, it does
/// without both.
fn observing(ebpf: &mut Ebpf, facts: &mut Vec<ProgramFacts>) -> Result<[OwnedFd; 2], String> {
    let loaded = facts.len();
    let mut observing = |name: &str| program(ebpf, name, None, facts);
    let both = observing("egress_observing")
        .and_then(|leaving| Ok([leaving, observing(Role::ObserveIngress.name())?]));
    both.map_err(|error| {
        facts.truncate(loaded);
        // With all that there is to mend it, which is too long for a reason.
        tracing::warn!("the filter works, but HTTP and TLS are not observed: {error:#}");
        chain(&error)
    })
}

/// The tables, made by us so that they can be mapped into this process, and pinned for as long as this value lives, unless they are to last: aya
/// takes a map that it did not make from a pin.
struct Tables {
    /// By the names that the object has for them.
    pins: Vec<(String, PathBuf)>,
    folder: PathBuf,
}

impl Tables {
    fn create(
        tables: &[(&'static str, usize)],
        lasting: &[(&'static str, PathBuf)],
        folder: &Path,
    ) -> Result<Self, KernelError> {
        let mut made = Tables { pins: Vec::new(), folder: folder.to_owned() };
        // A process that was killed meanwhile may have left some.
        let _ = folders::remove(folder);
        folders::make(folder)?;
        for &(name, bytes) in tables {
            let lasting = lasting.iter().find(|(other, _)| *other == name);
            let path = lasting.map_or_else(|| folder.join(name), |(_, path)| path.clone());
            create_pinned(name, bytes, &path)?;
            made.pins.push((format!("{TABLE_SECTION}{name}"), path));
        }
        Ok(made)
    }
}

/// Makes a table and pins it, unless there is one.
fn create_pinned(name: &str, bytes: usize, path: &Path) -> Result<(), KernelError> {
    if path.exists() {
        return Ok(());
    }
    map::create(&MapSpec::array(bytes, 1, BPF_F_MMAPABLE), name, None)
        .and_then(|table| sys::object::pin(table.as_fd(), path))
        .map_err(|error| KernelError::call(format!("cannot create the table {name}"), error))
}

/// The name of a map: that of a table is its section's.
fn map_name(name: &str) -> &str {
    name.strip_prefix(TABLE_SECTION).unwrap_or(name)
}

impl Drop for Tables {
    fn drop(&mut self) {
        // What cannot be removed now is removed the next time.
        let _ = folders::remove(&self.folder);
    }
}

/// Verifies one program and takes its descriptor.
fn program(
    ebpf: &mut Ebpf,
    name: &str,
    tracepoint: Option<(&str, &Btf)>,
    facts: &mut Vec<ProgramFacts>,
) -> Result<OwnedFd, KernelError> {
    let failed = |error: ProgramError| unverified(name, error);
    let missing =
        || KernelError::new(ErrorKind::Kernel, format!("the kernel object has no program {name}"));
    let program = ebpf.program_mut(name).ok_or_else(missing)?;
    match (&mut *program, tracepoint) {
        (Program::Xdp(program), None) => program.load(),
        (Program::SchedClassifier(program), None) => program.load(),
        (Program::BtfTracePoint(program), Some((tracepoint, kernel))) => {
            program.load(tracepoint, kernel)
        }
        _ => return Err(missing()),
    }
    .map_err(failed)?;
    let fd = program.fd().map_err(failed)?.as_fd().try_clone_to_owned();
    let fd =
        fd.map_err(|error| KernelError::call(format!("cannot keep the program {name}"), error))?;
    let info = sys::object::program(fd.as_fd()).map_err(|error| {
        KernelError::call(format!("cannot ask about the program {name}"), error)
    })?;
    facts.push(ProgramFacts {
        name: name.to_owned(),
        id: info.id,
        verified_instructions: info.verified_instructions,
        translated_bytes: info.translated_bytes,
    });
    Ok(fd)
}

fn descriptor(name: &str, map: &Map) -> Result<OwnedFd, KernelError> {
    let data = match map {
        Map::Array(data)
        | Map::PerCpuArray(data)
        | Map::LruHashMap(data)
        | Map::RingBuf(data)
        | Map::SkStorage(data) => data,
        _ => {
            return Err(KernelError::new(
                ErrorKind::Kernel,
                format!("the map {name} has a type that is not expected"),
            ));
        }
    };
    data.fd()
        .as_fd()
        .try_clone_to_owned()
        .map_err(|error| KernelError::call(format!("cannot keep the map {name}"), error))
}

fn refused(error: EbpfError) -> KernelError {
    let text = chain(&error);
    let what = "cannot create the maps of the kernel programs";
    let error = KernelError::new(ErrorKind::Kernel, what).because(error);
    if text.contains("EPERM") || text.contains("os error 1)") || text.contains("not permitted") {
        KernelError::call(what, std::io::Error::from_raw_os_error(libc::EPERM))
    } else {
        error
    }
}

/// The verifier's log can be a megabyte; what matters stands at its end.
fn unverified(name: &str, error: ProgramError) -> KernelError {
    const LINES: usize = 24;
    let what = format!("the kernel refuses the program {name}");
    match error {
        ProgramError::LoadError { io_error, verifier_log } => {
            let log = verifier_log.to_string();
            let lines: Vec<_> = log.lines().filter(|line| !line.trim().is_empty()).collect();
            let mut end = lines[lines.len().saturating_sub(LINES)..].join("\n");
            if !end.is_empty() {
                end.insert_str(0, "the verifier says:\n");
            }
            let error = KernelError::call(what, io_error);
            if end.is_empty() || error.kind() == ErrorKind::NotRoot {
                error
            } else {
                error.advise(end)
            }
        }
        error => KernelError::new(ErrorKind::Kernel, what).because(error),
    }
}

/// An error and all its causes in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let _ = write!(text, ": {error}");
        cause = error.source();
    }
    text
}
