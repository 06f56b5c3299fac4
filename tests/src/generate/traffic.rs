//! A conversation of frames: the server sends, others answer or pretend to.

use std::{collections::VecDeque, net::IpAddr};

use fastrand::Rng;

use super::{
    mutate, one, percent,
    pool::{Pool, server},
};
use crate::{
    frames::{
        Direction, Moment, Step,
        hosts::{ALL_NODES, ROUTER_MAC},
        packet::{Packet, ether, ethernet, filler, v4, v6},
    },
    model::Policy,
};

const FLAGS: [&str; 16] =
    ["S", "S", "A", "A", "PA", "FA", "SA", "R", "RA", "F", "", "FPU", "SF", "SR", "SEC", "UA"];

/// What a server sends.
const SENT: [&str; 9] = ["S", "S", "A", "PA", "SA", "FA", "R", "RA", "SEC"];

/// Random frames that fit a policy, without end.
#[derive(Debug)]
pub struct Traffic {
    random: Rng,
    pool: Pool,
    time: u64,
    talks: Vec<Talk>,
    /// Further fragments of a datagram that was begun.
    pending: VecDeque<Packet>,
}

/// Two ends that talk: the server's first.
#[derive(Clone, Copy, Debug)]
struct Talk {
    protocol: u8,
    local: (IpAddr, u16),
    remote: (IpAddr, u16),
}

impl Traffic {
    /// Frames for this policy.
    pub fn new(policy: &Policy, random: Rng) -> Self {
        Traffic {
            random,
            pool: Pool::of(policy),
            time: 1_000,
            talks: Vec::new(),
            pending: VecDeque::new(),
        }
    }

    fn talk(&mut self) -> Talk {
        let v6 = self.random.bool();
        Talk {
            protocol: *one(&mut self.random, &[6, 6, 17, if v6 { 58 } else { 1 }]),
            local: (server(v6), self.pool.port(&mut self.random)),
            remote: (self.pool.address(&mut self.random, v6), self.pool.port(&mut self.random)),
        }
    }

    /// A talk that may have been before, perhaps with one field changed.
    fn known_talk(&mut self) -> Talk {
        if self.talks.is_empty() || percent(&mut self.random, 50) {
            return self.talk();
        }
        let mut talk = *one(&mut self.random, &self.talks);
        if percent(&mut self.random, 40) {
            match self.random.u8(..4) {
                0 => talk.local.1 ^= 1,
                1 => talk.remote.1 ^= 1,
                2 => talk.remote.0 = self.pool.address(&mut self.random, talk.remote.0.is_ipv6()),
                _ => talk.protocol = if talk.protocol == 6 { 17 } else { 6 },
            }
        }
        talk
    }

    fn sent(&mut self) -> Packet {
        let talk = if percent(&mut self.random, 60) { self.talk() } else { self.known_talk() };
        self.talks.push(talk);
        let packet = between(talk.local.0, talk.remote.0).sent();
        let packet = self.carry(packet, talk, talk.local.1, talk.remote.1, true);
        self.dress(packet)
    }

    fn received(&mut self) -> Packet {
        match self.random.u8(..100) {
            0..3 => self.not_ip(),
            3..12 => self.error(),
            12..20 => self.neighbor(),
            20..26 => self.other_protocol(),
            26..29 => self.dhcp(),
            29..40 => self.fragmented(),
            _ => {
                let talk = self.known_talk();
                let packet = between(talk.remote.0, talk.local.0);
                let packet = self.carry(packet, talk, talk.remote.1, talk.local.1, false);
                self.dress(packet)
            }
        }
    }

    fn carry(
        &mut self,
        packet: Packet,
        talk: Talk,
        from: u16,
        to: u16,
        is_question: bool,
    ) -> Packet {
        let bytes = *one(&mut self.random, &[0, 8, 40, 500]);
        match talk.protocol {
            6 => {
                let flags = *one(&mut self.random, if is_question { &SENT[..] } else { &FLAGS });
                let options: &[u8] = if percent(&mut self.random, 30) {
                    &[1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2]
                } else {
                    &[]
                };
                packet.tcp_with(from, to, flags, options, &filler(bytes))
            }
            17 => packet.udp(from, to, bytes),
            protocol => {
                let is_question = is_question ^ percent(&mut self.random, 30);
                let kind = match (protocol, is_question) {
                    (1, true) => 8,
                    (1, false) => 0,
                    (_, true) => 128,
                    (_, false) => 129,
                };
                let [high, low] = talk.local.1.to_be_bytes();
                packet.icmp(kind, 0, [high, low, 0, 1], &filler(bytes))
            }
        }
    }

    /// Tags, options, extension headers, fragments.
    fn dress(&mut self, mut packet: Packet) -> Packet {
        let random = &mut self.random;
        if percent(random, 15) {
            for _ in 0..random.u8(1..=3) {
                packet = packet.tag(*one(random, &[ether::VLAN, ether::QINQ]), random.u16(..));
            }
        }
        let is_v6 = packet.is_v6();
        if percent(random, 15) {
            packet = if is_v6 {
                mutate::extensions(random, packet)
            } else {
                mutate::options(random, packet)
            };
        }
        if percent(random, 20) {
            let length = packet.transport_bytes().len();
            let from = (*one(random, &[0, 0, 8, 16, 24, 480])).min(length / 8 * 8);
            let to = if random.bool() {
                length
            } else {
                (from + *one(random, &[8, 16, 24, 40, 256])).min(length)
            };
            let more = to < length || percent(random, 10);
            packet = fragment(packet, random.u16(1..4), from, to, more);
        }
        packet
    }

