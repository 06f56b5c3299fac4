//! Who talks to whom in a frame, for people: read leniently, and never the ground of a verdict.

use std::{fmt, net::IpAddr};

use etherparse::{LaxNetSlice, LaxSlicedPacket, TransportSlice};

use crate::policy::protocol::Protocol;

/// The source IP address of a frame.
pub fn source(frame: &[u8]) -> Option<IpAddr> {
    addresses(LaxSlicedPacket::from_ethernet(frame).ok()?.net.as_ref()?).map(|(source, _)| source)
}

/// What a frame is, in a few words: `tcp 5.6.7.8:51000 > 192.0.2.1:80`.
pub struct Endpoints<'f>(pub &'f [u8]);

impl fmt::Display for Endpoints<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Ok(packet) = LaxSlicedPacket::from_ethernet(self.0) else {
            return f.write_str("no Ethernet frame");
        };
        let Some((source, destination)) = packet.net.as_ref().and_then(addresses) else {
            return match packet.net {
                Some(LaxNetSlice::Arp(_)) => f.write_str("arp"),
                _ => match packet.ether_payload() {
                    Some(payload) => write!(f, "ethertype {:#06x}", payload.ether_type.0),
                    None => f.write_str("no IP packet"),
                },
            };
        };
        if let Some(payload) = packet.ip_payload() {
            write!(f, "{} ", Protocol(payload.ip_number.0))?;
        }
        let (from, to) = match &packet.transport {
            Some(TransportSlice::Tcp(tcp)) => (tcp.source_port(), tcp.destination_port()),
            Some(TransportSlice::Udp(udp)) => (udp.source_port(), udp.destination_port()),
            _ => return write!(f, "{source} > {destination}"),
        };
        write!(f, "{} > {}", endpoint(source, from), endpoint(destination, to))
    }
}

/// An address with its port, as in `192.0.2.1:22` or `[2001:db8::1]:22`.
pub fn endpoint(address: IpAddr, port: u16) -> String {
    std::net::SocketAddr::new(address, port).to_string()
}

fn addresses(net: &LaxNetSlice<'_>) -> Option<(IpAddr, IpAddr)> {
    match net {
        LaxNetSlice::Ipv4(ip) => {
            Some((ip.header().source_addr().into(), ip.header().destination_addr().into()))
        }
        LaxNetSlice::Ipv6(ip) => {
            Some((ip.header().source_addr().into(), ip.header().destination_addr().into()))
        }
        LaxNetSlice::Arp(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use etherparse::{IpNumber, PacketBuilder};

    fn told(build: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut frame = Vec::new();
        build(&mut frame);
        Endpoints(&frame).to_string()
    }

    #[test]
    fn frames_are_told_in_a_few_words() {
        let ethernet = || PacketBuilder::ethernet2([2; 6], [4; 6]);
        let v4 = || ethernet().ipv4([5, 6, 7, 8], [192, 0, 2, 1], 64);
        let tcp = told(|frame| v4().tcp(51000, 80, 1, 1).write_to_vec(frame, &[]).unwrap());
        assert_eq!(tcp, "tcp 5.6.7.8:51000 > 192.0.2.1:80");
        let udp = told(|frame| {
            ethernet()
                .ipv6([0xfe; 16], [1; 16], 64)
                .udp(53, 5353)
                .write_to_vec(frame, &[])
                .unwrap();
        });
        assert_eq!(
            udp,
            format!(
                "udp [{0}]:53 > [{1}]:5353",
                std::net::Ipv6Addr::from([0xfe; 16]),
                std::net::Ipv6Addr::from([1; 16])
            )
        );
        let gre = told(|frame| v4().write_to_vec(frame, IpNumber::GRE, &[0; 8]).unwrap());
        assert_eq!(gre, "gre 5.6.7.8 > 192.0.2.1");
        let lldp = told(|frame| {
            frame.extend([0x01, 0x80, 0xc2, 0, 0, 14, 2, 0, 0, 0, 0, 1, 0x88, 0xcc, 0, 0]);
        });
        assert_eq!(lldp, "ethertype 0x88cc");
        assert_eq!(told(|frame| frame.extend([1, 2, 3])), "no Ethernet frame");
    }
}
