//! IP protocols and ports as rules name them.

use std::{fmt, str::FromStr};

use foobar_common::counters::Transport;
use serde::{Serialize, Serializer};

/// An IP protocol number (IANA "Protocol Numbers").
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Protocol(pub u8);

/// Names that a rule may use instead of the number, after /etc/protocols.
const NAMES: [(&str, Protocol); 13] = [
    ("tcp", Protocol::TCP),
    ("udp", Protocol::UDP),
    ("icmp", Protocol::ICMP),
    ("icmpv6", Protocol::ICMPV6),
    ("gre", Protocol(47)),
    ("esp", Protocol(50)),
    ("ah", Protocol(51)),
    ("sctp", Protocol(132)),
    ("ipip", Protocol(4)),
    ("6in4", Protocol(41)),
    ("igmp", Protocol(2)),
    ("vrrp", Protocol(112)),
    ("ospf", Protocol(89)),
];

impl Protocol {
    /// ICMP (RFC 792).
    pub const ICMP: Protocol = Protocol(1);
    /// TCP (RFC 9293).
    pub const TCP: Protocol = Protocol(6);
    /// UDP (RFC 768).
    pub const UDP: Protocol = Protocol(17);
    /// ICMPv6 (RFC 4443).
    pub const ICMPV6: Protocol = Protocol(58);

    /// Whether rules name ports with it.
    pub fn has_ports(self) -> bool {
        matches!(self, Protocol::TCP | Protocol::UDP)
    }

    /// Whether it is a header that is looked behind and so never the protocol of a packet: an IPv6 extension header
    /// (RFC 8200), or the authentication header (RFC 4302).
    pub fn is_header(self) -> bool {
        matches!(self.0, 0 | 43 | 44 | 51 | 60)
    }

    /// What counters call it.
    pub fn transport(self) -> Transport {
        match self {
            Protocol::TCP => Transport::Tcp,
            Protocol::UDP => Transport::Udp,
            Protocol::ICMP | Protocol::ICMPV6 => Transport::Icmp,
            _ => Transport::Other,
        }
    }

    /// The names that rules may use, numbers aside.
    pub fn names() -> impl Iterator<Item = &'static str> {
        NAMES.iter().filter(|(_, protocol)| !protocol.is_header()).map(|(name, _)| *name)
    }
}

/// A text that names no protocol.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown protocol \"{0}\"")]
pub struct UnknownProtocol(pub String);

impl FromStr for Protocol {
    type Err = UnknownProtocol;

    /// A name, or a number from 0 to 255.
    fn from_str(text: &str) -> Result<Self, UnknownProtocol> {
        match NAMES.iter().find(|(name, _)| *name == text) {
            Some((_, protocol)) => Ok(*protocol),
            None => text.parse().map(Protocol).map_err(|_| UnknownProtocol(text.to_owned())),
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match NAMES.iter().find(|(_, protocol)| protocol == self) {
            Some((name, _)) => f.write_str(name),
            None => write!(f, "{}", self.0),
        }
    }
}

impl Serialize for Protocol {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Ports from `first` to `last`, both included; `first` is never 0 and never above `last`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PortRange {
    /// Lowest port.
    pub first: u16,
    /// Highest port.
    pub last: u16,
}

impl PortRange {
    /// One port alone.
    pub const fn single(port: u16) -> Self {
        PortRange { first: port, last: port }
    }

    /// Whether the port is in it.
    pub fn contains(self, port: u16) -> bool {
        (self.first..=self.last).contains(&port)
    }

    /// Number of ports in it: 1 to 65535.
    pub fn count(self) -> u32 {
        u32::from(self.last) - u32::from(self.first) + 1
    }
}

impl fmt::Display for PortRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.first == self.last {
            write!(f, "{}", self.first)
        } else {
            write!(f, "{}-{}", self.first, self.last)
        }
    }
}

impl Serialize for PortRange {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_are_read_and_printed_alike() {
        for name in Protocol::names() {
            assert_eq!(name.parse::<Protocol>().unwrap().to_string(), name);
        }
        assert_eq!("47".parse(), Ok(Protocol(47)));
        assert_eq!(Protocol(200).to_string().parse(), Ok(Protocol(200)));
        assert!("256".parse::<Protocol>().is_err());
        assert!("TCP".parse::<Protocol>().is_err());
    }
}
