//! The ordinary packet: TCP or UDP in a whole IPv4 datagram without options or VLAN tags.
//!
//! It is judged by the same rules as any other, but within the entry program: where the kernel guards returns against speculation
//! (Retbleed, SRSO), calling a function that is verified on its own costs as much as three look-ups. Little is kept while it
//! is judged, since the stack of this program adds to that of the functions for all other packets.

use foobar_common::{
    counters::Transport,
    parse::{Datagram, ethernet, ipv4, protocol, transport},
    reason::Reason,
    tables::{Cell, PORT_UNIFORM, PORTS_TCP, PORTS_UDP, feature},
};

use crate::{
    family::{Family, Tuple, V4},
    flows,
    frame::Arriving,
    ingress,
    policy::Policy,
    ports,
    run::Run,
    settings,
    verdict::because,
};

/// What is asked of the policy: the index in the port table, and these marks.
type Request = u32;
/// It opens a TCP connection.
const OPENS: Request = 1 << 31;
/// It ends a TCP connection.
const CLOSES: Request = 1 << 30;

/// The verdict; `None` for a packet that is not ordinary.
#[inline(always)]
pub fn judge(run: &Run, policy: &Policy, frame: &Arriving) -> Option<Cell> {
    let datagram = datagram(frame)?;
    if V4::is_martian(datagram.source) {
        return None;
    }
    let request = request(&datagram)?;
    let (index, opens) = (request & !(OPENS | CLOSES), request & OPENS != 0);
    let transport = if index < PORTS_UDP { Transport::Tcp } else { Transport::Udp };
    let entry = policy.port(index);
    let mut cell = entry.cell;
    if entry.flags & PORT_UNIFORM == 0 {
        let class = policy.class4(u32::from_be(datagram.source));
        run.found_class(class);
        cell = policy.cell(entry.class, class)?;
    }
    if cell.passes() {
        let is_new = opens || index >= PORTS_UDP;
        cell = ports::within_limit::<V4>(run, policy, datagram.source, cell, is_new, opens);
    } else if !opens && flows::port_was_used(run, index) {
        // What is blocked gets no reply through, which takes another look.
        if settings::has(feature::BLOCKED) {
            return None;
        }
        if flows::is_reply::<V4>(run, &tuple(frame)?, request & CLOSES != 0) {
            cell = because(Reason::Reply, transport);
        }
    }
    Some(ingress::within_packet_limit::<V4>(run, policy, datagram.source, transport, cell))
}

#[inline(always)]
fn datagram(frame: &Arriving) -> Option<Datagram<u32>> {
    let mut cursor = frame.cursor();
    if ethernet::untagged(&mut cursor)? != ethernet::IPV4 {
        return None;
    }
    ipv4::ordinary(cursor)
}

#[inline(always)]
fn request(datagram: &Datagram<u32>) -> Option<Request> {
    match datagram.protocol {
        protocol::TCP => {
            let tcp = transport::tcp(datagram).ok()?;
            if tcp.accepts() || !tcp.is_valid() {
                return None;
            }
            let marks = if tcp.opens() { OPENS } else { 0 } | if tcp.closes() { CLOSES } else { 0 };
            Some((PORTS_TCP + u16::from_be(tcp.destination_port) as u32) | marks)
        }
        protocol::UDP => {
            let udp = transport::udp(datagram).ok()?;
            let (from, to) = (u16::from_be(udp.source_port), u16::from_be(udp.destination_port));
            if V4::is_dhcp_reply(from, to, datagram.destination) {
                None
            } else {
                Some(PORTS_UDP + to as u32)
            }
        }
        _ => None,
    }
}

/// The flow that the packet would belong to. Reads the frame again.
#[inline(always)]
fn tuple(frame: &Arriving) -> Option<Tuple<u32>> {
    let datagram = datagram(frame)?;
    let (remote_port, local_port) = transport::ports(&datagram).ok()?;
    Some(Tuple {
        local: datagram.destination,
        remote: datagram.source,
        local_port,
        remote_port,
        protocol: datagram.protocol,
    })
}
