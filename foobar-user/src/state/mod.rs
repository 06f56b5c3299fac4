//! What the daemon keeps on disk: the configuration, the runtime changes and the generation they led to.
//!
//! - [`disk`]: how a file is replaced: temporary file, fsync, rename, fsync of the folder.
//! - [`document`]: version and checksum around what is stored.
//! - [`saved`]: what is kept.
//! - [`configuration`]: the last good configuration; [`deadline`]: until when a change waits to be confirmed.
//! - [`journal`]: the steps since the document was written, each a [`delta`].
//! - [`store`]: the state folder: load, save, keep a damaged file aside.
//! - [`problem`]: why stored state cannot be used.

pub mod configuration;
pub mod deadline;
mod delta;
pub mod disk;
pub mod document;
mod journal;
pub mod problem;
pub mod saved;
pub mod store;
#[cfg(test)]
mod tests;

pub use configuration::{Configured, Pending};
pub use deadline::Deadline;
pub use problem::Problem;
pub use saved::State;
pub use store::Store;
