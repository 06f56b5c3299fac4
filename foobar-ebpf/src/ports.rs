//! TCP, UDP and protocols without ports: what the rules say, and replies to what the server sent.

use foobar_common::{
    counters::{RULE_ATTEMPTS, RULE_LIMITED, Transport},
    parse::{Datagram, protocol, transport},
    reason::Reason,
    tables::{
        Cell, PORT_SERVED, PORT_UNIFORM, PORTS_OTHER, PORTS_TCP, PORTS_UDP, PortEntry, choice,
        feature, position_of_port,
    },
};

use crate::{
    family::{Family, Tuple},
    flows, limits,
    policy::Policy,
    run::Run,
    settings,
    verdict::because,
};

/// What is asked of the policy: a port, or a protocol without ports.
#[derive(Clone, Copy)]
struct Request {
    /// Index in the port table.
    index: u32,
    /// Ports in network byte order, 0 where there are none.
    source_port: u16,
    destination_port: u16,
    transport: Transport,
    /// TCP: it opens a connection; it answers an opening; it ends a connection; its flags are such that some stack sends them.
    opens: bool,
    accepts: bool,
    closes: bool,
    valid: bool,
}

impl Request {
    #[inline(always)]
    fn of<F: Family>(datagram: &Datagram<F::Address>) -> Result<Self, Cell> {
        let plain = Request {
            index: PORTS_OTHER + datagram.protocol as u32,
            source_port: 0,
            destination_port: 0,
            transport: Transport::Other,
            opens: false,
            accepts: false,
            closes: false,
            valid: true,
        };
        match datagram.protocol {
            protocol::TCP => match transport::tcp(datagram) {
                Ok(tcp) => Ok(Request {
                    index: position_of_port(PORTS_TCP, tcp.destination_port),
                    source_port: tcp.source_port,
                    destination_port: tcp.destination_port,
                    transport: Transport::Tcp,
                    opens: tcp.opens(),
                    accepts: tcp.accepts(),
                    closes: tcp.closes(),
                    valid: tcp.is_valid(),
                }),
                Err(reason) => Err(because(reason, Transport::Tcp)),
            },
            protocol::UDP => match transport::udp(datagram) {
                Ok(udp) => Ok(Request {
                    index: position_of_port(PORTS_UDP, udp.destination_port),
                    source_port: udp.source_port,
                    destination_port: udp.destination_port,
                    transport: Transport::Udp,
                    ..plain
                }),
                Err(reason) => Err(because(reason, Transport::Udp)),
            },
            _ => Ok(plain),
        }
    }
}

/// The verdict for anything but ICMP.
#[inline(always)]
pub fn judge<F: Family>(run: &Run, policy: &Policy, datagram: &Datagram<F::Address>) -> Cell {
    let request = match Request::of::<F>(datagram) {
        Ok(request) => request,
        Err(cell) => return cell,
    };
    if F::is_unspecified(datagram.source)
        && !F::asks_without_address_at(u16::from_be(request.destination_port))
        && !policy.chooses(choice::PASS_MARTIANS)
    {
        return because(Reason::Martian, request.transport);
    }
    let entry = policy.port(request.index);
    let is_uniform = entry.flags & PORT_UNIFORM != 0;
    let is_open = is_uniform && entry.cell.passes() && !request.accepts;

    // What may pass although no rule says so.
    let is_dhcp = is_dhcp_reply::<F>(datagram, &request, &entry);
    let may_reply = !is_open
        && !request.opens
        && !matches!(request.transport, Transport::Other)
        && flows::port_was_used(run, request.index as u64);

    // The class of the source, if it matters.
    let mut cell = entry.cell;
    let mut blocked = None;
    if !is_uniform || settings::has(feature::BLOCKED) && (is_dhcp || may_reply) {
        let class = F::class(policy, datagram.source);
        run.found_class(class);
        if policy.blocks(class) {
            blocked = Some(policy.why_blocked(class));
        }
        if !is_uniform {
            cell = match policy.cell(entry.class, class as u64) {
                Some(cell) => cell,
                None => because(Reason::SourceNotAllowed, request.transport),
            };
        }
    }

    // What answers an opening is never judged by the rules: either the server opened, or it is a game.
    if cell.passes() && !request.accepts {
        return by_rule::<F>(run, policy, datagram, &request, cell);
    }
    let is_valid = request.valid || policy.chooses(choice::PASS_INVALID_FLAGS);
    let exception = if is_dhcp {
        Some(if policy.chooses(choice::DROP_DHCP) { Reason::Disabled } else { Reason::Dhcp })
    } else if may_reply && reply::<F>(run, datagram, &request, blocked.is_none() && is_valid) {
        Some(if is_valid { Reason::Reply } else { Reason::InvalidFlags })
    } else {
        None
    };
    match (exception, blocked) {
        (Some(_), Some(reason)) | (Some(reason), None) => because(reason, request.transport),
        (None, _) if cell.passes() => because(Reason::Unsolicited, request.transport),
        (None, _)
            if matches!(request.transport, Transport::Other) && entry.flags & PORT_SERVED == 0 =>
        {
            because(Reason::Protocol, Transport::Other)
        }
        (None, _) => cell,
    }
}

