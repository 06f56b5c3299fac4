//! The policy: what the administrator wants, from the configuration file to the tables that the kernel programs read.
//!
//! ```text
//! foobar.toml ─ config ─► Config ─┐
//! list files ───────────► Lists ──┼─► Policy ─ compile ─► Compiled ─► crate::kernel
//! runtime changes ─ lists overlay ┘      └─ explain, diff
//! ```
//!
//! Everything here is pure: no kernel, no root, no clock; nothing is read but the configuration and its list files.

pub mod compile;
pub mod config;
pub mod diagnostic;
pub mod diff;
pub mod explain;
pub mod guard;
pub mod labels;
pub mod lists;
pub mod model;
pub mod net;
pub mod prefix;
pub mod prefix_set;
mod prefix_text;
pub mod protocol;
pub mod slots;
pub mod text_list;

pub use compile::{Compiled, Compiler, compile};
pub use config::{Config, Loaded};
pub use diagnostic::{ConfigError, Diagnostic, Severity};
pub use labels::Labels;
pub use lists::{Entry, ListKind, Lists};
pub use model::Policy;
pub use prefix::Prefix;
pub use prefix_set::PrefixSet;
pub use slots::Slots;
