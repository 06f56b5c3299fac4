//! An instance: one load of the programs with its policy tables. A policy that fits is flipped in; one that does not gets a new
//! instance.

mod load;
mod tables;

use std::{
    collections::BTreeMap,
    fs,
    mem::offset_of,
    os::{
        fd::{AsFd as _, BorrowedFd, OwnedFd},
        unix::fs::MetadataExt as _,
    },
    path::PathBuf,
    sync::atomic::{Ordering, fence},
};

use foobar_common::{
    flow::FlowTimeouts,
    tables::{Capacities, Generation, Root, USED_PORTS_LEN},
};
pub(super) use load::TRACING;

use super::{
    attach::Role,
    btf,
    error::{ErrorKind, KernelError},
    folders::{self, Folders},
    messages::Messages,
    observed,
    sys::{map, memory::Region, object, rcu::Leaving},
};
use crate::policy::compile::Compiled;

/// What the kernel says of a loaded program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProgramFacts {
    /// `ingress`, `egress`, `sock_state`, ...
    pub name: String,
    /// Number of the program.
    pub id: u32,
    /// Instructions that the verifier walked through; 0 before Linux 5.16.
    pub verified_instructions: u32,
    /// Bytes of instructions after the kernel's own rewriting.
    pub translated_bytes: u32,
}

/// What an instance is made for.
pub(super) struct Purpose {
    pub timeouts: FlowTimeouts,
    /// Sizes of the maps that outlive instances.
    pub sizes: Vec<(&'static str, u32)>,
    /// Where those maps are pinned.
    pub pinned: Vec<(&'static str, PathBuf)>,
    /// A folder of bpffs for pins that are needed while the programs are loaded.
    pub folder: PathBuf,
    /// Counters in one half of the tables of counters.
    pub counters: u32,
    /// For replay: egress reports what it finds, and nothing is observed.
    pub sandbox: bool,
}

/// A loaded instance. Dropping it closes descriptors; what is attached or pinned stays.
pub(super) struct Instance {
    features: u32,
    capacities: Capacities,
    active: u32,
    /// The wait for programs that may still read the other generation; `None` if no program does any more.
    leaving: Option<Leaving>,
    root: Region,
    maps: BTreeMap<String, OwnedFd>,
    messages: Messages,
    ingress: OwnedFd,
    egress: OwnedFd,
    observer: Option<Result<OwnedFd, String>>,
    pub tracing: Vec<(&'static str, Result<OwnedFd, String>)>,
    pub facts: Vec<ProgramFacts>,
    flow_epoch: u32,
}

impl Instance {
    /// Loads the programs for a policy and fills generation 0 with it.
    pub fn load(purpose: &Purpose, policy: &Compiled) -> Result<Self, KernelError> {
        if policy.counters > purpose.counters {
            return Err(KernelError::new(
                ErrorKind::Unsupported,
                format!(
                    "the policy needs {} counters, but there are {}",
                    policy.counters, purpose.counters
                ),
            )
            .advise("restart the daemon, which makes the table larger"));
        }
        if let Some((table, most)) = tables::too_long(&policy.needs()) {
            return Err(KernelError::new(
                ErrorKind::Unsupported,
                format!("the lists are too long: the table {table} holds {most} elements"),
            )
            .advise("join prefixes, or shorten the longest list: nearly two million prefixes of each version of IP fit"));
        }
        let capacities = tables::roomy(&policy.needs(), policy.features, purpose.counters);
        let mut sizes = purpose.sizes.clone();
        sizes.extend(observed::unused(policy.features));
        let offsets = if purpose.sandbox {
            Err("nothing is observed in a replay".to_owned())
        } else {
            btf::sock_offsets()
        };
        let mut tables = tables::sizes(&capacities, policy.features);
        tables.push(("USED_PORTS", USED_PORTS_LEN as usize * size_of::<u32>()));
        let loaded = load::load(&load::Settings {
            features: policy.features,
            capacities,
            timeouts: purpose.timeouts,
            tables,
            folder: purpose.folder.clone(),
            sizes,
            pinned: purpose.pinned.clone(),
            trace_egress: purpose.sandbox,
            offsets: offsets.as_ref().copied().map_err(String::as_str),
            net_inum: network_namespace(),
        })?;
        let root = loaded.maps.get("ROOT").ok_or_else(|| missing("ROOT"))?;
        let root = Region::map(root.as_fd(), 0, size_of::<Root>())
            .map_err(|error| unwritten("ROOT", error))?;
        let mut instance = Instance {
            features: policy.features,
            capacities,
            active: 0,
            leaving: None,
            root,
            maps: loaded.maps,
            messages: loaded.messages,
            ingress: loaded.ingress,
            egress: loaded.egress,
            observer: loaded.observer,
            tracing: loaded.tracing,
            facts: loaded.facts,
            flow_epoch: policy.generation.flow_epoch,
        };
        instance.write(0, policy)?;
        Ok(instance)
    }

    /// Whether a policy can be flipped in. `exactly`: not at the price of code or memory that it has no use for.
    pub fn can_serve(&self, policy: &Compiled, exactly: bool) -> bool {
        let needs = policy.needs();
        let features = if exactly {
            self.features == policy.features
        } else {
            policy.features & !self.features == 0
        };
        features
            && tables::fits(&needs, &self.capacities)
            && !(exactly && tables::wasteful(&needs, &self.capacities))
    }

    /// Puts a policy in force by one store. When this returns, every packet that arrives is judged by it.
    pub fn flip(&mut self, policy: &Compiled) -> Result<(), KernelError> {
        self.settle()?;
        let next = 1 - self.active;
        self.write(next, policy)?;
        self.root.word(offset_of!(Root, active)).store(next, Ordering::Release);
        // Out of this CPU's store buffer: whoever is told of the change meets it.
        fence(Ordering::SeqCst);
        self.leaving = Some(Leaving::begin());
        self.active = next;
        self.flow_epoch = policy.generation.flow_epoch;
        Ok(())
    }

    /// Waits for the programs that began before the last flip and may still read the other generation, which the next flip
    /// writes. The wait began with the flip, so most of it is over when the next change is compiled and on disk.
    pub fn settle(&mut self) -> Result<(), KernelError> {
        if let Some(leaving) = self.leaving.take()
            && let Err(error) = leaving.end()
        {
            // They may still be there: whoever comes next waits again.
            self.leaving = Some(Leaving::default());
            return Err(KernelError::call("cannot wait for running programs", error));
        }
        Ok(())
    }

    fn write(&mut self, generation: u32, policy: &Compiled) -> Result<(), KernelError> {
        tables::write(&self.maps, &self.capacities, self.features, generation, policy)
            .map_err(|(name, error)| unwritten(name, error))?;
        let at = offset_of!(Root, generations) + generation as usize * size_of::<Generation>();
        self.root.write(at, &[policy.generation]);
        Ok(())
    }

    /// Which packets are sampled: bits of `SAMPLE_DROPS`, `SAMPLE_PASSES`.
    pub fn set_sampled(&self, bits: u32) {
        self.root.word(offset_of!(Root, sampled)).store(bits, Ordering::Relaxed);
    }

    /// The bits last set.
    pub fn sampled(&self) -> u32 {
        self.root.word(offset_of!(Root, sampled)).load(Ordering::Relaxed)
    }

    /// Writes what the programs had to say to the log.
    pub fn write_messages(&mut self) {
        self.messages.write();
    }

    /// From now on the tracing programs of this instance count.
    pub fn observe(&self) {
        self.root.word(offset_of!(Root, observing)).store(1, Ordering::Release);
    }

    pub fn ingress(&self) -> BorrowedFd<'_> {
        self.ingress.as_fd()
    }

    pub fn egress(&self) -> BorrowedFd<'_> {
        self.egress.as_fd()
    }

    /// The programs that this instance has, in the order in which they are attached.
    pub fn roles(&self) -> impl Iterator<Item = Role> + use<> {
        let observes = matches!(self.observer, Some(Ok(_)));
        Role::ALL.into_iter().filter(move |role| observes || !role.observes())
    }

    /// Why the programs that observe ports could not be loaded, though the policy has use for them.
    pub fn observer_missing(&self) -> Option<&str> {
        self.observer.as_ref()?.as_ref().err().map(String::as_str)
    }

    /// The program of a role.
    pub fn program(&self, role: Role) -> Result<BorrowedFd<'_>, KernelError> {
        match (role, &self.observer) {
            (Role::Ingress, _) => Ok(self.ingress()),
            (Role::Egress, _) => Ok(self.egress()),
            (Role::ObserveIngress, Some(Ok(arriving))) => Ok(arriving.as_fd()),
            _ => Err(KernelError::new(
                ErrorKind::Kernel,
                format!("the program {} was not loaded", role.name()),
            )),
        }
    }

