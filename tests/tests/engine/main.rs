//! The engine in real network namespaces: load, pin, flip, replace, take over, detach.
//!
//! - [`host`]: a daemon's worth of engine for a server of a test network.
//! - [`force`]: policies come into force.
//! - [`takeover`]: a restart takes over what is there.
//! - [`hooks`]: interfaces and modes.
//! - [`foreign`]: other people's pins and programs.
//! - [`look`]: traced frames, counted connections.

mod force;
mod foreign;
mod hooks;
mod host;
mod look;
mod takeover;
