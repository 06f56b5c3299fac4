//! Where a web server's own functions begin and end requests, and how they are probed there. Pure: from the bytes of an executable to a
//! [`Plan`], which `kernel::Probes` carries out.
//!
//! - [`executable`]: functions of an ELF file by their symbols.
//! - [`point`]: the instruction of a function that is probed, which must be one that the kernel emulates.
//! - [`trace`]: what a function does with its first argument. [`nginx`]: where nginx keeps the status, found by it.
//! - [`libssl`]: where OpenSSL hands on what a program reads and writes.
//! - [`plan`]: all of it for one server.

mod executable;
mod libssl;
mod nginx;
mod plan;
mod point;
mod trace;

pub use executable::{Executable, ExecutableError, Function};
pub use nginx::StatusOffsets;
pub use plan::{Plan, PlanError, PlanPoint, Server};
pub use point::PointError;
