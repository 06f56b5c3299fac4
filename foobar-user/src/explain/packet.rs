//! The packet in question: what is asked for, filled in, and built with the crate `etherparse`.

use std::{fmt, net::IpAddr};

use etherparse::{IpNumber, PacketBuilder};
use serde::{Deserialize, Serialize};

use crate::{policy::protocol::Protocol, replay::endpoints::endpoint};

/// MAC addresses of the frame, locally administered: no verdict depends on them.
const ROUTER: [u8; 6] = [2, 0, 0, 0, 0, 2];
const SERVER: [u8; 6] = [2, 0, 0, 0, 0, 1];
/// A port that clients use.
const SOURCE_PORT: u16 = 50_000;
/// Identifier of an echo request.
const ECHO: u16 = 1;
const HOP_LIMIT: u8 = 64;
/// The window of a SYN, as Linux sends it.
const WINDOW: u16 = 64_240;
/// Bytes behind the IP header of protocols that are not read further.
const PAYLOAD: [u8; 32] = [0; 32];
/// Authentication header (RFC 4302): it is stepped over, like an extension header, also in IPv4.
const AUTHENTICATION: u8 = 51;

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Question {
    /// The packet's source.
    pub from: IpAddr,
    /// Its destination; an address of this server if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<IpAddr>,
    /// `tcp` (a SYN; the default), `udp`, `icmp` or `icmpv6` (an echo request), another name or a number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protocol: Option<String>,
    /// The destination port; needed for TCP and UDP, meaningless for others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
}

/// A question that no packet fits.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{problem}")]
pub struct NoSuchPacket {
    problem: String,
    /// What to do about it.
    pub help: String,
}

/// A packet that fits the question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet {
    /// Source.
    pub from: IpAddr,
    /// Destination, of the same family.
    pub to: IpAddr,
    /// Protocol of the transport header.
    pub protocol: Protocol,
    /// Destination port, 0 for protocols without ports.
    pub port: u16,
}

impl Question {
    /// The packet that is asked about; `own` are the addresses of this server.
    ///
    /// # Errors
    /// Addresses of two families, a protocol that does not go with them, no destination, no port.
    pub fn packet(&self, own: &[IpAddr]) -> Result<Packet, NoSuchPacket> {
        let fail =
            |problem: String, help: &str| Err(NoSuchPacket { problem, help: help.to_owned() });
        let from = self.from.to_canonical();
        let family = if from.is_ipv4() { "IPv4" } else { "IPv6" };
        let to = match self.to {
            Some(to) if to.is_ipv4() != from.is_ipv4() => {
                return fail(
                    format!("no packet goes from {from} to {to}"),
                    "give two IPv4 or two IPv6 addresses",
                );
            }
            Some(to) => to,
            None => match own.iter().find(|address| address.is_ipv4() == from.is_ipv4()) {
                Some(address) => *address,
                None => {
                    return fail(
                        format!("this server has no {family} address"),
                        "give the destination with --to",
                    );
                }
            },
        };
        let name = self.protocol.as_deref().unwrap_or("tcp");
        let protocol = match name.parse::<Protocol>() {
            Ok(protocol) => protocol,
            Err(error) => {
                return fail(
                    error.to_string(),
                    "give tcp, udp, icmp, icmpv6, another name of /etc/protocols or a number",
                );
            }
        };
        let echo = if from.is_ipv4() { Protocol::ICMP } else { Protocol::ICMPV6 };
        if (protocol == Protocol::ICMP || protocol == Protocol::ICMPV6) && protocol != echo {
            return fail(
                format!("{protocol} does not go with {family}"),
                &format!("use --protocol {echo}"),
            );
        }
        if protocol.is_header() && (from.is_ipv6() || protocol.0 == AUTHENTICATION) {
            return fail(
                format!(
                    "protocol {protocol} is a header before the transport header, which the filter steps over"
                ),
                "name the protocol behind it",
            );
        }
        let port = match self.port {
            Some(port) if protocol.has_ports() => port,
            None if protocol.has_ports() => {
                return fail(format!("{protocol} needs a destination port"), "give it with --port");
            }
            _ => 0,
        };
        Ok(Packet { from, to, protocol, port })
    }
}

