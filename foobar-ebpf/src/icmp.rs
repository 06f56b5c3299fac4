//! ICMP and ICMPv6: echo, errors, and what IPv6 needs of its neighbours.

use aya_ebpf::bindings::xdp_md;
use foobar_common::{
    counters::{RULE_LIMITED, Transport},
    parse::{
        Datagram, ipv4, ipv6, protocol,
        transport::{self, Icmp},
    },
    reason::Reason,
    tables::{Cell, PORTS_OTHER, PORTS_TCP, PORTS_UDP, choice, feature, position_of_port},
};

use crate::{
    conclusion::{self, unless_blocked},
    family::{Family, Tuple, V4, V6},
    flows,
    frame::Arriving,
    limits,
    policy::Policy,
    ports,
    run::Run,
    settings,
    verdict::because,
};

/// ICMP types (RFC 792, IANA "ICMP Parameters").
mod v4 {
    pub const ECHO_REPLY: u8 = 0;
    pub const UNREACHABLE: u8 = 3;
    pub const ECHO_REQUEST: u8 = 8;
    pub const TIME_EXCEEDED: u8 = 11;
    pub const PARAMETER_PROBLEM: u8 = 12;
}

/// ICMPv6 types (RFC 4443, 4861, 2710, 3810, IANA "ICMPv6 Parameters").
mod v6 {
    pub const UNREACHABLE: u8 = 1;
    pub const PARAMETER_PROBLEM: u8 = 4;
    pub const ECHO_REQUEST: u8 = 128;
    pub const ECHO_REPLY: u8 = 129;
    pub const LISTENER_QUERY: u8 = 130;
    pub const LISTENER_DONE: u8 = 132;
    pub const ROUTER_SOLICITATION: u8 = 133;
    pub const ROUTER_ADVERTISEMENT: u8 = 134;
    pub const NEIGHBOR_SOLICITATION: u8 = 135;
    pub const NEIGHBOR_ADVERTISEMENT: u8 = 136;
    pub const LISTENER_REPORT_2: u8 = 143;
}

/// What a message is for.
enum Kind {
    EchoRequest,
    EchoReply,
    Error,
    Neighbor,
    Router,
    Listener,
    Other,
}

#[inline(always)]
fn kind_of<F: Family>(icmp: &Icmp) -> Kind {
    if F::ICMP == protocol::ICMP {
        match icmp.kind {
            v4::ECHO_REQUEST => Kind::EchoRequest,
            v4::ECHO_REPLY => Kind::EchoReply,
            v4::UNREACHABLE | v4::TIME_EXCEEDED | v4::PARAMETER_PROBLEM => Kind::Error,
            _ => Kind::Other,
        }
    } else {
        match icmp.kind {
            v6::UNREACHABLE..=v6::PARAMETER_PROBLEM => Kind::Error,
            v6::ECHO_REQUEST => Kind::EchoRequest,
            v6::ECHO_REPLY => Kind::EchoReply,
            v6::LISTENER_QUERY..=v6::LISTENER_DONE | v6::LISTENER_REPORT_2 => Kind::Listener,
            v6::ROUTER_ADVERTISEMENT => Kind::Router,
            v6::ROUTER_SOLICITATION | v6::NEIGHBOR_SOLICITATION | v6::NEIGHBOR_ADVERTISEMENT => {
                Kind::Neighbor
            }
            _ => Kind::Other,
        }
    }
}

/// ICMP over IPv4: reads the frame again, from `offset` on, in the generation and with the flags of the run that `what` holds
/// ([`crate::ingress`]). A global function: the kernel verifies it once, for any arguments.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn judge_icmp4(context: *mut xdp_md, offset: u32, what: u32, jiffies: u64) -> u64 {
    let run = Run::traced(what >> 8, jiffies);
    let policy = Policy::of(what);
    let mut frame = Arriving::new(context);
    let cell = match ipv4::ipv4(frame.cursor_at(offset), &mut frame) {
        Ok(datagram) => {
            let cell = message::<V4>(&run, &policy, &datagram);
            conclusion::finish::<V4>(&run, &policy, &datagram, cell)
        }
        Err(reason) => because(reason, Transport::Other),
    };
    if frame.is_long {
        run.found_long();
    }
    run.pack(cell)
}

/// The same for ICMPv6.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn judge_icmp6(context: *mut xdp_md, offset: u32, what: u32, jiffies: u64) -> u64 {
    let run = Run::traced(what >> 8, jiffies);
    let policy = Policy::of(what);
    let mut frame = Arriving::new(context);
    let cell = match ipv6::ipv6(frame.cursor_at(offset), &mut frame) {
        Ok(datagram) => {
            let cell = message::<V6>(&run, &policy, &datagram);
            conclusion::finish::<V6>(&run, &policy, &datagram, cell)
        }
        Err(reason) => because(reason, Transport::Other),
    };
    if frame.is_long {
        run.found_long();
    }
    run.pack(cell)
}

