//! The engine: one instance of the programs in force on some interfaces, and everything the daemon asks of it.
//!
//! - [`start`]: a new instance takes over what an earlier process left attached, or is attached afresh.
//! - [`install`]: another policy is put in force, by a flip or by a new instance.
//! - [`interfaces`]: interfaces come and go; what is attached where.
//! - [`detach`]: everything off, nothing left.

mod detach;
mod install;
mod interfaces;
mod start;

use std::{
    collections::BTreeMap,
    os::fd::BorrowedFd,
    sync::{Mutex, PoisonError},
};

use foobar_common::{
    event::Sampling,
    http::stats::HttpStats,
    observe::PortStats,
    tables::{SAMPLE_DROPS, SAMPLE_PASSES},
    tls::stats::TlsStats,
};

pub use detach::{Detached, detach};
pub use install::{Fit, How, Installed};

use super::{
    attach::{Direction, Held, Role},
    clock::{self, Timeouts},
    counters::{self, Counters, Failures, FlowTable},
    error::{ErrorKind, KernelError},
    events::Events,
    instance::{Instance, ProgramFacts, Purpose},
    netlink::Interface,
    observer::Observer,
    store::Store,
    sys::memory,
    tls::{self, TlsCounts},
    trace::{self, TraceRequest, Traced},
};

/// What the engine is to do.
#[derive(Clone, Debug)]
pub struct EngineOptions {
    /// Interfaces to filter on.
    pub interfaces: Vec<Interface>,
    /// Whether other XDP programs give way.
    pub replace: bool,
    /// How long flows may be silent.
    pub timeouts: Timeouts,
}

/// An interface that is filtered.
struct Guarded {
    interface: Interface,
    /// What is attached to it.
    held: BTreeMap<Role, Held>,
    /// What observes and is not attached to it, and why.
    missing: BTreeMap<Role, String>,
}

impl Guarded {
    fn new(interface: &Interface, instance: &Instance) -> Self {
        let mut guarded = Guarded {
            interface: interface.clone(),
            held: BTreeMap::new(),
            missing: BTreeMap::new(),
        };
        guarded.miss(instance);
        guarded
    }

    /// Notes which observing programs an instance should have and has not.
    fn miss(&mut self, instance: &Instance) {
        let why = instance.observer_missing();
        let roles = Role::ALL.into_iter().filter(|role| role.observes());
        self.missing = roles.filter_map(|role| Some((role, why?.to_owned()))).collect();
    }

    /// Keeps what was attached. Of what observes, a failure is kept as well: the filter does not depend on it.
    fn hold(&mut self, role: Role, attached: Result<Held, KernelError>) -> Result<(), KernelError> {
        match attached {
            Ok(held) => {
                self.held.insert(role, held);
                self.missing.remove(&role);
            }
            Err(error) if role.observes() && error.kind() != ErrorKind::NoSuchInterface => {
                self.missing.insert(role, format!("{error:#}"));
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }
}

/// The programs in force. Dropping it leaves them attached: the filter does not depend on this process.
pub struct Engine {
    store: Store,
    options: EngineOptions,
    /// Number of the instance in force.
    number: u32,
    instance: Instance,
    guarded: BTreeMap<u32, Guarded>,
    observer: Observer,
    notes: Vec<String>,
    /// Reused between traces.
    buffer: Mutex<Vec<u8>>,
}

impl Engine {
    /// The pinned maps, for labels and slots.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// What was found and done at the start, for the log.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// What is observed of connections, and what is missing for it.
    pub fn observer(&self) -> &Observer {
        &self.observer
    }

    /// The programs in force.
    pub fn programs(&self) -> &[ProgramFacts] {
        &self.instance.facts
    }

    /// Reads the counters `0..used`, of all interfaces together.
    ///
    /// # Errors
    /// If the kernel does not answer.
    pub fn counters(&self, used: u32) -> Result<Counters, KernelError> {
        self.tables()?.read(used)
    }

    fn tables(&self) -> Result<counters::Tables<'_>, KernelError> {
        Ok(counters::Tables {
            ingress: self.store.map("COUNTERS")?,
            egress: self.store.map("EGRESS_COUNTERS")?,
            half: self.store.counters(),
        })
    }

    /// Connection statistics by slot.
    ///
    /// # Errors
    /// If the kernel does not answer.
    pub fn port_stats(&self) -> Result<Vec<PortStats>, KernelError> {
        counters::port_stats(self.store.map("PORT_STATS")?)
    }

    /// HTTP statistics by slot.
    ///
    /// # Errors
    /// If the kernel does not answer.
    pub fn http_stats(&self) -> Result<Vec<HttpStats>, KernelError> {
        counters::http_stats(self.store.map("HTTP_STATS")?)
    }

    /// TLS and QUIC statistics.
    ///
    /// # Errors
    /// If the kernel does not answer.
    pub fn tls_counts(&self) -> Result<TlsCounts, KernelError> {
        self.tls_maps()?.read()
    }

    /// Counts hellos of these server names (slot of the port, name) apart, and of no others.
    ///
    /// # Errors
    /// If the kernel does not answer.
    pub fn tell_apart(&self, names: &[(u8, String)]) -> Result<(), KernelError> {
        self.tls_maps()?.tell_apart(names)
    }

    fn tls_maps(&self) -> Result<tls::Maps<'_>, KernelError> {
        Ok(tls::Maps {
            stats: self.store.map("TLS_STATS")?,
            names: self.store.map("TLS_NAMES")?,
            hellos: self.store.map("TLS_NAME_HELLOS")?,
        })
    }

