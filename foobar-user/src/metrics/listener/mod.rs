//! The HTTP listener that Prometheus scrapes.
//!
//! It must not become the weak side of a firewall: connections are few and bounded, one that says nothing is closed, and
//! however many scrape at once, the kernel's maps are read by one of them at a time.
//!
//! - [`routes`]: what is served under which path.
//! - [`status`]: the page for people.
//! - [`page`]: one page for all who ask at the same time.
//! - [`host`]: by which names a listener on loopback may be called.
//! - [`clients`]: the connections, and who must go when there are too many.
//! - [`serve`]: the loop that accepts.

mod clients;
mod host;
mod page;
mod routes;
mod serve;
mod status;

#[cfg(test)]
mod tests;

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::time::Duration;

use nix::sys::socket::{Backlog, listen};
use thiserror::Error;

use super::snapshot::Snapshot;
use crate::live::{Live, Since};

/// Where the listener listens unless told otherwise: on loopback.
pub const DEFAULT_LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9898);

/// Connections that wait in the kernel until they are accepted.
const BACKLOG: i32 = 1024;

/// Who knows what a page shows.
pub trait Source: Send + Sync + 'static {
    /// Gathers everything, now. It runs on a thread for blocking work and never twice at the same time.
    ///
    /// # Errors
    /// What could not be read, and why. The scrape fails then: half a page would look like counters that went back.
    fn snapshot(&self) -> anyhow::Result<Snapshot>;

    /// Whether foobar does its work; must not block.
    ///
    /// # Errors
    /// One sentence that says what is wrong.
    fn health(&self) -> Result<(), String>;

    /// What the status page shows, with the history behind `since`; must not block, and names no client.
    fn live(&self, since: Since) -> Live;
}

/// Bounds of the listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListenerLimits {
    /// Connections at the same time. One more takes the place of the one that has been idle for longest.
    pub connections: usize,
    /// How long a client may take to send a request, and stay silent between two.
    pub header_timeout: Duration,
    /// How long a connection lasts at most, in use or not.
    pub lifetime: Duration,
    /// How long a shutdown waits for answers under way.
    pub drain: Duration,
}

impl Default for ListenerLimits {
    fn default() -> Self {
        ListenerLimits {
            connections: 64,
            header_timeout: Duration::from_secs(10),
            lifetime: Duration::from_secs(600),
            drain: Duration::from_secs(2),
        }
    }
}

/// The listener could not be opened.
#[derive(Debug, Error)]
#[error("cannot listen on {address} for scrapes: {}; {}", reason(.source), self.help())]
pub struct ListenError {
    /// The address that was asked for.
    pub address: SocketAddr,
    /// What the kernel says.
    pub source: io::Error,
}

fn reason(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => "another program listens there",
        io::ErrorKind::AddrNotAvailable => "no interface of this host has this address",
        io::ErrorKind::PermissionDenied => "the port is reserved for privileged programs",
        _ => "the kernel refuses",
    }
}

impl ListenError {
    /// What to do about it.
    pub fn help(&self) -> String {
        match self.source.kind() {
            io::ErrorKind::AddrInUse => format!(
                "set another address as `listen` under [metrics], or find that program with `ss -ltnp sport = :{}`",
                self.address.port()
            ),
            io::ErrorKind::AddrNotAvailable => {
                "set one of this host's addresses (`ip address`) as `listen` under [metrics]"
                    .to_owned()
            }
            io::ErrorKind::PermissionDenied => {
                "set a port above 1023 as `listen` under [metrics]".to_owned()
            }
            _ => "set another address as `listen` under [metrics]".to_owned(),
        }
    }
}

/// An open port on which nothing is answered yet.
#[derive(Debug)]
pub struct Listener {
    socket: TcpListener,
    address: SocketAddr,
}

impl Listener {
    /// Opens the port.
    ///
    /// # Errors
    /// [`ListenError`], which says what to do.
    pub fn bind(address: SocketAddr) -> Result<Self, ListenError> {
        let open = || {
            let socket = TcpListener::bind(address)?;
            socket.set_nonblocking(true)?;
            listen(&socket, Backlog::new(BACKLOG)?)?;
            let address = socket.local_addr()?;
            Ok(Listener { socket, address })
        };
        open().map_err(|source| ListenError { address, source })
    }

    /// The address, with the port that the kernel chose if 0 was asked for.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }
}
