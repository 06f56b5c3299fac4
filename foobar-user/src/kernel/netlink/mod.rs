//! Netlink: what the kernel says about interfaces, addresses, routes and sockets.
//!
//! Messages are taken apart by attribute and not by whole structures, so that a kernel that adds an attribute or lengthens one
//! does not make the rest unreadable.

mod changes;
pub(super) mod clsact;
mod conntrack;
mod ethtool;
mod interfaces;
mod sockets;
mod wire;
mod xdp;

pub use changes::{ChangeStream, Changes};
pub(super) use conntrack::translated;
pub use ethtool::Offloads;
pub(super) use ethtool::offloads;
pub use interfaces::{Interface, interfaces, own_addresses, select_interfaces};
pub(super) use interfaces::{mtus, name_of};
pub(super) use sockets::{Connection, State, connections};
pub use sockets::{ListenQueue, established, established_peers, listen_queues};
pub(super) use wire::Refusal;
pub(super) use xdp::{Attached, attached, refusal_text, remove};
