//! What survives every instance: counters and what they stand for, flows, fragments, token buckets, connection statistics. These
//! maps are pinned once and taken over by every later instance, after it is certain that they are what it expects.

use std::{
    collections::BTreeMap,
    fs, io,
    os::fd::{AsFd as _, BorrowedFd, OwnedFd},
    path::{Path, PathBuf},
};

use foobar_common::observe::SLOTS;

use super::{
    error::{ErrorKind, KernelError},
    folders::{self, Folders},
    migrate, observed, shape,
    sys::{
        self,
        map::{self, MapSpec, Position},
        object::{self, Kind},
    },
};

/// Maps that outlive instances, by their names in the kernel object.
pub(super) const PERSISTENT: [&str; 22] = [
    "COUNTERS",
    "EGRESS_COUNTERS",
    "COUNTER_LABELS",
    "SLOT_PORTS",
    "FLOWS4",
    "FLOWS6",
    "USED_PORTS",
    "FRAGMENTS",
    "BUCKETS",
    "EVENTS",
    "SAMPLING",
    "PORT_STATS",
    "HTTP_STATS",
    "HTTP_FLOWS",
    "UPDATE_FAILURES",
    "TLS_FLOWS",
    "TLS_OPENINGS",
    "TLS_STATS",
    "TLS_NAMES",
    "TLS_NAME_HELLOS",
    "QUIC_CLIENTS",
    "CONNECTIONS",
];

/// Bytes that say what one counter stands for; their meaning is the policy's business.
pub const LABEL_BYTES: usize = 128;

/// Where and how large.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreOptions {
    /// Folder of the pins, on a BPF file system.
    pub bpf_dir: PathBuf,
    /// Counters of each direction. A store that has more keeps them.
    pub counters: u32,
    /// Entries of each table of flows (IPv4 and IPv6).
    pub flows: u32,
}

impl StoreOptions {
    /// Counters by default: a few hundred pairs of rules and ports; 128 KiB for each CPU and direction.
    pub const COUNTERS: u32 = 4096;
    /// Flows by default.
    pub const FLOWS: u32 = 65536;

    /// The default sizes below `bpf_dir`.
    pub fn new(bpf_dir: impl Into<PathBuf>) -> Self {
        StoreOptions { bpf_dir: bpf_dir.into(), counters: Self::COUNTERS, flows: Self::FLOWS }
    }
}

/// The pinned maps of one daemon. While it lives, no other process works with this folder of pins.
pub struct Store {
    pub(super) folders: Folders,
    counters: u32,
    flows: u32,
    maps: BTreeMap<&'static str, OwnedFd>,
    /// Maps that the next instance gets in another size: new name of the pin beside the old one.
    outgrown: Vec<&'static str>,
    /// Entries that the programs give each map.
    full: BTreeMap<String, u32>,
}

impl Store {
    /// Opens the store, creating what is missing: the BPF file system's mount, our folders, the maps that only user space uses.
    ///
    /// # Errors
    /// [`ErrorKind::Busy`] while another daemon has it, [`ErrorKind::ForeignPin`] with every difference if something else is
    /// pinned there, [`ErrorKind::NoBpffs`].
    pub fn open(options: &StoreOptions) -> Result<Store, KernelError> {
        sys::lift_memlock();
        let folders = Folders::open(&options.bpf_dir)?;
        let mut maps = BTreeMap::new();
        for name in PERSISTENT {
            let path = folders.maps().join(name);
            match object::open(&path, Kind::Map) {
                Ok(Some(fd)) => drop(maps.insert(name, fd)),
                Ok(None) => {}
                Err(error) if error.raw_os_error().is_none() => {
                    return Err(foreign(&folders, &[format!("{name}: {error}")]));
                }
                Err(error) => {
                    return Err(KernelError::call(
                        format!("cannot open the pin {}", path.display()),
                        error,
                    ));
                }
            }
        }
        let mut store = Store {
            folders,
            counters: options.counters,
            flows: options.flows,
            maps,
            outgrown: Vec::new(),
            full: BTreeMap::new(),
        };
        store.check()?;
        store.create_labels()?;
        Ok(store)
    }

