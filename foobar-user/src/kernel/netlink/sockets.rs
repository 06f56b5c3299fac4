//! The kernel's socket tables (sock_diag(7)): who listens, and which connections exist.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use super::wire::Channel;
use crate::kernel::{error::KernelError, sys::plain::read};

/// linux/sock_diag.h
const SOCK_DIAG_BY_FAMILY: u16 = 20;
/// Length of `struct inet_diag_req_v2`, and of the fixed part of `struct inet_diag_msg`.
const REQUEST: usize = 56;
const ANSWER: usize = 72;

/// States of a TCP socket (linux/tcp_states.h); a connected UDP socket is `Established`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::kernel) enum State {
    Established,
    SynSent,
    /// This side sent a FIN, or the connection is over.
    Closing,
    /// The other side sent a FIN; this side goes on.
    ClosedByPeer,
    Listen,
}

/// linux/inet_diag.h: the attribute with `struct sk_meminfo` values, and its value for `sk_drops` (linux/sock_diag.h).
const SKMEMINFO: u16 = 7;
const MEMINFO_DROPS: usize = 8;
/// Length of `struct nlattr`.
const ATTRIBUTE: usize = 4;

/// TCP_LISTEN and its companions as bits of `idiag_states`.
const ESTABLISHED: u32 = 1 << 1;
const SYN_SENT: u32 = 1 << 2;
const CLOSE_WAIT: u32 = 1 << 8;
const CLOSING: u32 = 1 << 4 | 1 << 5 | 1 << 6 | CLOSE_WAIT | 1 << 9 | 1 << 11;
const LISTEN: u32 = 1 << 10;

/// A socket of the network namespace that the calling thread is in. An IPv4 connection of an IPv6 socket has IPv4 addresses here.
#[derive(Clone, Copy, Debug)]
pub(in crate::kernel) struct Connection {
    /// IPPROTO_TCP or IPPROTO_UDP.
    pub protocol: u8,
    pub state: State,
    pub local: (IpAddr, u16),
    pub remote: (IpAddr, u16),
    /// For a listener: connections that wait to be accepted.
    received: u32,
    /// For a listener: how many may wait.
    sendable: u32,
    /// Names the socket for as long as the kernel runs (SO_COOKIE).
    cookie: u64,
    /// For a listener: what it had no room for.
    drops: u32,
}

impl Connection {
    /// A connection of which no queue is known.
    pub fn open(protocol: u8, state: State, local: (IpAddr, u16), remote: (IpAddr, u16)) -> Self {
        Connection { protocol, state, local, remote, received: 0, sendable: 0, cookie: 0, drops: 0 }
    }
}

/// The queue of a listening socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenQueue {
    /// Local port.
    pub port: u16,
    /// Local address; unspecified if it listens on all.
    pub address: IpAddr,
    /// Connections that wait to be accepted.
    pub length: u32,
    /// How many may wait.
    pub limit: u32,
    /// Names the socket for as long as the kernel runs (SO_COOKIE).
    pub cookie: u64,
    /// Openings and completed handshakes that it dropped, nearly always because the queue was full (`sk_drops`).
    pub drops: u32,
}

/// The queues of all listening TCP sockets.
///
/// # Errors
/// If the kernel does not answer.
pub fn listen_queues() -> Result<Vec<ListenQueue>, KernelError> {
    let mut found = Vec::new();
    dump(libc::IPPROTO_TCP, LISTEN, |socket| {
        let (address, port) = socket.local;
        found.push(ListenQueue {
            port,
            address,
            length: socket.received,
            limit: socket.sendable,
            cookie: socket.cookie,
            drops: socket.drops,
        });
    })?;
    Ok(found)
}

/// Established TCP connections by local port, of the ports that some socket listens on.
///
/// # Errors
/// If the kernel does not answer.
pub fn established() -> Result<BTreeMap<u16, u64>, KernelError> {
    let mut count: BTreeMap<u16, u64> =
        listen_queues()?.into_iter().map(|queue| (queue.port, 0)).collect();
    dump(libc::IPPROTO_TCP, ESTABLISHED, |socket| {
        if let Some(count) = count.get_mut(&socket.local.1) {
            *count += 1;
        }
    })?;
    Ok(count)
}

/// Established TCP connections to ports that some socket listens on: the local port and the peer, one for each connection.
///
/// # Errors
/// If the kernel does not answer.
pub fn established_peers() -> Result<Vec<(u16, IpAddr)>, KernelError> {
    let listening: BTreeSet<u16> = listen_queues()?.into_iter().map(|queue| queue.port).collect();
    let mut found = Vec::new();
    dump(libc::IPPROTO_TCP, ESTABLISHED, |socket| {
        if listening.contains(&socket.local.1) {
            found.push((socket.local.1, socket.remote.0));
        }
    })?;
    Ok(found)
}

