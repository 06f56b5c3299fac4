//! What Prometheus scrapes: plain data in, a page of text out.
//!
//! - [`snapshot`]: what the daemon gathers for a scrape.
//! - [`catalogue`]: every metric, its labels and their bounds, defined once; `docs/metrics.md` follows it.
//! - [`filter`], [`connections`], [`http`], [`tls`], [`certificates`], [`tables`], [`program`]: the sections of the page, each from a snapshot.
//! - [`possible`], [`bounds`]: which series exist, so that all of them are there from the start and never too many.
//! - [`statistics`], [`probes`]: what servers count themselves, and what is counted in them.
//! - [`family`], [`collector`]: from values to the text format, by the prometheus crate.
//! - [`listener`]: the HTTP side; [`web`]: its TLS and authentication.

pub mod bounds;
pub mod catalogue;
mod certificates;
mod collector;
mod connections;
mod family;
mod filter;
mod http;
pub mod listener;
mod possible;
mod probes;
mod program;
mod snapshot;
mod statistics;
mod tables;
mod tls;
pub mod web;

#[cfg(test)]
mod tests;

pub use collector::{CONTENT_TYPE, render};
pub use listener::{DEFAULT_LISTEN, ListenError, Listener, ListenerLimits, Source};
pub use snapshot::*;
pub use web::Gate;
