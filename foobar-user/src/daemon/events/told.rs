//! From the kernel's event to one that people can read.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use foobar_common::event::{ADDRESS_BYTES, PacketEvent};
use nix::time::{ClockId, clock_gettime};

use crate::{
    control::watch::Event,
    kernel::{self, Direction},
    policy::{Labels, protocol::Protocol},
};

/// TCP flags from the lowest bit on (RFC 9293, section 3.1).
const FLAGS: [&str; 8] = ["FIN", "SYN", "RST", "PSH", "ACK", "URG", "ECE", "CWR"];

/// Interfaces by their number.
#[derive(Debug, Default)]
pub struct Names(HashMap<u32, String>);

impl Names {
    /// The event in words; `None` if its counter stands for nothing yet.
    pub fn event(&mut self, packet: &PacketEvent, labels: &Labels) -> Option<Event> {
        let meaning = labels.describe(packet.counter)?;
        let is_ip = packet.ip_version != 0;
        let protocol = Protocol(packet.protocol);
        let port =
            |port: u16| (is_ip && protocol.has_ports() && port != 0).then(|| u16::from_be(port));
        let direction = if packet.direction == 0 { Direction::Ingress } else { Direction::Egress };
        Some(Event {
            time: wall_clock(packet.time_ns),
            interface: self.interface(packet.interface),
            direction: direction.name().to_owned(),
            verdict: meaning.verdict.name().to_owned(),
            reason: meaning.reason.name().to_owned(),
            rule: meaning.rule.map(str::to_owned),
            audited: packet.audited != 0,
            protocol: is_ip.then(|| protocol.to_string()),
            source: address(packet.ip_version, &packet.source),
            source_port: port(packet.source_port),
            destination: address(packet.ip_version, &packet.destination),
            destination_port: port(packet.destination_port),
            tcp_flags: (is_ip && protocol == Protocol::TCP).then(|| flags(packet.tcp_flags)),
            length: packet.length,
            generation: packet.generation,
            counted_port: meaning.port,
        })
    }

    fn interface(&mut self, index: u32) -> String {
        if !self.0.contains_key(&index) {
            // The number of an interface that is gone stays a number.
            self.0 = kernel::interfaces()
                .map(|found| {
                    found.into_iter().map(|interface| (interface.index, interface.name)).collect()
                })
                .unwrap_or_default();
            self.0.entry(index).or_insert_with(|| index.to_string());
        }
        self.0[&index].clone()
    }
}

fn address(version: u8, bytes: &[u8; ADDRESS_BYTES]) -> Option<String> {
    let [a, b, c, d, ..] = *bytes;
    let address = match version {
        4 => IpAddr::from(Ipv4Addr::new(a, b, c, d)),
        6 => IpAddr::from(Ipv6Addr::from(*bytes)),
        _ => return None,
    };
    Some(address.to_string())
}

fn flags(bits: u8) -> String {
    let set: Vec<_> = FLAGS
        .iter()
        .enumerate()
        .filter(|(bit, _)| bits >> bit & 1 != 0)
        .map(|(_, name)| *name)
        .collect();
    set.join(" ")
}

/// Seconds since 1970, to the millisecond, of a moment on the monotonic clock.
pub fn wall_clock(monotonic_ns: u64) -> f64 {
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC).map(Duration::from).unwrap_or_default();
    let age = now.saturating_sub(Duration::from_nanos(monotonic_ns));
    let moment = SystemTime::now().checked_sub(age).unwrap_or(UNIX_EPOCH);
    let since = moment.duration_since(UNIX_EPOCH).unwrap_or_default();
    (since.as_secs_f64() * 1000.0).round() / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use foobar_common::{
        counters::{Transport, fixed},
        reason::Reason,
    };

    fn packet(reason: Reason, transport: Transport) -> PacketEvent {
        PacketEvent {
            counter: fixed(reason, transport),
            interface: u32::MAX,
            length: 74,
            generation: 7,
            ..PacketEvent::default()
        }
    }

    #[test]
    fn a_segment_is_told_with_addresses_ports_and_flags() {
        let mut source = [0; ADDRESS_BYTES];
        source[..4].copy_from_slice(&[5, 6, 7, 8]);
        let mut destination = [0; ADDRESS_BYTES];
        destination[..4].copy_from_slice(&[192, 0, 2, 1]);
        let packet = PacketEvent {
            ip_version: 4,
            protocol: 6,
            source,
            destination,
            source_port: 51_000_u16.to_be(),
            destination_port: 9100_u16.to_be(),
            tcp_flags: 0x12,
            audited: 1,
            ..packet(Reason::NoRule, Transport::Tcp)
        };
        let event = Names::default().event(&packet, &Labels::new()).unwrap();
        let expected = Event {
            time: event.time,
            interface: u32::MAX.to_string(),
            direction: "ingress".into(),
            verdict: "drop".into(),
            reason: "no_rule".into(),
            rule: None,
            audited: true,
            protocol: Some("tcp".into()),
            source: Some("5.6.7.8".into()),
            source_port: Some(51_000),
            destination: Some("192.0.2.1".into()),
            destination_port: Some(9100),
            tcp_flags: Some("SYN ACK".into()),
            length: 74,
            generation: 7,
            counted_port: None,
        };
        assert_eq!(event, expected);
    }

    #[test]
    fn what_a_frame_does_not_have_is_absent() {
        let mut names = Names::default();
        let arp = names.event(&packet(Reason::Arp, Transport::Other), &Labels::new()).unwrap();
        assert_eq!(
            (arp.protocol, arp.source, arp.destination_port, arp.tcp_flags),
            (None, None, None, None)
        );
        let echo = PacketEvent {
            ip_version: 6,
            protocol: 58,
            source: [1; 16],
            source_port: 77,
            direction: 1,
            ..packet(Reason::Egress, Transport::Icmp)
        };
        let echo = names.event(&echo, &Labels::new()).unwrap();
        assert_eq!(
            (echo.direction.as_str(), echo.verdict.as_str(), echo.source_port),
            ("egress", "pass", None)
        );
        assert_eq!(echo.source.as_deref(), Some("101:101:101:101:101:101:101:101"));
        assert_eq!(
            names.event(
                &PacketEvent { counter: u16::MAX, ..PacketEvent::default() },
                &Labels::new()
            ),
            None
        );
    }

    #[test]
    fn the_time_is_the_wall_clocks() {
        let monotonic = Duration::from(clock_gettime(ClockId::CLOCK_MONOTONIC).unwrap());
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64();
        let told = wall_clock((monotonic - Duration::from_secs(1)).as_nanos() as u64);
        assert!((now - 1.0 - told).abs() < 0.5, "{told} should be a second before {now}");
    }
}
