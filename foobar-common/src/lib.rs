//! What the kernel programs and the daemon must agree on, defined once.
//!
//! - [`parse`]: how a frame is read. The same code runs in the kernel and in the unit tests on the host.
//! - [`reason`]: why a packet passed or was dropped.
//! - [`tables`]: the compiled policy, laid out for the packet path.
//! - [`counters`]: which counter a verdict increments.
//! - [`flow`]: what is remembered of the flows that the server opens, and of fragments and rates.
//! - [`event`]: what is told of single packets (sampled events, traced runs).
//! - [`failures`]: what the kernel programs could not write.
//! - [`observe`]: what is counted of TCP connections.
//! - [`http`]: HTTP in clear, read off the wire. [`probes`]: requests as functions of the server show them.
//!
//! No `enum`, `bool` or `Option` crosses the kernel boundary: such fields are integers with a `TryFrom` on the reading side.
#![no_std]
#![allow(
    missing_docs,
    reason = "fields and numbers whose name says it all; everything else is documented"
)]

#[cfg(test)]
extern crate std;

pub mod counters;
pub mod event;
pub mod failures;
pub mod flow;
pub mod http;
pub mod observe;
pub mod parse;
pub mod probes;
pub mod reason;
pub mod tables;
pub mod tls;

/// Version of everything in this crate that crosses the kernel boundary: struct layouts, map names, types and sizes, and
/// the meaning of counter numbers. It is part of the path that programs and maps are pinned under, so that a binary never
/// reads maps of another layout by mistake. Increase it with every change since the last release that is incompatible and that the
/// comparison of each pinned map with what is expected would not find; a map more is none.
pub const LAYOUT_VERSION: u32 = 1;
