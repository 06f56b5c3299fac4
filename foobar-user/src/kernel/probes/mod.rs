//! Probes on functions of web servers: which files have them, which ports count, what was counted.
//!
//! Everything is pinned beside the filter and outlives the daemon: while none runs, counting goes on; the next one takes over
//! links and counts as they are. A version with other programs attaches its own and lets the earlier ones go; one word in each target
//! says which of both counts.

mod load;
mod objects;

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io,
    mem::offset_of,
    os::{
        fd::{AsFd as _, OwnedFd},
        unix::fs::MetadataExt as _,
    },
    path::{Path, PathBuf},
    sync::{Arc, atomic::Ordering},
};

use foobar_common::probes::{
    FileIdentity, PORT_APACHE, PORTS, ProbeSettings, ProbeStats, SLOTS, TARGETS, Target,
};
use sha2::{Digest as _, Sha256};

use self::load::Loaded;
pub use self::objects::ProbeObject;
use super::{
    btf, clock,
    error::{ErrorKind, KernelError},
    folders,
    instance::{ProgramFacts, network_namespace},
    percpu,
    sys::{
        link,
        memory::Region,
        object::{self, Kind},
        perf,
        program::{self, Attaching},
    },
};
use crate::probing::{Plan, Server};

/// A file as it is now, and for what it is probed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileVersion(FileIdentity);

impl FileVersion {
    /// Of an open file, that is probed as this server's program under this path.
    ///
    /// # Errors
    /// Those of fstat(2).
    pub fn of(server: Server, path: &Path, file: &File) -> io::Result<Self> {
        let found = file.metadata()?;
        Ok(FileVersion(FileIdentity {
            program: Self::program(server, path),
            device: found.dev(),
            inode: found.ino(),
            size: found.size(),
            modified: [found.mtime() as u64, found.mtime_nsec() as u64],
        }))
    }

    /// The same number for the same server and path, whatever file is there.
    pub fn program(server: Server, path: &Path) -> u64 {
        let hash = Sha256::digest(format!("{server} {}", path.display()));
        u64::from_le_bytes(hash[..8].try_into().unwrap_or_default())
    }

    /// Whether the other one is the same file, but with another content.
    pub fn is_overwritten_by(&self, other: &FileVersion) -> bool {
        let place = |version: &FileVersion| (version.0.device, version.0.inode);
        place(self) == place(other) && self.0 != other.0
    }
}

/// A file that has probes.
#[derive(Clone, Copy, Debug)]
pub struct PlacedProbe {
    /// Its number, the cookie of its links.
    pub number: u32,
    /// Which file it is.
    pub version: FileVersion,
    /// [`FileVersion::program`].
    pub program: u64,
    /// Whether its probes are those of another version of foobar.
    pub stale: bool,
    /// Whether classes of status are told apart.
    pub tells_classes: bool,
}

/// Reads what was counted, also while probes are placed.
#[derive(Debug)]
pub struct ProbeReader(OwnedFd);

impl ProbeReader {
    /// What was counted, by slot.
    ///
    /// # Errors
    /// If the kernel does not answer.
    pub fn read(&self) -> Result<Vec<ProbeStats>, KernelError> {
        percpu::sum(self.0.as_fd(), 0, SLOTS, ProbeStats::add)
            .map_err(|error| KernelError::call("cannot read what the probes counted", error))
    }
}

/// The probes. Dropping it leaves them where they are.
pub struct Probes {
    folder: PathBuf,
    programs: BTreeMap<&'static str, OwnedFd>,
    attaching: Attaching,
    reader: Arc<ProbeReader>,
    stats: OwnedFd,
    ports: Region,
    targets: Region,
    settings: Region,
    placed: Vec<PlacedProbe>,
    /// The number that was given last. None is given again soon: what was taken off may run for a moment more.
    last: u32,
}

