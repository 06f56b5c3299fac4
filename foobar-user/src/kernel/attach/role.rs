//! What a program does on an interface, and where it sits.

use std::path::PathBuf;

use aya_obj::generated::bpf_attach_type;

use crate::kernel::{folders::Folders, netlink::clsact::Seat};

/// The programs on an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(in crate::kernel) enum Role {
    /// Filters what arrives (XDP).
    Ingress,
    /// Filters what leaves, and observes it where something is observed (TCX, or clsact on older kernels).
    Egress,
    /// Observes what arrives (TCX or clsact).
    ObserveIngress,
}

impl Role {
    /// Every program, in the order in which they are attached: nothing comes in before what leaves is remembered.
    pub const ALL: [Role; 3] = [Role::ObserveIngress, Role::Egress, Role::Ingress];

    /// Name of the program, and the word used in metrics and JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Role::Ingress => "ingress",
            Role::Egress => "egress",
            Role::ObserveIngress => "observe_ingress",
        }
    }

    /// Whether it is there only where something is observed.
    pub const fn observes(self) -> bool {
        matches!(self, Role::ObserveIngress)
    }

    /// The role of a pinned link, by the name of its pin; `None` for a tracing program's.
    pub fn of_pin(name: &str) -> Option<Role> {
        let (role, _) = name.rsplit_once('-')?;
        Role::ALL.into_iter().find(|known| known.name() == role)
    }

    /// Where the link to an interface is pinned.
    pub fn pin(self, folders: &Folders, ifindex: u32) -> PathBuf {
        folders.links().join(format!("{}-{ifindex}", self.name()))
    }

    /// The hook of a program that is a classifier; XDP has another way of attaching.
    pub const fn tcx(self) -> Option<bpf_attach_type> {
        match self {
            Role::Ingress => None,
            Role::ObserveIngress => Some(bpf_attach_type::BPF_TCX_INGRESS),
            Role::Egress => Some(bpf_attach_type::BPF_TCX_EGRESS),
        }
    }

    /// Its place among the filters of the clsact qdisc, on kernels without TCX.
    pub const fn seat(self) -> Option<Seat> {
        match self {
            Role::Ingress => None,
            Role::Egress => Some(Seat::EGRESS),
            Role::ObserveIngress => Some(Seat::OBSERVE_INGRESS),
        }
    }
}
