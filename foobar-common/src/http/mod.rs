//! HTTP in clear, as it is read off the wire: HTTP/1.0 and 1.1 (RFC 9112) and HTTP/2 with prior knowledge or by upgrade (RFC 9113).
//!
//! - [`stats`]: what is counted of a port.

pub mod stats;