/// Calls `each` with all TCP sockets that have a remote side or listen, and all connected UDP sockets.
pub(in crate::kernel) fn connections(mut each: impl FnMut(&Connection)) -> Result<(), KernelError> {
    dump(libc::IPPROTO_TCP, ESTABLISHED | SYN_SENT | CLOSING | LISTEN, &mut each)?;
    dump(libc::IPPROTO_UDP, ESTABLISHED, &mut each)
}

fn dump(
    protocol: libc::c_int,
    states: u32,
    mut each: impl FnMut(&Connection),
) -> Result<(), KernelError> {
    let mut run = || -> io::Result<()> {
        let mut channel = Channel::open(libc::NETLINK_SOCK_DIAG)?;
        for family in [libc::AF_INET, libc::AF_INET6] {
            let mut request = [0; REQUEST];
            request[0] = family as u8;
            request[1] = protocol as u8;
            if states == LISTEN {
                request[2] = 1 << (SKMEMINFO - 1);
            }
            request[4..8].copy_from_slice(&states.to_ne_bytes());
            let result = channel.dump(SOCK_DIAG_BY_FAMILY, &request, |answer| {
                if let Some(socket) = parse(protocol as u8, answer) {
                    each(&socket);
                }
            });
            match result {
                // Sockets come and go while they are listed; IPv6 may be switched off.
                Err(error)
                    if error.kind() == io::ErrorKind::Interrupted
                        || error.raw_os_error() == Some(libc::ENOENT) => {}
                result => result?,
            }
        }
        Ok(())
    };
    run().map_err(|error| {
        KernelError::call("cannot list the sockets of this network namespace (sock_diag)", error)
    })
}

/// `struct inet_diag_msg` of linux/inet_diag.h: family, state, timer, retransmits, then ports and addresses in network byte order.
fn parse(protocol: u8, answer: &[u8]) -> Option<Connection> {
    let drops = drops(answer.get(ANSWER..)?).unwrap_or(0);
    let answer = &answer[..ANSWER];
    let state = match 1u32.checked_shl(u32::from(answer[1]))? {
        ESTABLISHED => State::Established,
        SYN_SENT => State::SynSent,
        LISTEN => State::Listen,
        CLOSE_WAIT => State::ClosedByPeer,
        _ => State::Closing,
    };
    let port = |at: usize| u16::from_be_bytes([answer[at], answer[at + 1]]);
    let address = |at: usize| {
        let bytes: [u8; 16] = answer[at..at + 16].try_into().ok()?;
        if i32::from(answer[0]) == libc::AF_INET {
            let [a, b, c, d, ..] = bytes;
            Some(IpAddr::V4(Ipv4Addr::new(a, b, c, d)))
        } else {
            Some(IpAddr::V6(Ipv6Addr::from(bytes)).to_canonical())
        }
    };
    Some(Connection {
        protocol,
        state,
        local: (address(8)?, port(4)),
        remote: (address(24)?, port(6)),
        received: read(&answer[56..])?,
        sendable: read(&answer[60..])?,
        cookie: read(&answer[44..])?,
        drops,
    })
}

/// `sk_drops` among the attributes behind the answer.
fn drops(mut attributes: &[u8]) -> Option<u32> {
    loop {
        let length = usize::from(read::<u16>(attributes)?);
        let kind: u16 = read(&attributes[2..])?;
        let value = attributes.get(ATTRIBUTE..length)?;
        if kind == SKMEMINFO {
            return read(value.get(4 * MEMINFO_DROPS..)?);
        }
        attributes = attributes.get(length.next_multiple_of(ATTRIBUTE)..)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, TcpStream, UdpSocket};

    #[test]
    fn a_listener_and_its_connection_are_seen() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let _client = TcpStream::connect(("127.0.0.1", port)).unwrap();
        let queues = listen_queues().unwrap();
        let queue = queues.iter().find(|queue| queue.port == port).expect("the listener is listed");
        assert_eq!((queue.address, queue.length), (IpAddr::V4(Ipv4Addr::LOCALHOST), 1));
        assert!(queue.limit >= 1);
        let _accepted = listener.accept().unwrap();
        assert_eq!(established().unwrap().get(&port), Some(&1));
        let peers = established_peers().unwrap();
        assert!(peers.contains(&(port, IpAddr::V4(Ipv4Addr::LOCALHOST))), "{peers:?}");
    }

    #[test]
    fn connected_udp_sockets_are_seen_and_mapped_addresses_are_ipv4() {
        let socket = UdpSocket::bind("[::]:0").unwrap();
        socket.connect("[::ffff:127.0.0.1]:9").unwrap();
        let port = socket.local_addr().unwrap().port();
        let mut seen = false;
        connections(|connection| {
            if connection.protocol == libc::IPPROTO_UDP as u8 && connection.local.1 == port {
                assert_eq!(connection.remote, (IpAddr::V4(Ipv4Addr::LOCALHOST), 9));
                seen = true;
            }
        })
        .unwrap();
        assert!(seen);
    }
}
