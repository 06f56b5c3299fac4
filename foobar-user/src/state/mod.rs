//! What the daemon keeps on disk: the runtime changes and the generation they led to.
//!
//! - [`disk`]: how a file is replaced: temporary file, fsync, rename, fsync of the folder.
//! - [`document`]: version and checksum around what is stored.
//! - [`saved`]: what is kept.
//! - [`store`]: the state folder: load, save, keep a damaged file aside.
//! - [`problem`]: why stored state cannot be used.

pub mod disk;
pub mod document;
pub mod problem;
pub mod saved;
pub mod store;
#[cfg(test)]
mod tests;

pub use problem::Problem;
pub use saved::State;
pub use store::Store;
