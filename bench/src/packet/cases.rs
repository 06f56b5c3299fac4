//! Frames that are measured.

use foobar_tests::frames::{
    hosts::{REMOTE, SERVER, WORLD},
    packet::{Packet, ether, filler, v4, v6},
};
use foobar_user::kernel::measure::{Action, RandomSources};

use super::subjects::{Kind, Lists, OWN_PORT};

/// The port of those on the allowlist.
const LISTED: u16 = 8443;

/// A kind of packet.
pub struct Case {
    /// In tables.
    pub name: &'static str,
    frame: Vec<u8>,
    /// What a firewall has to do with it.
    verdict: Action,
    /// Only for firewalls that know connections.
    needs_flows: bool,
    /// Whether another source is written into it for each run.
    pub random: Option<RandomSources>,
    /// The same case without.
    pub plain: Option<&'static str>,
}

impl Case {
    fn new(name: &'static str, packet: Packet, verdict: Action) -> Self {
        Case { name, frame: packet.bytes(), verdict, needs_flows: false, random: None, plain: None }
    }

    fn random(
        name: &'static str,
        packet: Packet,
        version: RandomSources,
        plain: &'static str,
    ) -> Self {
        Case { random: Some(version), plain: Some(plain), ..Case::new(name, packet, Action::Drop) }
    }

    /// The frame, unless the case is beyond such a subject.
    pub fn frame_for(&self, kind: Kind) -> Option<&[u8]> {
        (!self.needs_flows || kind != Kind::Peer).then_some(&self.frame)
    }

    /// The frame, if it is of a flow that a firewall has to know.
    pub fn flow(&self) -> Option<&[u8]> {
        self.needs_flows.then_some(&self.frame)
    }

    /// The verdict that a firewall has to come to; nothing for those that are none, and where it depends on a random source.
    pub fn expected(&self, kind: Kind) -> Option<Action> {
        (kind != Kind::Floor && self.random.is_none()).then_some(self.verdict)
    }
}

/// All cases.
pub fn all(lists: &Lists) -> Vec<Case> {
    let (server4, server6) = (SERVER.v4, SERVER.v6);
    let listed4 = |source| v4(source, server4).tcp(51_000, LISTED, "S");
    let listed6 = |source| v6(source, server6).tcp(51_000, LISTED, "S");
    let reply = v4(REMOTE.v4, server4).tcp_with(443, OWN_PORT, "A", &[], &filler(100));
    vec![
        Case::new("SYN allowed", listed4(lists.member4), Action::Pass),
        Case::new("SYN denied", listed4(WORLD.v4), Action::Drop),
        Case::new(
            "ACK 1400 bytes",
            v4(lists.member4, server4).tcp_with(51_000, LISTED, "A", &[], &filler(1400)),
            Action::Pass,
        ),
        Case::new("UDP closed port", v4(WORLD.v4, server4).udp(51_000, 9999, 64), Action::Drop),
        Case::new("IPv6 SYN allowed", listed6(lists.member6), Action::Pass),
        Case::new("IPv6 SYN denied", listed6(WORLD.v6), Action::Drop),
        Case::new("VLAN SYN allowed", listed4(lists.member4).tag(ether::VLAN, 7), Action::Pass),
        Case { needs_flows: true, ..Case::new("reply to own connection", reply, Action::Pass) },
        Case::random("random IPv4 SYN", listed4(WORLD.v4), RandomSources::V4, "SYN denied"),
        Case::random("random IPv6 SYN", listed6(WORLD.v6), RandomSources::V6, "IPv6 SYN denied"),
    ]
}
