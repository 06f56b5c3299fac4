//! Which frames the server sent itself: they run through the egress program, so that replies to them are known.

use std::{collections::BTreeSet, fmt, net::IpAddr, str::FromStr};

use super::capture::Frame;
use super::endpoints::source;
use crate::kernel::Direction;

/// One of the server's own addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Address {
    /// Of an interface.
    Mac([u8; 6]),
    /// IPv4 or IPv6.
    Ip(IpAddr),
}

/// A text that is no address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "it is neither an IP address such as 192.0.2.1 nor a MAC address such as 02:00:00:00:00:01"
)]
pub struct NotAnAddress;

impl FromStr for Address {
    type Err = NotAnAddress;

    fn from_str(text: &str) -> Result<Self, NotAnAddress> {
        if let Ok(address) = text.parse() {
            return Ok(Address::Ip(address));
        }
        let parts: Vec<_> = text.split([':', '-']).collect();
        let byte = |part: &&str| {
            let is_byte = part.len() == 2 && part.bytes().all(|digit| digit.is_ascii_hexdigit());
            if is_byte { u8::from_str_radix(part, 16).ok() } else { None }
        };
        let bytes: Vec<u8> = parts.iter().map(byte).collect::<Option<_>>().ok_or(NotAnAddress)?;
        bytes.try_into().map(Address::Mac).map_err(|_| NotAnAddress)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Ip(address) => address.fmt(f),
            Address::Mac([a, b, c, d, e, g]) => {
                write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
            }
        }
    }
}

/// The server's own addresses.
#[derive(Clone, Debug, Default)]
pub struct Local {
    macs: BTreeSet<[u8; 6]>,
    addresses: BTreeSet<IpAddr>,
}

impl Local {
    /// All of a server's addresses.
    pub fn new(addresses: impl IntoIterator<Item = Address>) -> Self {
        let mut local = Local::default();
        for address in addresses {
            match address {
                Address::Mac(mac) => local.macs.insert(mac),
                Address::Ip(address) => local.addresses.insert(address),
            };
        }
        local
    }

    /// None is known, so every frame counts as one that arrives.
    pub fn is_empty(&self) -> bool {
        self.macs.is_empty() && self.addresses.is_empty()
    }

    /// The IP addresses, which no packet from outside may have as its source.
    pub fn addresses(&self) -> Vec<IpAddr> {
        self.addresses.iter().copied().collect()
    }

    /// The way of a frame: out if the server sent it, by its source MAC address where one is known of the server and of the
    /// frame, else by its source IP address.
    pub fn direction(&self, frame: &Frame) -> Direction {
        let is_own = match frame.source_mac {
            Some(mac) if !self.macs.is_empty() => self.macs.contains(&mac),
            _ => {
                !self.addresses.is_empty()
                    && source(&frame.bytes).is_some_and(|source| self.addresses.contains(&source))
            }
        };
        if is_own { Direction::Egress } else { Direction::Ingress }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use etherparse::PacketBuilder;

    const SERVER: [u8; 6] = [2, 0, 0, 0, 0, 1];
    const ROUTER: [u8; 6] = [2, 0, 0, 0, 0, 2];

    fn frame(from: [u8; 6], source: [u8; 4]) -> Frame {
        let mut bytes = Vec::new();
        let packet = PacketBuilder::ethernet2(from, ROUTER)
            .single_vlan(5.try_into().unwrap())
            .ipv4(source, [9, 9, 9, 9], 64);
        packet.udp(1, 2).write_to_vec(&mut bytes, &[]).unwrap();
        Frame { index: 0, time_ns: 0, source_mac: Some(from), bytes, truncated: false }
    }

    fn local(addresses: &[&str]) -> Local {
        Local::new(addresses.iter().map(|address| address.parse::<Address>().unwrap()))
    }

    #[test]
    fn a_mac_address_decides_where_one_is_given() {
        let by_mac = local(&["02:00:00:00:00:01", "192.0.2.1"]);
        assert_eq!(by_mac.direction(&frame(SERVER, [5, 6, 7, 8])), Direction::Egress);
        // Somebody else's frame with the server's address is no frame of the server.
        assert_eq!(by_mac.direction(&frame(ROUTER, [192, 0, 2, 1])), Direction::Ingress);
        let bare = Frame { source_mac: None, ..frame(ROUTER, [192, 0, 2, 1]) };
        assert_eq!(by_mac.direction(&bare), Direction::Egress, "the capture has no MAC addresses");
    }

    #[test]
    fn else_the_ip_address_decides() {
        let by_ip = local(&["192.0.2.1", "2001:db8::1"]);
        assert_eq!(by_ip.direction(&frame(ROUTER, [192, 0, 2, 1])), Direction::Egress);
        assert_eq!(by_ip.direction(&frame(SERVER, [192, 0, 2, 2])), Direction::Ingress);
        assert_eq!(by_ip.addresses().len(), 2);
        let mut bytes = Vec::new();
        let packet = PacketBuilder::ethernet2(ROUTER, SERVER).ipv6(
            "2001:db8::1".parse::<std::net::Ipv6Addr>().unwrap().octets(),
            [1; 16],
            64,
        );
        packet.tcp(443, 5, 1, 1).write_to_vec(&mut bytes, &[]).unwrap();
        assert_eq!(by_ip.direction(&Frame { bytes, ..frame(ROUTER, [0; 4]) }), Direction::Egress);
    }

    #[test]
    fn without_any_all_frames_arrive() {
        assert!(local(&[]).is_empty() && !local(&["::1"]).is_empty());
        assert_eq!(local(&[]).direction(&frame(SERVER, [192, 0, 2, 1])), Direction::Ingress);
    }

    #[test]
    fn addresses_are_read_and_printed_alike() {
        for text in ["192.0.2.1", "2001:db8::1", "02:00:5e:10:00:ff"] {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), text);
        }
        assert_eq!("02-00-5E-10-00-FF".parse(), Ok(Address::Mac([2, 0, 0x5e, 0x10, 0, 0xff])));
        for text in [
            "",
            "eth0",
            "02:00:5e:10:00",
            "02:00:5e:10:00:ff:00",
            "2:0:5e:10:0:ff",
            "+2:00:5e:10:00:ff",
            "192.0.2.0/24",
        ] {
            assert_eq!(text.parse::<Address>(), Err(NotAnAddress), "{text}");
        }
    }
}