    /// The first fragment of a datagram; the others follow, some of them out of order, lost, or of another datagram.
    fn fragmented(&mut self) -> Packet {
        let talk = self.known_talk();
        let packet = between(talk.remote.0, talk.local.0);
        let packet = self.carry(packet, talk, talk.remote.1, talk.local.1, false);
        let random = &mut self.random;
        let length = packet.transport_bytes().len();
        let identification = random.u16(1..20);
        let mut fragments = Vec::new();
        let mut from = 0;
        while from < length {
            let to = (from + *one(random, &[24, 64, 256, 504])).min(length);
            let identification =
                if percent(random, 10) { random.u16(1..20) } else { identification };
            fragments.push(fragment(packet.clone(), identification, from, to, to < length));
            from = to;
        }
        fragments.truncate(4);
        if percent(random, 20) {
            random.shuffle(&mut fragments);
        }
        let first = fragments.remove(0);
        self.pending.extend(fragments);
        first
    }

    fn dhcp(&mut self) -> Packet {
        let is_v6 = self.random.bool();
        let source = self.pool.address(&mut self.random, is_v6);
        let (from, to) = if is_v6 { (547, 546) } else { (67, 68) };
        let destination = match is_v6 {
            true => *one(&mut self.random, &["fe80::1", "2001:db8::1"]),
            false => *one(&mut self.random, &["255.255.255.255", "192.0.2.1"]),
        };
        let packet = between(source, destination.parse().expect("an address")).udp(from, to, 100);
        if percent(&mut self.random, 70) { packet } else { self.dress(packet) }
    }

    fn not_ip(&mut self) -> Packet {
        let random = &mut self.random;
        let ether_type = *one(random, &[0x0806, 0x88cc, 0x8809, 0x8847, 0x9100, 0x0026]);
        let destination = [0x01, 0x80, 0xc2, 0, 0, random.u8(..20)];
        let packet = ethernet(ether_type, &filler(46));
        if random.bool() { packet.macs(destination, ROUTER_MAC) } else { packet }
    }

    fn other_protocol(&mut self) -> Packet {
        let talk = self.talk();
        let number = *one(&mut self.random, &[2, 4, 41, 47, 50, 51, 59, 89, 132, 200, 1, 58]);
        let packet =
            between(talk.remote.0, talk.local.0).raw(number, &filler(self.random.usize(..60)));
        self.dress(packet)
    }

    /// An error about a packet that the server sent, or may have sent.
    fn error(&mut self) -> Packet {
        let talk = self.known_talk();
        let mut quoted = between(talk.local.0, talk.remote.0);
        if percent(&mut self.random, 10) {
            quoted = between(talk.remote.0, talk.local.0);
        }
        let quoted = self.carry(quoted, talk, talk.local.1, talk.remote.1, true);
        let quoted = if percent(&mut self.random, 20) { self.dress(quoted) } else { quoted };
        let mut bytes = quoted.network_bytes();
        bytes.truncate(*one(&mut self.random, &[28, 48, 60, 100, 1232]));
        let is_v6 = talk.local.0.is_ipv6();
        let router = self.pool.address(&mut self.random, is_v6);
        let kind = *one(&mut self.random, if is_v6 { &[1, 2, 3, 4] } else { &[3, 11, 12, 5] });
        let packet =
            between(router, talk.local.0).icmp(kind, self.random.u8(..5), [0, 0, 5, 0], &bytes);
        self.dress(packet)
    }

    fn neighbor(&mut self) -> Packet {
        let random = &mut self.random;
        let IpAddr::V6(source) = self.pool.address(random, true) else {
            unreachable!("an IPv6 address was asked for")
        };
        let source = if random.bool() { "fe80::9".parse().expect("an address") } else { source };
        let hops = *one(random, &[255, 255, 1, 1, 64, 254]);
        let kind = *one(random, &[130, 131, 132, 133, 134, 135, 136, 137, 143, 144]);
        v6(source, ALL_NODES).hops(hops).icmp(kind, 0, [0; 4], &filler(24))
    }
}

impl Iterator for Traffic {
    type Item = Moment;

    fn next(&mut self) -> Option<Moment> {
        self.time += *one(&mut self.random, &[0, 0, 0, 0, 0, 0, 0, 0, 1, 60, 160, 600]);
        let outwards = percent(&mut self.random, 25);
        let (direction, packet) = match self.pending.pop_front() {
            Some(fragment) => (Direction::Ingress, fragment),
            None if outwards => (Direction::Egress, self.sent()),
            None => (Direction::Ingress, self.received()),
        };
        let mut frame = packet.bytes();
        // What the server sends is well-formed.
        if direction == Direction::Ingress && percent(&mut self.random, 25) {
            mutate::bytes(&mut self.random, &mut frame);
        }
        Some(Moment { time: self.time, step: Step { direction, frame } })
    }
}

/// A packet of the family of these addresses.
fn between(source: IpAddr, destination: IpAddr) -> Packet {
    match (source, destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => v4(source, destination),
        (IpAddr::V6(source), IpAddr::V6(destination)) => v6(source, destination),
        _ => unreachable!("both ends of a talk are of one family"),
    }
}

/// A part of a datagram as a fragment of its own.
fn fragment(packet: Packet, identification: u16, from: usize, to: usize, more: bool) -> Packet {
    let is_v6 = packet.is_v6();
    let packet = packet.slice(from, to);
    let offset = u16::try_from(from / 8).expect("an offset that fits");
    if is_v6 {
        packet.fragment6(identification.into(), more, offset)
    } else {
        packet.fragment4(identification, more, offset)
    }
}