impl Probes {
    /// Loads the probes, and takes over what is pinned below `bpf_dir`.
    ///
    /// # Errors
    /// The kernel refuses: no uprobes, no types of its own, no rights.
    pub fn open(bpf_dir: &Path, object: &'static ProbeObject) -> Result<Self, KernelError> {
        let offsets = btf::namespace_offsets().map_err(|why| {
            KernelError::new(
                ErrorKind::Unsupported,
                format!("processes cannot be told apart: {why}"),
            )
            .advise("let another source count: `requests` of [[observe]]")
        })?;
        let folder = folders::of_probes(bpf_dir, object.folder);
        if !load::fits(&folder, object) {
            remove(&folder)?;
        }
        load::make_folders(&folder)?;
        let Loaded { mut maps, programs, attaching, same_code } = load::load(&folder, object)?;
        let region = |name: &str, bytes: usize| {
            let mapped = maps.get(name).map(|map| Region::map(map.as_fd(), 0, bytes));
            mapped
                .unwrap_or_else(|| Err(io::Error::other("it is not there")))
                .map_err(|error| KernelError::call(format!("cannot map {name}"), error))
        };
        let (ports, targets, mut settings) = (
            region("PROBED_PORTS", PORTS)?,
            region("PROBE_TARGETS", TARGETS as usize * size_of::<Target>())?,
            region("PROBE_SETTINGS", size_of::<ProbeSettings>())?,
        );
        settings.write(
            0,
            &[ProbeSettings {
                namespace: network_namespace(),
                tai_ahead: clock::tai_ahead(),
                ..offsets
            }],
        );
        let stats = maps
            .remove("PROBE_STATS")
            .ok_or_else(|| KernelError::new(ErrorKind::Kernel, "there is no map PROBE_STATS"))?;
        let reader =
            stats.try_clone().map_err(|error| KernelError::call("cannot keep a map", error))?;
        let mut probes = Probes {
            folder,
            programs,
            attaching,
            reader: Arc::new(ProbeReader(reader)),
            stats,
            ports,
            targets,
            settings,
            placed: Vec::new(),
            last: 0,
        };
        probes.take_over(!same_code)?;
        if let Some((name, _)) = object.traced {
            probes.trace(name, same_code)?;
        }
        Ok(probes)
    }

    /// Attaches the program that belongs to a tracepoint, in place of that of an earlier version.
    fn trace(&self, name: &'static str, same_code: bool) -> Result<(), KernelError> {
        let pin = self.folder.join("traced");
        let failed = |error| KernelError::call(format!("cannot attach {name}"), error);
        if same_code && matches!(object::open(&pin, Kind::Link), Ok(Some(_))) {
            return Ok(());
        }
        let program =
            self.programs.get(name).ok_or_else(|| failed(io::Error::other("no such program")))?;
        let link = link::attach_tracing(program.as_fd()).map_err(failed)?;
        // Both may run for a moment: they write the same.
        if pin.exists() {
            fs::remove_file(&pin).map_err(failed)?;
        }
        object::pin(link.as_fd(), &pin).map_err(failed)
    }

    /// Takes all probes of an object off and forgets what was counted.
    ///
    /// # Errors
    /// If a pin cannot be removed.
    pub fn remove(bpf_dir: &Path, object: &ProbeObject) -> Result<(), KernelError> {
        remove(&folders::of_probes(bpf_dir, object.folder))
    }

    /// What the verifier had to do.
    ///
    /// # Errors
    /// If the kernel does not answer.
    pub fn programs(&self) -> Result<Vec<ProgramFacts>, KernelError> {
        let facts = self.programs.iter().map(|(name, program)| {
            let info = object::program(program.as_fd()).map_err(|error| {
                KernelError::call(format!("cannot ask about the program {name}"), error)
            })?;
            Ok(ProgramFacts {
                name: (*name).to_owned(),
                id: info.id,
                verified_instructions: info.verified_instructions,
                translated_bytes: info.translated_bytes,
            })
        });
        facts.collect()
    }

    /// Reads what is counted.
    pub fn reader(&self) -> Arc<ProbeReader> {
        Arc::clone(&self.reader)
    }

    /// The files that have probes.
    pub fn placed(&self) -> &[PlacedProbe] {
        &self.placed
    }

    /// When a probe last saw a request of an observed port, to a second: nanoseconds of `CLOCK_MONOTONIC`.
    pub fn last_seen(&self, number: u32) -> u64 {
        self.targets.read::<Target>(place(number)).last_seen_ns
    }

