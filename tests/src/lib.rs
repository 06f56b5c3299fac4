//! Helpers of the tests that cross the kernel or the network.
//!
//! - [`harness`]: namespaces, links, servers, clients, and a check that nothing of them stays behind.
//! - [`capture`]: capture files.
//! - [`frames`]: a table of frames, each with the verdict and reason that the reference policy has for it.
//! - [`generate`]: random policies and random frames.
//! - [`model`]: a second opinion on every frame, written independently of the product.
//! - [`programs`]: the real kernel programs under a policy, attached to nothing.

pub mod capture;
pub mod frames;
pub mod generate;
pub mod harness;
pub mod model;
pub mod programs;
