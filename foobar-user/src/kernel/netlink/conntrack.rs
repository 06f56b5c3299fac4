//! Connections that others open through this host's address translation (nf_conntrack by ctnetlink): containers behind
//! masquerading. They are in no socket table of this network namespace.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use super::{
    sockets::{Connection, State},
    wire::{Channel, attribute},
};
use crate::kernel::{error::KernelError, sys::plain::read};

/// linux/netfilter/nfnetlink.h: subsystem and message in one; linux/netfilter/nfnetlink_conntrack.h: IPCTNL_MSG_CT_GET.
const CONNTRACK_GET: u16 = 1 << 8 | 1;
/// `struct nfgenmsg`: family, version, resource.
const HEADER: usize = 4;

// Attributes (linux/netfilter/nfnetlink_conntrack.h).
const TUPLE_ORIGINAL: u16 = 1;
const TUPLE_REPLY: u16 = 2;
const TUPLE_IP: u16 = 1;
const TUPLE_PROTOCOL: u16 = 2;
const IPV4_SOURCE: u16 = 1;
const IPV4_DESTINATION: u16 = 2;
const IPV6_SOURCE: u16 = 3;
const IPV6_DESTINATION: u16 = 4;
const PROTOCOL_NUMBER: u16 = 1;
const SOURCE_PORT: u16 = 2;
const DESTINATION_PORT: u16 = 3;

/// One direction of a tracked connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Tuple {
    protocol: u8,
    source: (IpAddr, u16),
    destination: (IpAddr, u16),
}

/// Connections whose source this host translates, as they look on the wire: local is the translated side. None where the
/// kernel tracks no connections.
pub(in crate::kernel) fn translated() -> Result<Vec<Connection>, KernelError> {
    let mut found = Vec::new();
    let mut run = || -> io::Result<()> {
        let mut channel = Channel::open(libc::NETLINK_NETFILTER)?;
        channel.dump(CONNTRACK_GET, &[libc::AF_UNSPEC as u8, 0, 0, 0], |body| {
            found.extend(body.get(HEADER..).and_then(connection));
        })
    };
    match run() {
        // Connections come and go while they are listed.
        Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(found),
        // No nfnetlink, or nf_conntrack is not loaded: nothing is translated.
        Err(error)
            if matches!(
                error.raw_os_error(),
                Some(libc::EPROTONOSUPPORT | libc::EINVAL | libc::EOPNOTSUPP | libc::ENOENT)
            ) =>
        {
            Ok(Vec::new())
        }
        Err(error) => Err(KernelError::call(
            "cannot list the connections that this host translates (ctnetlink)",
            error,
        )),
        Ok(()) => Ok(found),
    }
}

/// A connection whose source is translated.
fn connection(attributes: &[u8]) -> Option<Connection> {
    let original = tuple(attribute(attributes, TUPLE_ORIGINAL)?)?;
    let reply = tuple(attribute(attributes, TUPLE_REPLY)?)?;
    // The answer goes to another address than the one that asked: that one is this host's.
    let is_translated = original.source.0 != reply.destination.0;
    let has_ports = matches!(i32::from(reply.protocol), libc::IPPROTO_TCP | libc::IPPROTO_UDP);
    (is_translated && has_ports).then(|| {
        Connection::open(reply.protocol, State::Established, reply.destination, reply.source)
    })
}

fn tuple(attributes: &[u8]) -> Option<Tuple> {
    let addresses = attribute(attributes, TUPLE_IP)?;
    let ports = attribute(attributes, TUPLE_PROTOCOL)?;
    let address = |v4, v6| {
        let v4 = attribute(addresses, v4).and_then(|octets| <[u8; 4]>::try_from(octets).ok());
        let v6 = attribute(addresses, v6).and_then(|octets| <[u8; 16]>::try_from(octets).ok());
        v4.map(|octets| Ipv4Addr::from(octets).into())
            .or_else(|| v6.map(|octets| IpAddr::from(Ipv6Addr::from(octets))))
    };
    let port = |kind| attribute(ports, kind).and_then(read::<u16>).map(u16::from_be);
    Some(Tuple {
        protocol: attribute(ports, PROTOCOL_NUMBER).and_then(read::<u8>)?,
        source: (address(IPV4_SOURCE, IPV6_SOURCE)?, port(SOURCE_PORT)?),
        destination: (address(IPV4_DESTINATION, IPV6_DESTINATION)?, port(DESTINATION_PORT)?),
    })
}

#[cfg(test)]
mod tests {
    use super::super::wire::push_attribute;
    use super::*;

    fn side(
        source: [u8; 4],
        source_port: u16,
        destination: [u8; 4],
        destination_port: u16,
    ) -> Vec<u8> {
        let mut addresses = Vec::new();
        push_attribute(&mut addresses, IPV4_SOURCE, &source);
        push_attribute(&mut addresses, IPV4_DESTINATION, &destination);
        let mut ports = Vec::new();
        push_attribute(&mut ports, PROTOCOL_NUMBER, &[6]);
        push_attribute(&mut ports, SOURCE_PORT, &source_port.to_be_bytes());
        push_attribute(&mut ports, DESTINATION_PORT, &destination_port.to_be_bytes());
        let mut side = Vec::new();
        push_attribute(&mut side, TUPLE_IP, &addresses);
        push_attribute(&mut side, TUPLE_PROTOCOL, &ports);
        side
    }

    fn entry(original: &[u8], reply: &[u8]) -> Option<Connection> {
        let mut attributes = Vec::new();
        push_attribute(&mut attributes, TUPLE_ORIGINAL, original);
        push_attribute(&mut attributes, TUPLE_REPLY, reply);
        connection(&attributes)
    }

    #[test]
    fn only_translated_sources_count() {
        let (container, host, peer) = ([172, 17, 0, 2], [192, 0, 2, 1], [198, 51, 100, 7]);
        let masqueraded =
            entry(&side(container, 40000, peer, 443), &side(peer, 443, host, 50000)).unwrap();
        assert_eq!(masqueraded.local, ("192.0.2.1".parse().unwrap(), 50000));
        assert_eq!(masqueraded.remote, ("198.51.100.7".parse().unwrap(), 443));

        let published = entry(&side(peer, 40000, host, 8080), &side(container, 80, peer, 40000));
        assert!(published.is_none(), "opened by the outside to a published port");
        let own = entry(&side(host, 40000, peer, 443), &side(peer, 443, host, 40000));
        assert!(own.is_none(), "this host's own: the socket table has it");
    }
}