    /// To be called about once a second: the distance between the kernel's clocks may change.
    pub fn tend(&self) {
        let word = self.settings.word(offset_of!(ProbeSettings, tai_ahead));
        word.store(clock::tai_ahead() as u32, Ordering::Relaxed);
    }

    /// Which ports count, and whose they are. Returns their slots. One that is new, or served by another kind, begins at 0.
    ///
    /// # Errors
    /// If a slot cannot be cleared; more ports than slots.
    pub fn set_ports(
        &self,
        wanted: &BTreeMap<u16, Server>,
    ) -> Result<BTreeMap<u16, usize>, KernelError> {
        let found = (0..=u16::MAX).filter_map(|port| Some((port, self.port(port)?)));
        let mut slots = BTreeMap::new();
        for (port, (kind, slot)) in found {
            if wanted.get(&port).map(|server| kind_of(*server)) == Some(kind) {
                slots.insert(port, slot);
            } else {
                self.write_port(port, 0);
            }
        }
        for (&port, &server) in wanted {
            if slots.contains_key(&port) {
                continue;
            }
            let free = (0..SLOTS as usize).find(|slot| !slots.values().any(|taken| taken == slot));
            let slot = free.ok_or_else(|| {
                KernelError::new(
                    ErrorKind::Unsupported,
                    format!("more than {SLOTS} ports have probes"),
                )
                .advise("let another source count some of them: `requests` of [[observe]]")
            })?;
            super::counters::clear::<ProbeStats>(self.stats.as_fd(), &[slot as u8])?;
            self.write_port(port, kind_of(server) | (slot as u8 + 1));
            slots.insert(port, slot);
        }
        Ok(slots)
    }

    fn port(&self, port: u16) -> Option<(u8, usize)> {
        let (at, shift) = word_of(port);
        let entry = (self.ports.word(at).load(Ordering::Relaxed) >> shift) as u8;
        let slot = usize::from(entry & !PORT_APACHE).checked_sub(1)?;
        Some((entry & PORT_APACHE, slot))
    }

    /// Nobody else writes, so that the other ports of the word stay as they are.
    fn write_port(&self, port: u16, entry: u8) {
        let (at, shift) = word_of(port);
        let word = self.ports.word(at);
        let others = word.load(Ordering::Relaxed) & !(0xff << shift);
        word.store(others | u32::from(entry) << shift, Ordering::Relaxed);
    }

    /// Places the probes of a plan in a file. They take the place of those that the same file has.
    ///
    /// # Errors
    /// The kernel refuses; then the file has the probes that it had.
    pub fn place(
        &mut self,
        version: FileVersion,
        file: &File,
        plan: &Plan,
    ) -> Result<(), KernelError> {
        let number = self.free_number()?;
        let status = plan.status.map_or((0, 0), |status| (status.status, status.err_status));
        let target =
            Target { status: status.0, err_status: status.1, file: version.0, ..Target::default() };
        self.targets.write(place(number), &[target]);
        if let Err(error) = self.attach(number, file, plan) {
            self.take_off(number)?;
            return Err(error);
        }
        let earlier: Vec<_> = (self.placed.iter())
            .filter(|placed| placed.version == version)
            .map(|placed| placed.number)
            .collect();
        earlier.iter().for_each(|&earlier| self.counts(earlier, false));
        self.counts(number, true);
        for earlier in earlier {
            self.release(earlier)?;
        }
        self.placed.push(PlacedProbe {
            number,
            version,
            program: version.0.program,
            stale: false,
            tells_classes: plan.tells_classes(),
        });
        Ok(())
    }

    /// Takes the probes off a file.
    ///
    /// # Errors
    /// If a pin cannot be removed.
    pub fn release(&mut self, number: u32) -> Result<(), KernelError> {
        self.counts(number, false);
        self.placed.retain(|placed| placed.number != number);
        self.take_off(number)
    }

