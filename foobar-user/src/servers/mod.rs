//! What the observed web servers tell of themselves, asked over loopback.
//!
//! - [`certificate`]: when the certificates expire that they really serve.
//! - [`status`]: how many requests they counted.
//! - [`connect`]: how both are asked, so that nobody counts it as a client.

pub mod certificate;
mod connect;
pub mod status;
