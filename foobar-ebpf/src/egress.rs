//! What leaves: the TCX program. It remembers the flows that the server opens, so that their replies come in, and applies the
//! egress rules. It never drops what it cannot read: that is this server's own.

use aya_ebpf::{
    bindings::{__sk_buff, TC_ACT_SHOT},
    programs::TcContext,
};
use foobar_common::{
    counters::Transport,
    event::TRACE_MAGIC,
    parse::{
        Datagram, ethernet, ipv4, ipv6, ordinary, protocol,
        transport::{self, Tcp, flag},
    },
    reason::Reason,
    tables::{
        Cell, PORT_SERVED, PORT_UNIFORM, PORTS_OTHER, PORTS_TCP, PORTS_UDP, PortEntry, feature,
        position_of_port,
    },
};

use crate::{
    account, events,
    family::{Family, Tuple, V4, V6},
    flows,
    frame::Leaving,
    maps::EGRESS_COUNTERS,
    observe,
    policy::Policy,
    run::Run,
    segment::{self, Segment},
    settings,
    verdict::because,
};

/// Leave it to the next program (`TCX_NEXT`; for a classifier, "unspecified").
const NEXT: i32 = -1;

/// Remembers and judges a packet, counts it, and says what the kernel shall do with it. Where ports are observed, this program shows the
/// observers what passes: one more would read all headers again.
#[inline(always)]
pub fn entry<const OBSERVES: bool>(context: &TcContext) -> i32 {
    let policy = Policy::current();
    let skb = context.skb.skb;
    if settings::trace_egress() != 0 {
        return traced(&policy, skb);
    }
    let frame = Leaving::as_it_is(skb);
    let segment = match answer(&policy, &frame) {
        Some((found, port)) => {
            finish(&policy, skb, &frame, because(Reason::EgressServed, Transport::Tcp));
            if OBSERVES { Some(Segment::of(&found, false, port)) } else { None }
        }
        None => {
            let cell = Run::live().unpack(judge_leaving(skb, policy.active(), 0));
            if !finish(&policy, skb, &frame, cell) {
                return TC_ACT_SHOT;
            }
            if OBSERVES { segment::odd(skb, false) } else { None }
        }
    };
    if let Some(segment) = segment {
        observe::leaving(skb, &segment);
    }
    NEXT
}

/// Counts a packet, and tells of it if somebody wants to know. Whether it passes.
#[inline(always)]
fn finish(policy: &Policy, skb: *mut __sk_buff, frame: &Leaving, cell: Cell) -> bool {
    let pass = account::count(&EGRESS_COUNTERS, policy, cell, frame.bytes as u64);
    if policy.sampled() != 0 {
        events::sample_egress(skb, cell.0);
    }
    pass
}

/// In an instance of `replay`: the same, with the finding left in `__sk_buff.cb`.
#[inline(always)]
fn traced(policy: &Policy, skb: *mut __sk_buff) -> i32 {
    // SAFETY: the context is the one that the kernel passed.
    let context = unsafe { &mut *skb };
    let jiffies = context.cb[2] as u64 | (context.cb[3] as u64) << 32;
    let run = Run::traced(context.cb[1], jiffies);
    let frame = Leaving::as_it_is(skb);
    let cell = match answer(policy, &frame) {
        Some(_) => because(Reason::EgressServed, Transport::Tcp),
        None => {
            let (flags, jiffies) = run.parts();
            run.unpack(judge_leaving(skb, policy.active() | flags << 8, jiffies))
        }
    };
    let pass = if run.may_write() {
        account::count(&EGRESS_COUNTERS, policy, cell, frame.bytes as u64)
    } else {
        cell.passes() || policy.audits()
    };
    context.cb[0] = TRACE_MAGIC + 1;
    context.cb[4] = cell.counter() as u32 | (run.class() as u32) << 16;
    if pass { NEXT } else { TC_ACT_SHOT }
}

/// An ordinary segment from a served port that opens nothing, as almost all that a server sends, and what its port means.
#[inline(always)]
fn answer<'p>(policy: &'p Policy, frame: &Leaving) -> Option<(ordinary::Segment, &'p PortEntry)> {
    let segment = frame.ordinary_segment()?;
    let port = policy.port_of(PORTS_TCP as u64 + segment.source_port as u64);
    let opens = segment.flags & (flag::SYN | flag::ACK) == flag::SYN;
    if port.flags & PORT_SERVED != 0 && !opens { Some((segment, port)) } else { None }
}

/// What leaves otherwise, in the generation (bit 0) and with the flags of the run (bits 8 to 31) that `what` holds. Returns [`Run::pack`]. A
/// global function: the kernel verifies it once, and the usual way stays short.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn judge_leaving(skb: *mut __sk_buff, what: u32, jiffies: u64) -> u64 {
    let run = Run::traced(what >> 8, jiffies);
    let policy = Policy::of(what);
    let mut frame = Leaving::new(skb);
    let mut cursor = frame.cursor();
    let other = because(Reason::Egress, Transport::Other);
    let cell = match ethernet::ethernet(&mut cursor).map(|link| link.protocol) {
        Ok(ethernet::IPV4) => match ipv4::ipv4(cursor, &mut frame) {
            Ok(datagram) => ip::<V4>(&run, &policy, &datagram),
            Err(_) => other,
        },
        Ok(ethernet::IPV6) => match ipv6::ipv6(cursor, &mut frame) {
            Ok(datagram) => ip::<V6>(&run, &policy, &datagram),
            Err(_) => other,
        },
        _ => other,
    };
    run.pack(cell)
}

