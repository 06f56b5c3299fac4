//! Connections that are open already: loading the filter, or beginning to enforce, must cut none of the server's own.

use std::{collections::HashSet, io, net::IpAddr, os::fd::BorrowedFd};

use foobar_common::{
    flow::{
        FLOW_CLOSED_BY_PEER, FLOW_CLOSING, FLOW_ESTABLISHED, FLOW_FOREIGN, FLOW_OPENING, Flow,
        FlowKey4, FlowKey6, TICK_SHIFT,
    },
    tables::{PORT_SERVED, PORTS_TCP, PORTS_UDP, PortEntry, USED_PORTS_LEN, position_of_port},
};

use super::{
    clock,
    error::KernelError,
    netlink::{self, Connection, State},
    store::Store,
    sys::{map, memory::Region},
};

const TCP: u8 = libc::IPPROTO_TCP as u8;
/// Seconds by which our idea of the kernel's ticks may be ahead of them: they start to count a little after the clock does. A flow
/// from the future would count as too old.
const MARGIN: u64 = 5;

/// The tables that flows are written into.
pub(super) struct Flows<'a> {
    v4: BorrowedFd<'a>,
    v6: BorrowedFd<'a>,
    /// When each local port was last used, in the order of the port table.
    used_ports: Region,
    now: u32,
}

impl<'a> Flows<'a> {
    /// `map` finds a map by its name.
    pub fn open(
        map: impl Fn(&'static str) -> Result<BorrowedFd<'a>, KernelError>,
    ) -> Result<Self, KernelError> {
        let used_ports =
            Region::map(map("USED_PORTS")?, 0, USED_PORTS_LEN as usize * size_of::<u32>())
                .map_err(failed)?;
        let hz = clock::hz();
        let jiffies = clock::jiffies(hz) - MARGIN * hz;
        Ok(Flows {
            v4: map("FLOWS4")?,
            v6: map("FLOWS6")?,
            used_ports,
            now: (jiffies >> TICK_SHIFT) as u32 | 1,
        })
    }

    /// Those of the store.
    pub fn of_store(store: &'a Store) -> Result<Self, KernelError> {
        Flows::open(|name| store.map(name))
    }

    /// Enters the connections of this network namespace under an epoch: those that the server opened, so that their replies come
    /// in (those of containers behind its address translation among them), and those that others opened to ports which no rule serves, so that they do not become the server's own by what it
    /// answers. Ports that rules serve need no memory.
    pub fn learn(&self, ports: &[PortEntry], epoch: u32) -> Result<usize, KernelError> {
        let listened: HashSet<u16> =
            netlink::listen_queues()?.into_iter().map(|queue| queue.port).collect();
        let mut result = Ok(0);
        let mut learn = |connection: &Connection, listened: &HashSet<u16>| {
            let Some(state) = state(connection, listened, ports) else { return };
            let outcome =
                self.enter(connection, Flow { last_seen: self.now, epoch: epoch as u16, state });
            match (&mut result, outcome) {
                (Ok(count), Ok(())) => *count += 1,
                (Ok(_), Err(error)) => result = Err(error),
                (Err(_), _) => {}
            }
        };
        netlink::connections(|connection| learn(connection, &listened))?;
        // Whoever listens on this host does not listen on ports that translation took.
        let nobody = HashSet::new();
        netlink::translated()?.iter().for_each(|connection| learn(connection, &nobody));
        result.map_err(failed)
    }

    fn enter(&self, connection: &Connection, flow: Flow) -> io::Result<()> {
        let protocol = u32::from(connection.protocol);
        let (local_port, remote_port) = (connection.local.1.to_be(), connection.remote.1.to_be());
        match (connection.local.0, connection.remote.0) {
            (IpAddr::V4(local), IpAddr::V4(remote)) => {
                let (local, remote) =
                    (u32::from_ne_bytes(local.octets()), u32::from_ne_bytes(remote.octets()));
                map::update(
                    self.v4,
                    &FlowKey4 { local, remote, local_port, remote_port, protocol },
                    &flow,
                )?;
            }
            (IpAddr::V6(local), IpAddr::V6(remote)) => {
                let (local, remote) = (words(local.octets()), words(remote.octets()));
                map::update(
                    self.v6,
                    &FlowKey6 { local, remote, local_port, remote_port, protocol },
                    &flow,
                )?;
            }
            _ => return Ok(()),
        }
        if flow.state != FLOW_FOREIGN {
            let first = if connection.protocol == TCP { PORTS_TCP } else { PORTS_UDP };
            let position = position_of_port(first, local_port) as usize;
            self.used_ports
                .word(position * size_of::<u32>())
                .store(self.now, std::sync::atomic::Ordering::Relaxed);
        }
        Ok(())
    }
}

/// What to remember of a connection, if anything.
fn state(connection: &Connection, listened: &HashSet<u16>, ports: &[PortEntry]) -> Option<u16> {
    if connection.state == State::Listen || connection.local.0.is_loopback() {
        return None;
    }
    let port = connection.local.1;
    let tcp = connection.protocol == TCP;
    let index = if tcp { PORTS_TCP } else { PORTS_UDP } + u32::from(port);
    if ports.get(index as usize).is_some_and(|entry| entry.flags & PORT_SERVED != 0) {
        return None;
    }
    Some(match connection.state {
        _ if tcp && listened.contains(&port) => FLOW_FOREIGN,
        State::SynSent => FLOW_OPENING,
        State::Closing => FLOW_CLOSING,
        State::ClosedByPeer => FLOW_CLOSED_BY_PEER,
        _ => FLOW_ESTABLISHED,
    })
}

/// Network byte order stays as it is: the words are compared, not counted with.
fn words(octets: [u8; 16]) -> [u32; 4] {
    let mut words = [0; 4];
    for (word, bytes) in words.iter_mut().zip(octets.as_chunks().0) {
        *word = u32::from_ne_bytes(*bytes);
    }
    words
}

fn failed(error: io::Error) -> KernelError {
    KernelError::call("cannot enter the open connections into the table of flows", error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use foobar_common::tables::PORTS_LEN;

    fn connection(protocol: u8, state: State, port: u16) -> Connection {
        Connection::open(
            protocol,
            state,
            ("192.0.2.1".parse().unwrap(), port),
            ("198.51.100.7".parse().unwrap(), 443),
        )
    }

    #[test]
    fn only_what_no_rule_serves_is_remembered_and_others_connections_are_marked() {
        let mut ports = vec![PortEntry::default(); PORTS_LEN as usize];
        ports[(PORTS_TCP + 80) as usize].flags = PORT_SERVED;
        let listened = HashSet::from([80, 22]);
        for (name, connection, expected) in [
            ("own", connection(TCP, State::Established, 40000), Some(FLOW_ESTABLISHED)),
            ("own, opening", connection(TCP, State::SynSent, 40000), Some(FLOW_OPENING)),
            ("own, closing", connection(TCP, State::Closing, 40000), Some(FLOW_CLOSING)),
            ("served", connection(TCP, State::Established, 80), None),
            ("accepted, not served", connection(TCP, State::Established, 22), Some(FLOW_FOREIGN)),
            (
                "UDP has no listeners",
                connection(17, State::Established, 22),
                Some(FLOW_ESTABLISHED),
            ),
            ("listener", connection(TCP, State::Listen, 22), None),
        ] {
            assert_eq!(state(&connection, &listened, &ports), expected, "{name}");
        }
    }
}