    /// Compares every pinned map with what the programs expect.
    fn check(&mut self) -> Result<(), KernelError> {
        let mut expected = shape::expected()?;
        self.full = expected.iter().map(|(name, spec)| (name.clone(), spec.entries)).collect();
        let mut found = BTreeMap::new();
        for (&name, map) in &self.maps {
            let spec = map::describe(map.as_fd()).map_err(|error| {
                KernelError::call(format!("cannot ask about the map {name}"), error)
            })?;
            found.insert(name, spec);
        }
        // Numbers of counters are handed out for ever, so a store never shrinks.
        if let Some(labels) = found.get("COUNTER_LABELS") {
            self.counters = self.counters.max(labels.entries);
        }
        for (name, entries) in self.sizes() {
            if let Some(spec) = expected.get_mut(name) {
                spec.entries = entries;
            }
        }
        let mut problems = Vec::new();
        self.outgrown.clear();
        for (name, spec) in found {
            let Some(expected) = expected.get(name) else { continue };
            let resized = MapSpec { entries: expected.entries, ..spec };
            if resized == *expected && observed::is_one(name) {
                // [`Store::fit`] says how large it is to be.
                continue;
            }
            if spec != resized && resized == *expected && migrate::can_resize(name) {
                self.outgrown.push(name);
                continue;
            }
            problems.extend(
                expected
                    .differences(&spec)
                    .into_iter()
                    .map(|difference| format!("{name}: {difference}")),
            );
        }
        if problems.is_empty() { Ok(()) } else { Err(foreign(&self.folders, &problems)) }
    }

    /// Chooses the sizes that depend on what the policy observes. Called before an instance is loaded for it.
    pub(super) fn fit(&mut self, features: u32) -> Result<(), KernelError> {
        let misfits = observed::misfits(&self.maps, &self.full, features)
            .map_err(|error| KernelError::call("cannot ask about a table of connections", error))?;
        self.outgrown.retain(|name| !observed::is_one(name));
        self.outgrown.extend(misfits);
        self.clear_unfinished();
        Ok(())
    }

    /// The maps whose size is chosen here.
    pub(super) fn sizes(&self) -> Vec<(&'static str, u32)> {
        sizes(self.counters, self.flows)
    }

    /// Where each map is, or will be, pinned for the next instance.
    pub(super) fn pins(&self) -> Vec<(&'static str, PathBuf)> {
        PERSISTENT.iter().map(|&name| (name, self.pin(name))).collect()
    }

    fn pin(&self, name: &str) -> PathBuf {
        let suffix = if self.outgrown.contains(&name) { migrate::SUFFIX } else { "" };
        self.folders.maps().join(format!("{name}{suffix}"))
    }

    /// Labels and slots are needed before the programs are: the compiler of the policy asks which numbers are taken.
    fn create_labels(&mut self) -> Result<(), KernelError> {
        for (name, spec) in [
            ("COUNTER_LABELS", MapSpec::array(LABEL_BYTES, self.counters, 0)),
            ("SLOT_PORTS", MapSpec::array(size_of::<u32>(), SLOTS, 0)),
        ] {
            let outgrown = self.outgrown.contains(&name);
            if self.maps.contains_key(name) && !outgrown {
                continue;
            }
            let failed = |error| KernelError::call(format!("cannot create the map {name}"), error);
            let path = self.pin(name);
            let new = map::create(&spec, name, None).map_err(failed)?;
            if let Some(old) = self.maps.get(name) {
                migrate::copy(name, old.as_fd(), new.as_fd()).map_err(failed)?;
                let _ = fs::remove_file(&path);
            }
            object::pin(new.as_fd(), &path).map_err(failed)?;
            if outgrown {
                fs::rename(&path, self.folders.maps().join(name)).map_err(failed)?;
                self.outgrown.retain(|other| *other != name);
            }
            self.maps.insert(name, new);
        }
        Ok(())
    }

    /// Removes what an interrupted change of sizes left.
    pub(super) fn clear_unfinished(&self) {
        for name in PERSISTENT {
            let _ = fs::remove_file(self.folders.maps().join(format!("{name}{}", migrate::SUFFIX)));
        }
    }