    /// What the programs could not write.
    ///
    /// # Errors
    /// If the kernel does not answer.
    pub fn failures(&self) -> Result<Failures, KernelError> {
        counters::failures(self.store.map("UPDATE_FAILURES")?)
    }

    /// Statistics of slots that get another port start at 0.
    fn clear_slots(&self, slots: &[u8]) -> Result<(), KernelError> {
        clear_slots(|name| self.store.map(name), slots)
    }

    /// Writes what the programs had to say since the last call to the log: such as a write that the kernel refused.
    pub fn write_messages(&mut self) {
        self.instance.write_messages();
    }

    /// How full the tables of flows are. Walks them: a few milliseconds at 65,536 flows.
    ///
    /// # Errors
    /// If the kernel does not answer.
    pub fn flow_table(&self) -> Result<FlowTable, KernelError> {
        counters::flow_table(self.store.map("FLOWS4")?, self.store.map("FLOWS6")?)
    }

    /// Hands out a budget of sampled packets; all zero stops sampling.
    ///
    /// # Errors
    /// If the kernel does not answer.
    pub fn set_sampling(&self, sampling: Sampling) -> Result<(), KernelError> {
        memory::write(self.store.map("SAMPLING")?, 0, &[sampling])
            .map_err(|error| KernelError::call("cannot write the map SAMPLING", error))?;
        let drops = if sampling.drops > 0 { SAMPLE_DROPS } else { 0 };
        let passes = if sampling.passes > 0 { SAMPLE_PASSES } else { 0 };
        self.instance.set_sampled(drops | passes);
        Ok(())
    }

    /// Opens the ring buffer of sampled packets. One reader at a time.
    ///
    /// # Errors
    /// If it cannot be mapped.
    pub fn events(&self) -> Result<Events, KernelError> {
        Events::open(self.store.map("EVENTS")?)
    }

    /// Runs a frame through the ingress program in force.
    ///
    /// # Errors
    /// For [`Direction::Egress`], which only a sandbox traces; for frames below 14 bytes; if the kernel refuses the run.
    pub fn trace(&self, request: &TraceRequest<'_>) -> Result<Traced, KernelError> {
        match request.direction {
            Direction::Ingress => {
                let mut buffer = self.buffer.lock().unwrap_or_else(PoisonError::into_inner);
                trace::ingress(self.instance.ingress(), request, &mut buffer)
            }
            Direction::Egress => Err(KernelError::new(
                ErrorKind::Unsupported,
                "the egress program in force cannot be asked: it leaves the packet's control block to others",
            )),
        }
    }

    fn purpose(&self) -> Purpose {
        purpose(&self.store, &self.options)
    }
}

/// Sets every statistic of some slots to 0. `map` finds a map by its name.
fn clear_slots<'a>(
    map: impl Fn(&'static str) -> Result<BorrowedFd<'a>, KernelError>,
    slots: &[u8],
) -> Result<(), KernelError> {
    counters::clear::<PortStats>(map("PORT_STATS")?, slots)?;
    counters::clear::<HttpStats>(map("HTTP_STATS")?, slots)?;
    counters::clear::<TlsStats>(map("TLS_STATS")?, slots)
}

/// What the instances of a daemon are made for.
fn purpose(store: &Store, options: &EngineOptions) -> Purpose {
    Purpose {
        timeouts: options.timeouts.in_ticks(clock::hz()),
        sizes: store.sizes(),
        pinned: store.pins(),
        folder: store.folders.loading(),
        counters: store.counters(),
        sandbox: false,
    }
}