    fn attach(&self, number: u32, file: &File, plan: &Plan) -> Result<(), KernelError> {
        for point in &plan.points {
            let name = point.program;
            let failed = |error: io::Error| {
                let what = format!("cannot place the probe {name}");
                match error.raw_os_error() {
                    // Of perf_event_open(2).
                    Some(libc::EACCES) if self.attaching == Attaching::Event => {
                        KernelError::new(ErrorKind::NotRoot, what).because(error).advise(
                            "before Linux 6.6, kernels with this fix let CAP_SYS_ADMIN alone place probes, which the daemon has \
                             only during its start, and only if its service gives it that: start it anew, or use another source",
                        )
                    }
                    _ => KernelError::call(what, error),
                }
            };
            let program = self
                .programs
                .get(name)
                .ok_or_else(|| failed(io::Error::other("no such program")))?;
            let (program, file, cookie) = (program.as_fd(), file.as_fd(), u64::from(number));
            let link = match self.attaching {
                Attaching::Link => program::attach_probe(program, file, point.file_offset, cookie),
                Attaching::Event => perf::probe(file, point.file_offset)
                    .and_then(|event| link::attach_perf(program, event.as_fd(), cookie)),
            };
            let link = link.map_err(failed)?;
            object::pin(
                link.as_fd(),
                &self.links().join(format!("{number}-{name}-{:x}", point.file_offset)),
            )
            .map_err(failed)?;
        }
        Ok(())
    }

    /// What an earlier process placed. What it left unfinished is taken off.
    fn take_over(&mut self, stale: bool) -> Result<(), KernelError> {
        let mut links: BTreeMap<u32, usize> = BTreeMap::new();
        for path in folders::entries(&self.links()) {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            match name.split_once('-').and_then(|(number, _)| number.parse().ok()) {
                Some(number)
                    if number < TARGETS
                        && matches!(object::open(&path, Kind::Link), Ok(Some(_))) =>
                {
                    *links.entry(number).or_default() += 1;
                }
                _ => fs::remove_file(&path).map_err(|error| {
                    KernelError::call(format!("cannot remove {}", path.display()), error)
                })?,
            }
        }
        for number in 0..TARGETS {
            let target: Target = self.targets.read(place(number));
            let is_whole = target.counts == 1 && links.contains_key(&number);
            if is_whole {
                self.placed.push(PlacedProbe {
                    number,
                    version: FileVersion(target.file),
                    program: target.file.program,
                    stale,
                    // nginx alone has offsets, and two probes.
                    tells_classes: target.status != 0 || links.get(&number) != Some(&2),
                });
                self.last = number;
            } else if target != Target::default() || links.contains_key(&number) {
                self.take_off(number)?;
            }
        }
        Ok(())
    }

    fn take_off(&mut self, number: u32) -> Result<(), KernelError> {
        let prefix = format!("{number}-");
        for path in folders::entries(&self.links()) {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if name.starts_with(&prefix) {
                fs::remove_file(&path).map_err(|error| {
                    KernelError::call(format!("cannot remove {}", path.display()), error)
                })?;
            }
        }
        self.targets.write(place(number), &[Target::default()]);
        Ok(())
    }

    fn counts(&self, number: u32, counts: bool) {
        let word = self.targets.word(place(number) + offset_of!(Target, counts));
        word.store(u32::from(counts), Ordering::Release);
    }

    fn free_number(&mut self) -> Result<u32, KernelError> {
        let is_free = |number: &u32| !self.placed.iter().any(|placed| placed.number == *number);
        let free = (1..=TARGETS).map(|step| (self.last + step) % TARGETS).find(is_free);
        let free = free.ok_or_else(|| {
            KernelError::new(
                ErrorKind::Unsupported,
                format!("more than {TARGETS} executables have probes"),
            )
            .advise("name fewer of them with `program` of [[observe]]")
        })?;
        self.last = free;
        Ok(free)
    }

    fn links(&self) -> PathBuf {
        self.folder.join("links")
    }
}

/// Whose ports are told apart within an object.
fn kind_of(server: Server) -> u8 {
    if server == Server::Apache { PORT_APACHE } else { 0 }
}

/// Where a target stands in its map.
fn place(number: u32) -> usize {
    number as usize * size_of::<Target>()
}

/// The word of a port's entry, and how far up in it.
fn word_of(port: u16) -> (usize, u32) {
    let bytes = if cfg!(target_endian = "little") { port % 4 } else { 3 - port % 4 };
    (usize::from(port / 4 * 4), u32::from(bytes) * 8)
}

fn remove(folder: &Path) -> Result<(), KernelError> {
    folders::remove(folder)
        .map_err(|error| KernelError::call(format!("cannot remove {}", folder.display()), error))
}
