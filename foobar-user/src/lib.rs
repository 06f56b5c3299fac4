//! The daemon and command line of foobar.
//!
//! - [`cli`]: the command line, a thin client of the control API.
//! - [`control`]: the control API: HTTP and JSON on a unix socket.
//! - [`daemon`]: the process that owns the policy and keeps it in force.
//! - [`state`]: what survives a restart, on disk.
//! - [`policy`]: from the configuration to the tables of the kernel programs; pure.
//! - [`kernel`]: everything that talks to the kernel, and the only folder that imports aya.
//! - [`metrics`]: what Prometheus scrapes.
//! - [`rates`]: connections and requests a second, over the last seconds.
//! - [`live`]: what `foobar top` and the status page show.
//! - [`explain`]: what becomes of a packet, and why.
//! - [`probing`]: where functions of web servers begin and end requests; pure.
//! - [`servers`]: what the observed web servers tell of themselves: certificates, statistics.
//! - [`replay`]: a capture through the real programs, before a policy is put in force.
//!
//! They are layers: no two of them use each other, not by way of a third one either (`tests/tests/house.rs` looks).

pub mod cli;
pub mod control;
pub mod daemon;
pub mod explain;
pub mod kernel;
pub mod live;
pub mod metrics;
pub mod policy;
pub mod probing;
pub mod rates;
pub mod replay;
pub mod servers;
pub mod state;

/// Version of the program.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Revision of the source, `unknown` if it was not built from a repository.
pub const REVISION: &str = match option_env!("FOOBAR_REVISION") {
    Some(revision) => revision,
    None => "unknown",
};

/// The kernel programs that count requests in the functions of web servers, as an ELF object.
pub static PROBES_OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/probes"));

/// The kernel programs that read what programs hand to libssl, as an ELF object.
pub static LIBSSL_OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/libssl"));

/// The kernel programs, as an ELF object.
pub static KERNEL_OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/foobar"));