    pub fn flow_epoch(&self) -> u32 {
        self.flow_epoch
    }

    pub fn map(&self, name: &'static str) -> Result<BorrowedFd<'_>, KernelError> {
        self.maps.get(name).map(OwnedFd::as_fd).ok_or_else(|| missing(name))
    }

    /// Gives the descriptor of a map away.
    pub fn take_map(&mut self, name: &'static str) -> Result<OwnedFd, KernelError> {
        self.maps.remove(name).ok_or_else(|| missing(name))
    }

    /// Kernel memory of the tables that a policy is written to, in bytes (`memlock` of /proc/PID/fdinfo).
    pub fn table_memory(&self) -> std::io::Result<u64> {
        let tables = tables::sizes(&self.capacities, self.features);
        tables.iter().filter_map(|(name, _)| self.maps.get(*name)).map(map::memory).sum()
    }

    /// Pins programs and tables of the instance, but not `persistent` maps, as number `number`.
    pub fn pin(
        &self,
        folders: &Folders,
        number: u32,
        persistent: &[&'static str],
    ) -> Result<(), KernelError> {
        let folder = folders.instance(number);
        let pin = |object: BorrowedFd<'_>, kind: &str, name: &str| {
            let path = folder.join(kind).join(name);
            object::pin(object, &path)
                .map_err(|error| KernelError::call(format!("cannot pin {}", path.display()), error))
        };
        folders::make(&folder.join("maps"))?;
        folders::make(&folder.join("programs"))?;
        for (name, map) in &self.maps {
            if !name.starts_with('.') && !persistent.contains(&name.as_str()) {
                pin(map.as_fd(), "maps", name)?;
            }
        }
        for role in self.roles() {
            pin(self.program(role)?, "programs", role.name())?;
        }
        for (name, program) in &self.tracing {
            if let Ok(program) = program {
                pin(program.as_fd(), "programs", name)?;
            }
        }
        Ok(())
    }
}

fn missing(name: &'static str) -> KernelError {
    KernelError::new(ErrorKind::Kernel, format!("the kernel programs have no map {name}"))
}

fn unwritten(name: &str, error: std::io::Error) -> KernelError {
    KernelError::call(format!("cannot write the table {name}"), error)
}

/// Number of the network namespace of the calling thread, as `struct net.ns.inum` has it.
pub(in crate::kernel) fn network_namespace() -> u32 {
    fs::metadata("/proc/thread-self/ns/net").map_or(0, |file| file.ino() as u32)
}
