//! The verdict on a frame.

use std::net::IpAddr;

use etherparse::{TcpHeaderSlice, UdpHeaderSlice};

use super::{
    Policy, icmp,
    memory::{Known, Memory, Tuple},
    read::{Content, Datagram, Refusal, read},
};
use crate::frames::Direction;

/// What has to happen to a frame. The words are names of reasons.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opinion {
    /// It has to pass.
    Pass(&'static str),
    /// It has to be dropped.
    Drop(&'static str),
    /// Both are right, because of this.
    Either(&'static str),
}

use Opinion::{Drop, Either, Pass};

impl From<Refusal> for Opinion {
    fn from(reason: Refusal) -> Self {
        Drop(reason)
    }
}

/// The model: a policy, and what was seen so far.
#[derive(Clone, Debug)]
pub struct Model {
    pub(super) policy: Policy,
    pub(super) memory: Memory,
}

impl Model {
    /// A model that has seen nothing yet.
    pub fn new(policy: Policy) -> Self {
        Model { policy, memory: Memory::default() }
    }

    /// Judges a frame at this time (seconds) and remembers what the product should remember.
    pub fn judge(&mut self, direction: Direction, frame: &[u8], now: u64) -> Opinion {
        match (direction, read(frame)) {
            (Direction::Egress, Ok(Content::Ip(datagram))) => self.leaves(&datagram, now),
            (Direction::Egress, _) => Pass("egress"),
            (Direction::Ingress, Err(reason)) => Drop(reason),
            (Direction::Ingress, Ok(Content::Arp)) => Pass("arp"),
            (Direction::Ingress, Ok(Content::LinkControl))
                if self.policy.choices.drop_link_control =>
            {
                Drop("disabled")
            }
            (Direction::Ingress, Ok(Content::LinkControl)) => Pass("link_control"),
            (Direction::Ingress, Ok(Content::Other)) => Drop("ethertype"),
            (Direction::Ingress, Ok(Content::Ip(datagram))) => self.arrives(&datagram, now),
        }
    }

    fn arrives(&mut self, datagram: &Datagram<'_>, now: u64) -> Opinion {
        if let Err(reason) = self.admits(datagram) {
            return Drop(reason);
        }
        let key = (
            datagram.source,
            datagram.destination,
            datagram.fragment.identification,
            (!datagram.is_v6()).then_some(datagram.fragment.protocol),
        );
        let opinion = if datagram.fragment.offset > 0 {
            self.later_fragment(datagram, key, now)
        } else {
            self.shows_ports(datagram, now)
        };
        // Who comes from the blocklist passes by no reason at all; which other reason is told does not matter.
        let is_own = self.policy.is_own(datagram.source);
        let opinion = match opinion {
            Pass(_) | Either(_) if self.policy.blocks(datagram.source) => Drop("blocklist"),
            Pass(_) | Either(_)
                if is_own && self.policy.has_blocklist_of_family(datagram.source) =>
            {
                Drop("martian")
            }
            _ if is_own && !self.policy.has_blocklist_of_family(datagram.source) => {
                Either("own addresses are looked up only where sources are")
            }
            opinion => opinion,
        };
        if datagram.fragment.offset == 0 && datagram.fragment.more {
            let passed = match opinion {
                Pass(_) => Known::Yes,
                Drop(_) => Known::No,
                Either(_) => Known::Perhaps,
            };
            self.memory.first_fragment(key, datagram.fragment.protocol, passed, now);
        }
        opinion
    }

    /// Whether the datagram may be judged by its ports at all.
    fn admits(&self, datagram: &Datagram<'_>) -> Result<(), Refusal> {
        let choices = &self.policy.choices;
        if datagram.source_routed {
            return Err("source_route");
        }
        if datagram.has_options && !datagram.is_v6() && choices.drop_ipv4_options {
            return Err("ipv4_options");
        }
        if datagram.has_options && datagram.is_v6() && choices.drop_extension_headers {
            return Err("extension_header");
        }
        if choices.drop_fragments && !datagram.fragment.is_whole() {
            return Err("fragment");
        }
        if !choices.pass_martians && is_martian(datagram.source) && !asks_for_an_address(datagram) {
            return Err("martian");
        }
        Ok(())
    }

    fn later_fragment(
        &self,
        datagram: &Datagram<'_>,
        key: super::memory::Fragmented,
        now: u64,
    ) -> Opinion {
        let (known, first_protocol) = self.memory.fragment(&key, now);
        // In IPv6 only the first fragment's next header counts (RFC 8200, section 4.5).
        let may_overlap = datagram.fragment.protocol == 6 || first_protocol == Some(6);
        match known {
            _ if datagram.fragment.offset == 8 && may_overlap => Drop("fragment_overlap"),
            Known::Yes => Pass("fragment_tail"),
            Known::No => Drop("fragment_unknown"),
            Known::Perhaps => Either("a fragment at the end of its time"),
        }
    }

    fn shows_ports(&mut self, datagram: &Datagram<'_>, now: u64) -> Opinion {
        match datagram.protocol {
            6 => self.tcp(datagram, now),
            17 => self.udp(datagram, now),
            protocol if protocol == datagram.icmp() => icmp::judge(self, datagram, now),
            protocol if !self.policy.serves(protocol, None) => Drop("protocol"),
            protocol if self.policy.allows(protocol, None, datagram.source) => Pass("rule"),
            _ => Drop("source_not_allowed"),
        }
    }

    fn tcp(&mut self, datagram: &Datagram<'_>, now: u64) -> Opinion {
        let segment = match Segment::read(datagram) {
            Ok(segment) => segment,
            Err(reason) => return Drop(reason),
        };
        let flags_are_right = segment.is_sane() || self.policy.choices.pass_invalid_flags;
        let otherwise = match self.policy.admits(6, Some(segment.destination), datagram.source) {
            Ok(()) if segment.syn && segment.ack => Drop("unsolicited"),
            Ok(()) if flags_are_right => return Pass("rule"),
            Ok(()) => return Drop("invalid_flags"),
            Err(reason) => Drop(reason),
        };
        if segment.syn && !segment.ack {
            return otherwise;
        }
        let tuple = Tuple {
            protocol: 6,
            local: datagram.destination,
            local_port: segment.destination,
            remote: datagram.source,
            remote_port: segment.source,
        };
        match self.memory.knows(&tuple, now) {
            Known::No => otherwise,
            Known::Perhaps => {
                self.memory.perhaps_answered(&tuple);
                Either("a flow at the end of its time")
            }
            Known::Yes if !flags_are_right => Drop("invalid_flags"),
            Known::Yes if self.policy.refuses(datagram.source) => Drop("blocklist"),
            Known::Yes => {
                self.memory.answered(&tuple, segment.fin || segment.rst, now);
                Pass("reply")
            }
        }
    }

    fn udp(&mut self, datagram: &Datagram<'_>, now: u64) -> Opinion {
        let (source, destination) = match udp_ports(datagram) {
            Ok(ports) => ports,
            Err(reason) => return Drop(reason),
        };
        let refusal = match self.policy.admits(17, Some(destination), datagram.source) {
            Ok(()) => return Pass("rule"),
            Err(reason) => Drop(reason),
        };
        let is_dhcp = match datagram.destination {
            IpAddr::V4(_) => (source, destination) == (67, 68),
            IpAddr::V6(address) => {
                (source, destination) == (547, 546) && address.is_unicast_link_local()
            }
        };
        let serves = self.policy.serves(17, Some(destination));
        if is_dhcp && !serves && !datagram.source.is_unspecified() {
            return if self.policy.choices.drop_dhcp { Drop("disabled") } else { Pass("dhcp") };
        }
        let tuple = Tuple {
            protocol: 17,
            local: datagram.destination,
            local_port: destination,
            remote: datagram.source,
            remote_port: source,
        };
        match self.memory.knows(&tuple, now) {
            Known::Yes if self.policy.refuses(datagram.source) => Drop("blocklist"),
            Known::Yes => {
                self.memory.answered(&tuple, false, now);
                Pass("reply")
            }
            Known::Perhaps => {
                self.memory.perhaps_answered(&tuple);
                Either("a flow at the end of its time")
            }
            Known::No => refusal,
        }
    }

    /// What the server sends always passes here; some of it opens a flow.
    fn leaves(&mut self, datagram: &Datagram<'_>, now: u64) -> Opinion {
        if datagram.fragment.offset > 0 {
            return Pass("egress");
        }
        let tuple = |local_port, remote_port| Tuple {
            protocol: datagram.protocol,
            local: datagram.source,
            local_port,
            remote: datagram.destination,
            remote_port,
        };
        match datagram.protocol {
            6 => {
                let Ok(segment) = Segment::read(datagram) else { return Pass("egress") };
                let opens = segment.syn && !segment.ack;
                if self.policy.serves(6, Some(segment.source)) && !opens {
                    return Pass("egress_served");
                }
                let tuple = tuple(segment.source, segment.destination);
                if segment.rst {
                    self.memory.reset(tuple);
                } else if !(segment.syn && segment.ack) {
                    self.memory.sent(tuple, opens, segment.fin, now);
                }
            }
            17 => {
                let Ok((source, destination)) = udp_ports(datagram) else { return Pass("egress") };
                if self.policy.serves(17, Some(source)) {
                    return Pass("egress_served");
                }
                self.memory.sent(tuple(source, destination), false, false, now);
            }
            protocol if protocol == datagram.icmp() => {
                let request = if datagram.is_v6() { 128 } else { 8 };
                if let [kind, _, _, _, high, low, _, _, ..] = *datagram.payload
                    && kind == request
                {
                    self.memory.sent(tuple(u16::from_be_bytes([high, low]), 0), false, false, now);
                }
            }
            _ => {}
        }
        Pass("egress")
    }
}

/// Sources that nobody can have on the wire.
fn is_martian(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => {
            let [first, ..] = address.octets();
            first == 0 || address.is_loopback() || first >= 224
        }
        IpAddr::V6(address) => address.is_multicast() || address.segments()[..4] == [0; 4],
    }
}

/// Who has no address yet asks for one from the unspecified address: DHCP, duplicate address detection, listener reports. A
/// router has one, so its advertisement never comes from there (RFC 4861, section 6.1.2). A later fragment does not show what
/// it asks: it follows the first.
fn asks_for_an_address(datagram: &Datagram<'_>) -> bool {
    let is_later = datagram.fragment.offset > 0;
    match datagram.source {
        IpAddr::V4(address) => {
            let is_dhcp = || udp_ports(datagram).is_ok_and(|(_, destination)| destination == 67);
            address.is_unspecified() && datagram.protocol == 17 && (is_later || is_dhcp())
        }
        IpAddr::V6(address) => {
            let kind = datagram.payload.first().copied().unwrap_or_default();
            address.is_unspecified()
                && datagram.protocol == 58
                && (is_later || matches!(kind, 130..=133 | 135 | 136 | 143))
        }
    }
}

fn udp_ports(datagram: &Datagram<'_>) -> Result<(u16, u16), Refusal> {
    let header = UdpHeaderSlice::from_slice(datagram.payload).map_err(|_| datagram.too_short())?;
    let length = usize::from(header.length());
    if length < 8 || length > datagram.payload.len() && datagram.fragment.is_whole() {
        return Err("malformed");
    }
    Ok((header.source_port(), header.destination_port()))
}

struct Segment {
    source: u16,
    destination: u16,
    fin: bool,
    syn: bool,
    rst: bool,
    ack: bool,
    urg: bool,
}

impl Segment {
    fn read(datagram: &Datagram<'_>) -> Result<Self, Refusal> {
        let payload = datagram.payload;
        if payload.len() < 20 {
            return Err(datagram.too_short());
        }
        // The options of a first fragment may follow in the next one, so there only the fixed part is read.
        let mut fixed = payload[..20].to_vec();
        let words = fixed[12] >> 4;
        if words < 5 || datagram.fragment.is_whole() && usize::from(words) * 4 > payload.len() {
            return Err("malformed");
        }
        fixed[12] = 0x50 | fixed[12] & 0x0f;
        let header = TcpHeaderSlice::from_slice(&fixed).map_err(|_| "malformed")?;
        Ok(Segment {
            source: header.source_port(),
            destination: header.destination_port(),
            fin: header.fin(),
            syn: header.syn(),
            rst: header.rst(),
            ack: header.ack(),
            urg: header.urg(),
        })
    }

    /// Whether some stack sends this combination: what Linux's connection tracking takes for valid.
    fn is_sane(&self) -> bool {
        match (self.syn, self.rst, self.fin) {
            (true, false, false) => !(self.ack && self.urg),
            (false, true, false) => !self.urg,
            (false, false, _) => self.ack,
            _ => false,
        }
    }
}
