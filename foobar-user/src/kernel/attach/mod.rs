//! Attaching to interfaces: which hook, in which mode, and what is there already.

mod classifier;
mod existing;
mod foreign;
mod ingress;
mod role;
mod switch;

pub(super) use existing::{Existing, Link};
pub(super) use role::Role;
pub(super) use switch::Switch;

use std::{fmt, os::fd::OwnedFd};

/// The way of the packets that a program sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Direction {
    /// Packets that arrive (XDP).
    Ingress,
    /// Packets that leave (TCX, or clsact on older kernels).
    Egress,
}

impl Direction {
    /// The word used in metrics and JSON, which is also the name of the program that filters this way.
    pub const fn name(self) -> &'static str {
        match self {
            Direction::Ingress => "ingress",
            Direction::Egress => "egress",
        }
    }
}

/// How a program is attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mode {
    /// XDP, run by the driver.
    Native,
    /// XDP, run by the network stack: the same verdicts, at a higher price.
    Generic,
    /// TCX (Linux 6.6).
    Tcx,
    /// A filter of the clsact qdisc (before Linux 6.6).
    Clsact,
}

impl Mode {
    /// The word used in metrics and JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Mode::Native => "native",
            Mode::Generic => "generic",
            Mode::Tcx => "tcx",
            Mode::Clsact => "clsact",
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// One program on one interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attachment {
    /// Name of the interface when it was last seen.
    pub interface: String,
    /// Its index.
    pub ifindex: u32,
    /// `ingress`, `egress` or `observe_ingress`.
    pub program: &'static str,
    /// How it is attached.
    pub mode: Mode,
    /// Why it is not native, or missing, where that is so.
    pub note: Option<String>,
    /// Whether the kernel says, now, that it is attached.
    pub attached: bool,
    /// It observes, and could not be attached; the filter does without. Tried again by the next start or other configuration.
    pub missing: bool,
    /// Number of the program that should be attached; 0 if it is missing.
    pub program_id: u32,
    /// Number of the link; clsact has none.
    pub link_id: Option<u32>,
}

/// Whether packets are read for what is observed on some interface. What leaves is: it takes what arrives as well to tell of a request.
pub fn reads_packets(attachments: &[Attachment]) -> bool {
    attachments.iter().any(|one| one.program == Role::ObserveIngress.name() && one.attached)
}

/// A link that was made or found.
pub(super) struct Held {
    /// `None` for clsact, where the filter itself is all there is.
    pub link: Option<OwnedFd>,
    /// Why it is not native.
    pub note: Option<String>,
}
