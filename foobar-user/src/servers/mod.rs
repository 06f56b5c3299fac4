//! What the observed web servers tell of themselves, asked over loopback.
//!
//! - [`certificate`]: when the certificates expire that they really serve.
//! - [`status`]: how many requests they counted.

pub mod certificate;
pub mod status;
