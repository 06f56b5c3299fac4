//! The control API: HTTP and JSON on a unix socket, which the command line and `curl --unix-socket` speak alike.
//!
//! - [`api`]: requests and answers, shared by both sides.
//! - [`refusal`]: an error on its way to the client.
//! - [`edit`] understands a change of a list as it came.
//! - [`peer`]: who asks; [`access`]: who may.
//! - [`command`]: what the server hands to the daemon's owner task, and the way back.
//! - [`reload`]: the configuration read again, and confirmed.
//! - [`socket`]: the socket file and its permissions.
//! - [`server`]: the routes.
//! - [`watch`]: live events, an answer that goes on, and so does [`live`]: what `foobar top` shows.
//! - [`client`]: the other side.

pub mod access;
pub mod api;
pub mod client;
pub mod command;
pub mod edit;
pub mod live;
pub mod peer;
pub mod refusal;
pub mod reload;
pub mod server;
pub mod socket;
#[cfg(test)]
mod tests;
pub mod watch;

pub use access::Access;
pub use client::Client;
pub use peer::Peer;
pub use refusal::Refusal;