/// An IP datagram.
#[inline(always)]
fn ip<F: Family>(run: &Run, policy: &Policy, datagram: &Datagram<F::Address>) -> Cell {
    if datagram.fragment.is_tail() {
        return because(Reason::Egress, Transport::Other);
    }
    match datagram.protocol {
        protocol::TCP => match transport::tcp(datagram) {
            Ok(tcp) => segment::<F>(run, policy, datagram, &tcp),
            Err(_) => because(Reason::Egress, Transport::Tcp),
        },
        protocol::UDP => match transport::udp(datagram) {
            Ok(udp) => {
                let served = policy.port(position_of_port(PORTS_UDP, udp.source_port)).flags
                    & PORT_SERVED
                    != 0;
                if served {
                    return because(Reason::EgressServed, Transport::Udp);
                }
                let cell = by_rules::<F>(
                    run,
                    policy,
                    position_of_port(PORTS_UDP, udp.destination_port),
                    datagram.destination,
                    Transport::Udp,
                );
                if cell.passes() || policy.audits() {
                    let tuple = tuple(datagram, udp.source_port, udp.destination_port);
                    flows::remember::<F>(run, policy, &tuple, false, false);
                }
                cell
            }
            Err(_) => because(Reason::Egress, Transport::Udp),
        },
        number if number == F::ICMP => icmp::<F>(run, policy, datagram),
        number => by_rules::<F>(
            run,
            policy,
            PORTS_OTHER + number as u32,
            datagram.destination,
            Transport::Other,
        ),
    }
}

/// A TCP segment. RST and SYN+ACK make no flow: an outsider can provoke them.
#[inline(always)]
fn segment<F: Family>(
    run: &Run,
    policy: &Policy,
    datagram: &Datagram<F::Address>,
    tcp: &Tcp,
) -> Cell {
    let served = policy.port(position_of_port(PORTS_TCP, tcp.source_port)).flags & PORT_SERVED != 0;
    if served && !tcp.opens() {
        return because(Reason::EgressServed, Transport::Tcp);
    }
    let cell = by_rules::<F>(
        run,
        policy,
        position_of_port(PORTS_TCP, tcp.destination_port),
        datagram.destination,
        Transport::Tcp,
    );
    let tuple = tuple(datagram, tcp.source_port, tcp.destination_port);
    if tcp.flags & flag::RST != 0 {
        flows::abort::<F>(run, &tuple);
    } else if (cell.passes() || policy.audits()) && !tcp.accepts() {
        flows::remember::<F>(run, policy, &tuple, tcp.opens(), tcp.closes());
    }
    cell
}

/// ICMP and ICMPv6. An echo request is remembered, so that its reply comes in; nothing else needs to be.
#[inline(always)]
fn icmp<F: Family>(run: &Run, policy: &Policy, datagram: &Datagram<F::Address>) -> Cell {
    let Ok(icmp) = transport::icmp(datagram) else {
        return because(Reason::Egress, Transport::Icmp);
    };
    let echo_request = if F::ICMP == protocol::ICMP { 8 } else { 128 };
    if icmp.kind != echo_request {
        // Answers, errors and neighbour discovery: what the other side or the link needs of this server.
        return because(Reason::Egress, Transport::Icmp);
    }
    let cell = by_rules::<F>(
        run,
        policy,
        PORTS_OTHER + F::ICMP as u32,
        datagram.destination,
        Transport::Icmp,
    );
    if cell.passes() || policy.audits() {
        flows::remember::<F>(run, policy, &tuple(datagram, icmp.identifier, 0), false, false);
    }
    cell
}

/// What the egress rules say to this destination.
#[inline(always)]
fn by_rules<F: Family>(
    run: &Run,
    policy: &Policy,
    port: u32,
    destination: F::Address,
    transport: Transport,
) -> Cell {
    if !settings::has(feature::EGRESS) {
        return because(Reason::Egress, transport);
    }
    let entry: PortEntry = policy.egress_port(port);
    if entry.flags & PORT_UNIFORM != 0 {
        return entry.cell;
    }
    let class = F::class(policy, destination);
    run.found_class(class);
    match policy.cell(entry.class, class as u64) {
        Some(cell) => cell,
        None => because(Reason::EgressDenied, transport),
    }
}

#[inline(always)]
fn tuple<Address: Copy>(
    datagram: &Datagram<Address>,
    local_port: u16,
    remote_port: u16,
) -> Tuple<Address> {
    Tuple {
        local: datagram.source,
        remote: datagram.destination,
        local_port,
        remote_port,
        protocol: datagram.protocol,
    }
}