impl Packet {
    /// The Ethernet frame: a TCP SYN, a UDP datagram, an echo request, or the protocol's number with zeros behind the IP header.
    pub fn frame(&self) -> Vec<u8> {
        let ethernet = PacketBuilder::ethernet2(ROUTER, SERVER);
        let ip = match (self.from, self.to) {
            (IpAddr::V4(from), IpAddr::V4(to)) => {
                ethernet.ipv4(from.octets(), to.octets(), HOP_LIMIT)
            }
            (IpAddr::V6(from), IpAddr::V6(to)) => {
                ethernet.ipv6(from.octets(), to.octets(), HOP_LIMIT)
            }
            (from, to) => {
                unreachable!("{from} and {to} are of one family: Question::packet sees to it")
            }
        };
        let mut frame = Vec::new();
        let built = match self.protocol {
            Protocol::TCP => {
                ip.tcp(SOURCE_PORT, self.port, 1, WINDOW).syn().write_to_vec(&mut frame, &[])
            }
            Protocol::UDP => ip.udp(SOURCE_PORT, self.port).write_to_vec(&mut frame, &[]),
            Protocol::ICMP => ip.icmpv4_echo_request(ECHO, 1).write_to_vec(&mut frame, &[]),
            Protocol::ICMPV6 => ip.icmpv6_echo_request(ECHO, 1).write_to_vec(&mut frame, &[]),
            Protocol(number) => ip.write_to_vec(&mut frame, IpNumber(number), &PAYLOAD),
        };
        // The builder refuses payloads that are too long and ICMP of the wrong family, none of which is built here.
        built.expect("headers without a payload fit a packet");
        frame
    }
}