/// An ICMP or ICMPv6 message.
#[inline(always)]
fn message<F: Family>(run: &Run, policy: &Policy, datagram: &Datagram<F::Address>) -> Cell {
    let icmp = match transport::icmp(datagram) {
        Ok(icmp) => icmp,
        Err(reason) => return because(reason, Transport::Icmp),
    };
    let kind = kind_of::<F>(&icmp);
    // Only neighbours may ask without an address, to learn whether they may have one (RFC 4862).
    if F::is_unspecified(datagram.source)
        && !matches!(kind, Kind::Neighbor | Kind::Listener)
        && !policy.chooses(choice::PASS_MARTIANS)
    {
        return because(Reason::Martian, Transport::Icmp);
    }
    let entry = policy.port(PORTS_OTHER + F::ICMP as u32);
    if let Some(cell) = ports::allows::<F>(run, policy, &entry, datagram.source) {
        if settings::has(feature::LIMITS)
            && !limits::take::<F>(run, policy, cell.limit() as u32, datagram.source)
        {
            return Cell::drop(cell.counter() + RULE_LIMITED);
        }
        return cell;
    }
    let reason = reason_for::<F>(run, policy, datagram, &icmp, kind);
    unless_blocked::<F>(
        run,
        policy,
        datagram.source,
        Transport::Icmp,
        because(reason, Transport::Icmp),
    )
}

#[inline(always)]
fn reason_for<F: Family>(
    run: &Run,
    policy: &Policy,
    datagram: &Datagram<F::Address>,
    icmp: &Icmp,
    kind: Kind,
) -> Reason {
    match kind {
        Kind::EchoRequest => echo::<F>(run, policy, datagram),
        Kind::EchoReply => {
            let tuple = Tuple {
                local: datagram.destination,
                remote: datagram.source,
                local_port: icmp.identifier,
                remote_port: 0,
                protocol: F::ICMP,
            };
            // A packet that is to be dropped all the same does not refresh the flow.
            let refreshes = !settings::has(feature::BLOCKED)
                || !policy.blocks(F::class(policy, datagram.source));
            let known = if refreshes {
                flows::is_reply::<F>(run, &tuple, false)
            } else {
                flows::exists::<F>(run, &tuple)
            };
            if known { Reason::Reply } else { Reason::Unsolicited }
        }
        Kind::Error if policy.chooses(choice::DROP_ICMP_ERRORS) => Reason::Disabled,
        Kind::Error if policy.chooses(choice::PASS_ICMP_ERRORS) => Reason::IcmpError,
        Kind::Error => error::<F>(run, policy, datagram, icmp),
        // Hop limit 255 proves that no router was in between; a fragment proves nothing (RFC 4861, RFC 6980).
        Kind::Neighbor | Kind::Router
            if datagram.hop_limit != 255 || !datagram.fragment.is_whole() =>
        {
            Reason::NotOnLink
        }
        Kind::Neighbor => Reason::NeighborDiscovery,
        Kind::Router if policy.chooses(choice::DROP_ROUTER_ADVERTISEMENTS) => Reason::Disabled,
        Kind::Router if F::is_link_local(datagram.source) => Reason::NeighborDiscovery,
        Kind::Router => Reason::NotOnLink,
        Kind::Listener if policy.chooses(choice::DROP_MLD) => Reason::Disabled,
        Kind::Listener if is_listener_message::<F>(datagram, icmp) => Reason::Mld,
        Kind::Listener => Reason::NotOnLink,
        Kind::Other => Reason::IcmpType,
    }
}

/// Listener discovery has hop limit 1 and comes from a link-local address; a report may come from one who has none yet
/// (RFC 2710, section 3; RFC 3810, section 5).
#[inline(always)]
fn is_listener_message<F: Family>(datagram: &Datagram<F::Address>, icmp: &Icmp) -> bool {
    datagram.hop_limit == 1
        && (F::is_link_local(datagram.source)
            || F::is_unspecified(datagram.source) && icmp.kind != v6::LISTENER_QUERY)
}

#[inline(always)]
fn echo<F: Family>(run: &Run, policy: &Policy, datagram: &Datagram<F::Address>) -> Reason {
    if policy.chooses(choice::DROP_ECHO) {
        return Reason::Disabled;
    }
    if limits::take::<F>(run, policy, policy.generation().echo_limit, datagram.source) {
        Reason::EchoRequest
    } else {
        Reason::EchoLimit
    }
}

/// An error passes if it concerns a flow: one that the server opened, or one with a peer that may reach a served port.
#[inline(always)]
fn error<F: Family>(
    run: &Run,
    policy: &Policy,
    datagram: &Datagram<F::Address>,
    icmp: &Icmp,
) -> Reason {
    let quoted = match F::quoted(icmp.cursor, icmp.remaining, datagram.destination) {
        Ok(quoted) => quoted,
        Err(reason) => return reason,
    };
    let tuple = Tuple {
        local: datagram.destination,
        remote: quoted.remote,
        local_port: quoted.local_port,
        remote_port: quoted.remote_port,
        protocol: quoted.protocol,
    };
    if quoted.protocol != F::ICMP {
        let first = if quoted.protocol == protocol::TCP { PORTS_TCP } else { PORTS_UDP };
        let entry = policy.port(position_of_port(first, quoted.local_port));
        if ports::allows::<F>(run, policy, &entry, quoted.remote).is_some() {
            return Reason::IcmpError;
        }
    }
    if flows::exists::<F>(run, &tuple) { Reason::IcmpError } else { Reason::IcmpUnrelated }
}
