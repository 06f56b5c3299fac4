//! Where on this server a port is asked.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Addresses of one port that are asked at most; more of them hardly have certificates of their own.
const MAX_TARGETS: usize = 4;

/// The addresses to ask for a port, given the address and port of every listening socket: the socket's own, or loopback
/// where it listens on all, of IPv4 if it listens on both. At most four, each once.
pub fn targets(port: u16, listeners: impl IntoIterator<Item = (IpAddr, u16)>) -> Vec<SocketAddr> {
    let mut targets: Vec<SocketAddr> = Vec::new();
    for (address, listening) in listeners {
        let address = match address {
            IpAddr::V4(address) if address.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
            IpAddr::V6(address) if address.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
            other => other,
        };
        let target = SocketAddr::new(address, port);
        if listening == port && !targets.contains(&target) && targets.len() < MAX_TARGETS {
            targets.push(target);
        }
    }
    let four = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let six = SocketAddr::from((Ipv6Addr::LOCALHOST, port));
    if targets.contains(&four) {
        // One server on all addresses of both kinds: over IPv4 our connection is not counted as a client's.
        targets.retain(|target| *target != six);
    } else if targets.contains(&six) && targets.iter().all(SocketAddr::is_ipv6) {
        // "[::]" takes IPv4 as well, unless told otherwise, also where loopback has no IPv6.
        targets.push(four);
    }
    targets
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_socket_is_asked_where_it_listens() {
        let of = |listeners: &[&str]| -> Vec<String> {
            let listeners = listeners.iter().map(|text| text.parse::<SocketAddr>().unwrap());
            let found = targets(443, listeners.map(|listener| (listener.ip(), listener.port())));
            found.iter().map(SocketAddr::to_string).collect()
        };
        assert_eq!(
            of(&["0.0.0.0:443", "[::]:443", "0.0.0.0:443", "0.0.0.0:80"]),
            ["127.0.0.1:443"]
        );
        assert_eq!(of(&["[::]:443"]), ["[::1]:443", "127.0.0.1:443"]);
        assert_eq!(
            of(&["192.0.2.1:443", "[2001:db8::1]:443"]),
            ["192.0.2.1:443", "[2001:db8::1]:443"]
        );
        assert!(of(&["0.0.0.0:80"]).is_empty());
    }
}
