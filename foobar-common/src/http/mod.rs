//! HTTP in clear, as it is read off the wire: HTTP/1.0 and 1.1 (RFC 9112) and HTTP/2 with prior knowledge or by upgrade (RFC 9113).
//!
//! A connection has two [`side::Side`]s, what arrives and what leaves. Each is read by a streaming automaton ([`step`]) that takes
//! bytes in pieces of any size, keeps a few words between them and never looks at a byte twice; bodies are skipped by arithmetic.
//! Ordinary starts and whole lines are taken from it by [`quick`]; [`mod@read`] joins the two.
//! A [`flow::Flow`] joins both: it knows which requests wait, so that a response to HEAD is known to have no body, and counts
//! final responses into [`stats`]. [`segment`] anchors the automaton on TCP sequence numbers: what was sent again is skipped, and
//! where something is missing the connection is not read until its next turn.
//!
//! The same code runs in the kernel programs and in the tests on the host.

pub mod flow;
pub mod quick;
pub mod read;
pub mod segment;
pub mod side;
pub mod stats;
pub mod step;

#[cfg(test)]
mod reference;
#[cfg(test)]
mod tests;