/// A rule lets it pass, if its flags and the rule's limit do as well.
#[inline(always)]
fn by_rule<F: Family>(
    run: &Run,
    policy: &Policy,
    datagram: &Datagram<F::Address>,
    request: &Request,
    cell: Cell,
) -> Cell {
    if !request.valid && !policy.chooses(choice::PASS_INVALID_FLAGS) {
        return because(Reason::InvalidFlags, request.transport);
    }
    // Of a TCP connection its opening counts, of everything else each packet.
    let is_new = request.opens || !matches!(request.transport, Transport::Tcp);
    within_limit::<F>(run, policy, datagram.source, cell, is_new, request.opens)
}

/// The cell of a rule that lets the packet pass, unless that is more than the rule's limit. `is_new`: it counts for the limit.
#[inline(always)]
pub fn within_limit<F: Family>(
    run: &Run,
    policy: &Policy,
    source: F::Address,
    cell: Cell,
    is_new: bool,
    opens: bool,
) -> Cell {
    if settings::has(feature::LIMITS)
        && is_new
        && !limits::take::<F>(run, policy, cell.limit() as u32, source)
    {
        return Cell::drop(cell.counter() + RULE_LIMITED);
    }
    Cell(cell.0 + if opens { RULE_ATTEMPTS as u32 } else { 0 })
}

#[inline(always)]
fn is_dhcp_reply<F: Family>(
    datagram: &Datagram<F::Address>,
    request: &Request,
    entry: &PortEntry,
) -> bool {
    matches!(request.transport, Transport::Udp)
        && entry.flags & PORT_SERVED == 0
        && F::is_dhcp_reply(
            u16::from_be(request.source_port),
            u16::from_be(request.destination_port),
            datagram.destination,
        )
        && !F::is_unspecified(datagram.source)
}

/// Whether it answers a flow that the server opened. A packet that is to be dropped all the same does not refresh the flow.
#[inline(always)]
fn reply<F: Family>(
    run: &Run,
    datagram: &Datagram<F::Address>,
    request: &Request,
    refreshes: bool,
) -> bool {
    let tuple = Tuple {
        local: datagram.destination,
        remote: datagram.source,
        local_port: request.destination_port,
        remote_port: request.source_port,
        protocol: datagram.protocol,
    };
    if refreshes {
        flows::is_reply::<F>(run, &tuple, request.closes)
    } else {
        flows::exists::<F>(run, &tuple)
    }
}

/// Whether the rules let this source reach this entry of the port table, for what concerns a flow but is not of it.
#[inline(always)]
pub fn allows<F: Family>(
    run: &Run,
    policy: &Policy,
    entry: &PortEntry,
    source: F::Address,
) -> Option<Cell> {
    if entry.flags & PORT_SERVED == 0 {
        return None;
    }
    let mut cell = entry.cell;
    if entry.flags & PORT_UNIFORM == 0 {
        let class = F::class(policy, source);
        run.found_class(class);
        cell = policy.cell(entry.class, class as u64)?;
    }
    if cell.passes() { Some(cell) } else { None }
}