impl fmt::Display for Packet {
    /// `tcp 5.6.7.8:50000 > 192.0.2.1:80 (SYN)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Packet { from, to, protocol, port } = *self;
        if protocol.has_ports() {
            write!(f, "{protocol} {} > {}", endpoint(from, SOURCE_PORT), endpoint(to, port))?;
        } else {
            write!(f, "{protocol} {from} > {to}")?;
        }
        match protocol {
            Protocol::TCP => f.write_str(" (SYN)"),
            Protocol::ICMP | Protocol::ICMPV6 => f.write_str(" (echo request)"),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use etherparse::{Icmpv4Type, Icmpv6Type, NetSlice, SlicedPacket, TransportSlice};

    fn question(from: &str, protocol: Option<&str>, port: Option<u16>) -> Question {
        Question {
            from: from.parse().unwrap(),
            to: None,
            protocol: protocol.map(str::to_owned),
            port,
        }
    }

    fn own() -> Vec<IpAddr> {
        vec![
            "192.0.2.1".parse().unwrap(),
            "192.0.2.2".parse().unwrap(),
            "2001:db8::1".parse().unwrap(),
        ]
    }

    /// The frame of a question as an independent reader sees it: addresses, protocol, and what `transport` sees.
    fn seen<T>(
        question: &Question,
        transport: impl FnOnce(&SlicedPacket<'_>) -> T,
    ) -> (IpAddr, IpAddr, u8, T) {
        let frame = question.packet(&own()).unwrap().frame();
        let packet =
            SlicedPacket::from_ethernet(&frame).expect("every length and checksum field fits");
        let (from, to): (IpAddr, IpAddr) = match packet.net.as_ref().unwrap() {
            NetSlice::Ipv4(ip) => {
                (ip.header().source_addr().into(), ip.header().destination_addr().into())
            }
            NetSlice::Ipv6(ip) => {
                (ip.header().source_addr().into(), ip.header().destination_addr().into())
            }
            NetSlice::Arp(_) => panic!("arp"),
        };
        let protocol = packet.ip_payload().unwrap().ip_number.0;
        (from, to, protocol, transport(&packet))
    }

    #[test]
    fn tcp_is_a_syn() {
        for from in ["5.6.7.8", "2001:db8:77::9"] {
            let (source, to, protocol, flags) =
                seen(&question(from, None, Some(443)), |packet| match &packet.transport {
                    Some(TransportSlice::Tcp(tcp)) => {
                        (tcp.syn(), tcp.ack(), tcp.rst(), tcp.destination_port())
                    }
                    other => panic!("{other:?}"),
                });
            assert_eq!(
                (source.to_string().as_str(), protocol, flags),
                (from, 6, (true, false, false, 443))
            );
            assert_eq!(
                to,
                if source.is_ipv4() { own()[0] } else { own()[2] },
                "the first own address of the family"
            );
        }
    }

    #[test]
    fn udp_icmp_and_others() {
        let (.., port) =
            seen(&question("5.6.7.8", Some("udp"), Some(53)), |packet| match &packet.transport {
                Some(TransportSlice::Udp(udp)) => udp.destination_port(),
                other => panic!("{other:?}"),
            });
        assert_eq!(port, 53);
        seen(&question("5.6.7.8", Some("icmp"), None), |packet| match &packet.transport {
            Some(TransportSlice::Icmpv4(icmp)) => {
                assert!(matches!(icmp.icmp_type(), Icmpv4Type::EchoRequest(_)));
            }
            other => panic!("{other:?}"),
        });
        seen(&question("2001:db8::9", Some("icmpv6"), Some(9)), |packet| match &packet.transport {
            Some(TransportSlice::Icmpv6(icmp)) => {
                assert!(matches!(icmp.icmp_type(), Icmpv6Type::EchoRequest(_)));
            }
            other => panic!("{other:?}"),
        });
        for from in ["5.6.7.8", "2001:db8::9"] {
            for (name, number) in
                [("gre", 47), ("esp", 50), ("132", 132), ("ipip", 4), ("255", 255)]
            {
                let (.., protocol, ()) = seen(&question(from, Some(name), None), |_| ());
                assert_eq!(protocol, number, "{name}");
            }
        }
    }

    #[test]
    fn every_protocol_number_makes_a_frame_or_an_error() {
        for from in ["5.6.7.8", "2001:db8::9"] {
            for number in 0..=255_u8 {
                if let Ok(packet) =
                    question(from, Some(&number.to_string()), Some(1)).packet(&own())
                {
                    assert!(packet.frame().len() > 34, "{packet}");
                }
            }
        }
    }

    #[test]
    fn what_no_packet_fits_is_refused_with_a_remedy() {
        let refused = |question: Question, own: &[IpAddr]| {
            let error = question.packet(own).unwrap_err();
            format!("{error}; {}", error.help)
        };
        let to =
            Question { to: Some("::1".parse().unwrap()), ..question("5.6.7.8", None, Some(1)) };
        assert_eq!(
            refused(to, &own()),
            "no packet goes from 5.6.7.8 to ::1; give two IPv4 or two IPv6 addresses"
        );
        assert_eq!(
            refused(question("::9", None, Some(1)), &own()[..2]),
            "this server has no IPv6 address; give the destination with --to"
        );
        assert_eq!(
            refused(question("5.6.7.8", None, None), &own()),
            "tcp needs a destination port; give it with --port"
        );
        assert_eq!(
            refused(question("5.6.7.8", Some("icmpv6"), None), &own()),
            "icmpv6 does not go with IPv4; use --protocol icmp"
        );
        assert!(
            refused(question("5.6.7.8", Some("tpc"), Some(1)), &own())
                .starts_with("unknown protocol \"tpc\"; ")
        );
        assert!(
            refused(question("::9", Some("44"), None), &own())
                .ends_with("name the protocol behind it")
        );
        assert!(
            refused(question("5.6.7.8", Some("51"), None), &own())
                .ends_with("name the protocol behind it")
        );
    }

    #[test]
    fn packets_are_told_in_a_few_words() {
        let told = |from: &str, protocol, port| {
            question(from, protocol, port).packet(&own()).unwrap().to_string()
        };
        assert_eq!(told("5.6.7.8", None, Some(80)), "tcp 5.6.7.8:50000 > 192.0.2.1:80 (SYN)");
        assert_eq!(
            told("2001:db8::9", Some("icmpv6"), None),
            "icmpv6 2001:db8::9 > 2001:db8::1 (echo request)"
        );
        assert_eq!(told("5.6.7.8", Some("gre"), None), "gre 5.6.7.8 > 192.0.2.1");
    }
}
