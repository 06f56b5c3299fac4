//! The engine room: everything that talks to the kernel, and the only folder that imports aya.
//!
//! - [`store`]: the maps that survive every instance, pinned and checked; [`observed`]: those that are large only where something is
//!   observed; [`shape`]: what the programs expect of them.
//! - [`instance`]: one load of the programs with its policy tables; [`sandbox`]: the same for replay, attached to nothing.
//! - [`attach`]: interfaces and their hooks; [`observer`]: the tracing programs.
//! - [`engine`]: puts policies in force; what the daemon works with.
//! - [`counters`], [`tls`], [`trace`], [`events`], [`messages`]: what comes back.
//! - [`probes`]: probes on functions of web servers.
//! - [`netlink`]: interfaces, addresses, sockets, and who else holds an interface.
//! - [`devices`]: what is behind the interfaces.
//! - [`peer`]: who is at the other end of a unix socket.
//! - [`measure`]: programs run many times, for the benchmark.
//! - [`sys`]: system calls that aya has no call for.
#![allow(unsafe_code, reason = "system calls and shared memory; each block says why it is sound")]

mod attach;
mod bpffs;
mod btf;
mod clock;
mod counters;
mod devices;
mod engine;
mod error;
mod events;
mod folders;
mod instance;
mod learn;
pub mod measure;
mod messages;
mod migrate;
mod netlink;
mod observed;
mod observer;
mod peer;
mod percpu;
mod probe;
mod probes;
mod sandbox;
mod shape;
mod store;
mod sys;
mod tls;
mod trace;

pub use attach::{Attachment, Direction, Mode, reads_packets};
pub use clock::{Timeouts, hz};
pub use counters::{Counters, Failures, FlowTable};
pub use devices::{Attachee, Device, devices};
pub use engine::{Detached, Engine, EngineOptions, Fit, How, Installed, detach};
pub use error::{ErrorKind, KernelError};
pub use events::{Events, Sample};
pub use instance::ProgramFacts;
pub use netlink::{
    ChangeStream, Changes, Interface, ListenQueue, Offloads, established, established_peers,
    interfaces, listen_queues, own_addresses, select_interfaces,
};
pub use observer::{Hook, Observer};
pub use peer::peer_groups;
pub use probe::{Features, probe};
pub use probes::{FileVersion, PlacedProbe, ProbeObject, ProbeReader, Probes};
pub use sandbox::Sandbox;
pub use store::{LABEL_BYTES, Store, StoreOptions};
pub use sys::ntp::clock_is_synchronised;
pub use tls::TlsCounts;
pub use trace::{TraceRequest, Traced};

/// From now on, large blocks of memory go back to the kernel as soon as they are free: for a process that runs for long.
pub fn return_large_blocks() {
    sys::allocator::return_large_blocks();
}