    /// Copies outgrown maps into their successors. Called right before the switch to the instance that uses those.
    pub(super) fn migrate(
        &self,
        new: impl Fn(&'static str) -> Result<OwnedFd, KernelError>,
    ) -> Result<Vec<String>, KernelError> {
        let mut notes = Vec::new();
        for &name in self.outgrown.iter().filter(|name| !observed::is_one(name)) {
            let old = &self.maps[name];
            migrate::copy(name, old.as_fd(), new(name)?.as_fd()).map_err(|error| {
                KernelError::call(
                    format!("cannot copy the map {name} into one of another size"),
                    error,
                )
            })?;
            notes.push(format!("gave the map {name} another size; its contents were copied"));
        }
        Ok(notes)
    }

    /// Takes over the maps of an instance that is in force now.
    pub(super) fn adopt(
        &mut self,
        mut new: impl FnMut(&'static str) -> Result<OwnedFd, KernelError>,
    ) -> Result<(), KernelError> {
        for name in PERSISTENT {
            self.maps.insert(name, new(name)?);
        }
        for name in std::mem::take(&mut self.outgrown) {
            let path = self.folders.maps().join(name);
            let new = self.folders.maps().join(format!("{name}{}", migrate::SUFFIX));
            fs::rename(&new, &path).map_err(|error| {
                KernelError::call(format!("cannot rename the pin {}", new.display()), error)
            })?;
        }
        Ok(())
    }

    pub(super) fn map(&self, name: &'static str) -> Result<BorrowedFd<'_>, KernelError> {
        let missing =
            || KernelError::new(ErrorKind::Kernel, format!("the map {name} does not exist yet"));
        self.maps.get(name).map(OwnedFd::as_fd).ok_or_else(missing)
    }

    /// Whether an earlier process left a filter in force.
    pub fn has_links(&self) -> bool {
        !folders::entries(&self.folders.links()).is_empty()
    }

    /// The folder of the pins.
    pub fn bpf_dir(&self) -> &Path {
        self.folders.root()
    }

    /// Number of counters of each direction: at least what was asked for.
    pub fn counters(&self) -> u32 {
        self.counters
    }

    /// What each counter stands for: as many records as there are counters, all zero where none was stored.
    ///
    /// # Errors
    /// If the kernel does not answer.
    pub fn labels(&self) -> Result<Vec<[u8; LABEL_BYTES]>, KernelError> {
        let bytes = read_array(self.map("COUNTER_LABELS")?, LABEL_BYTES, self.counters as usize)
            .map_err(|error| unread("COUNTER_LABELS", error))?;
        Ok(bytes.as_chunks().0.to_vec())
    }

    /// Stores what the counters from number `first` on stand for. Before a policy that uses them.
    ///
    /// # Errors
    /// If there are fewer counters than that.
    pub fn store_labels(
        &self,
        first: u32,
        records: &[[u8; LABEL_BYTES]],
    ) -> Result<(), KernelError> {
        if first as usize + records.len() > self.counters as usize {
            return Err(KernelError::new(
                ErrorKind::Unsupported,
                format!(
                    "the policy needs {} counters, but there are {}",
                    first as usize + records.len(),
                    self.counters
                ),
            )
            .advise("restart the daemon, which makes the table larger"));
        }
        map::update_array(self.map("COUNTER_LABELS")?, first, LABEL_BYTES, records.as_flattened())
            .map_err(|error| unread("COUNTER_LABELS", error))
    }

    /// Which port each slot of the connection statistics stands for, 0 for none.
    ///
    /// # Errors
    /// If the kernel does not answer.
    pub fn slots(&self) -> Result<[u32; SLOTS as usize], KernelError> {
        let mut slots = [0; SLOTS as usize];
        let bytes = read_array(self.map("SLOT_PORTS")?, size_of::<u32>(), slots.len())
            .map_err(|error| unread("SLOT_PORTS", error))?;
        for (slot, bytes) in slots.iter_mut().zip(bytes.as_chunks().0) {
            *slot = u32::from_ne_bytes(*bytes);
        }
        Ok(slots)
    }

    /// Stores which port each slot stands for.
    ///
    /// # Errors
    /// If the kernel does not answer.
    pub fn store_slots(&self, slots: &[u32; SLOTS as usize]) -> Result<(), KernelError> {
        map::update_array(
            self.map("SLOT_PORTS")?,
            0,
            size_of::<u32>(),
            sys::plain::bytes_of_all(slots),
        )
        .map_err(|error| unread("SLOT_PORTS", error))
    }
}

/// Sizes of the maps that have chosen ones. The second half of the counters is for audited packets.
pub(super) fn sizes(counters: u32, flows: u32) -> Vec<(&'static str, u32)> {
    vec![
        ("COUNTERS", 2 * counters),
        ("EGRESS_COUNTERS", 2 * counters),
        ("COUNTER_LABELS", counters),
        ("FLOWS4", flows),
        ("FLOWS6", flows),
    ]
}

fn foreign(folders: &Folders, problems: &[String]) -> KernelError {
    KernelError::new(
        ErrorKind::ForeignPin,
        format!("what is pinned in {} is not what this version of foobar makes: {}", folders.maps().display(), problems.join("; ")),
    )
    .advise(format!("remove it with foobar detach --bpf-dir {0} (which takes the filter off), or choose another --bpf-dir", folders.root().display()))
}

fn unread(name: &str, error: io::Error) -> KernelError {
    KernelError::call(format!("cannot read or write the map {name}"), error)
}

/// The first `count` values of an array map.
pub(super) fn read_array(map: BorrowedFd<'_>, value: usize, count: usize) -> io::Result<Vec<u8>> {
    let mut keys = vec![0; 4 * count];
    let mut values = vec![0; value * count];
    let mut position = Position::default();
    let mut done = 0;
    while done < count {
        let batch = map::look_up_batch(
            map,
            &mut position,
            (4, &mut keys[4 * done..]),
            (value, &mut values[value * done..]),
        )?;
        done += batch.count;
        if batch.ended || batch.count == 0 {
            break;
        }
    }
    Ok(values)
}
