//! What arrives: the XDP program.

use aya_ebpf::{
    bindings::{xdp_action, xdp_md},
    programs::XdpContext,
};
use foobar_common::{
    counters::Transport,
    event::{TRACE_MAGIC, Trace},
    parse::{Datagram, ethernet, ipv4, ipv6, protocol},
    reason::Reason,
    tables::{Cell, choice},
};

use crate::{
    account,
    conclusion::{self, transport_of, unless_blocked},
    events,
    family::{Family, V4, V6},
    fragments,
    frame::Arriving,
    icmp,
    maps::COUNTERS,
    ordinary,
    policy::Policy,
    ports,
    run::Run,
    verdict::because,
};

/// What [`judge6`] returns for ICMPv6, which has its own function.
const IS_ICMP: u64 = u64::MAX;
/// Flag of every traced run, beside those that the trace holds.
const TRACED: u32 = 1 << 4;

/// Judges a packet, counts it, and says what the kernel shall do with it.
///
/// A live packet has no metadata, and what is only there for traced runs is not in its program: the two are made of the same source.
#[inline(always)]
pub fn entry(context: &XdpContext) -> u32 {
    if context.metadata() < context.data() {
        return with_metadata(context);
    }
    let (run, policy) = (Run::live(), Policy::current());
    let mut frame = Arriving::new(context.ctx);
    let cell = match ordinary::judge(&run, &policy, &frame) {
        Some(cell) => cell,
        None => judge(&run, &policy, &mut frame),
    };
    let pass = account::count(&COUNTERS, &policy, cell, frame.bytes);
    if policy.sampled() != 0 {
        events::sample_ingress(context.ctx, cell.0);
    }
    action(pass)
}

/// A packet with something in front of it: the request to trace this run, or what a driver left there.
#[inline(always)]
fn with_metadata(context: &XdpContext) -> u32 {
    let run = match trace_of(context) {
        // SAFETY: `trace_of` checked that the metadata area holds one.
        Some(trace) => unsafe { Run::traced((*trace).flags | TRACED, (*trace).jiffies) },
        None => Run::live(),
    };
    let policy = Policy::current();
    let mut frame = Arriving::new(context.ctx);
    let cell = match ordinary::judge_traced(&run, &policy, &frame) {
        Some(cell) => cell,
        None => judge(&run, &policy, &mut frame),
    };
    if run.flags() != 0 {
        return traced(&run, &policy, cell, &frame, context);
    }
    let pass = account::count(&COUNTERS, &policy, cell, frame.bytes);
    if policy.sampled() != 0 {
        events::sample_ingress(context.ctx, cell.0);
    }
    action(pass)
}

/// The end of a traced run: leaves the finding in the packet's metadata.
#[inline(always)]
fn traced(run: &Run, policy: &Policy, cell: Cell, frame: &Arriving, context: &XdpContext) -> u32 {
    let pass = if run.may_write() {
        account::count(&COUNTERS, policy, cell, frame.bytes)
    } else {
        cell.passes() || policy.audits()
    };
    let Some(trace) = trace_of(context) else {
        return xdp_action::XDP_ABORTED;
    };
    // SAFETY: `trace_of` checked that the metadata area holds one.
    let trace = unsafe { &mut *trace };
    trace.counter = cell.counter();
    trace.source_class = run.class();
    trace.audited = (pass && !cell.passes()) as u8;
    trace.done = 1;
    action(pass)
}

#[inline(always)]
fn action(pass: bool) -> u32 {
    if pass { xdp_action::XDP_PASS } else { xdp_action::XDP_DROP }
}

/// The request to trace this run.
#[inline(always)]
fn trace_of(context: &XdpContext) -> Option<*mut Trace> {
    let start = context.metadata();
    if start + size_of::<Trace>() > context.data() {
        return None;
    }
    let trace = start as *mut Trace;
    // SAFETY: the bounds of the metadata area were checked.
    if unsafe { (*trace).magic } == TRACE_MAGIC { Some(trace) } else { None }
}

/// The verdict and its reason.
#[inline(always)]
fn judge(run: &Run, policy: &Policy, frame: &mut Arriving) -> Cell {
    let cell = judge_any(run, policy, frame);
    if run.is_long() {
        frame.bytes = frame.whole();
    }
    cell
}

#[inline(always)]
fn judge_any(run: &Run, policy: &Policy, frame: &Arriving) -> Cell {
    let mut cursor = frame.cursor();
    let link = match ethernet::ethernet(&mut cursor) {
        Ok(link) => link,
        Err(reason) => return because(reason, Transport::Other),
    };
    let offset = frame.offset(&cursor);
    let (flags, jiffies) = run.parts();
    let what = policy.active() | flags << 8;
    match link.protocol {
        ethernet::IPV4 => match judge4(frame.context, offset, what, jiffies) {
            IS_ICMP => run.unpack(icmp::judge_icmp4(frame.context, offset, what, jiffies)),
            packed => run.unpack(packed),
        },
        ethernet::IPV6 => match judge6(frame.context, offset, what, jiffies) {
            IS_ICMP => run.unpack(icmp::judge_icmp6(frame.context, offset, what, jiffies)),
            packed => run.unpack(packed),
        },
        ethernet::ARP => because(Reason::Arp, Transport::Other),
        _ if link.link_local && !policy.chooses(choice::DROP_LINK_CONTROL) => {
            because(Reason::LinkControl, Transport::Other)
        }
        _ if link.link_local => because(Reason::Disabled, Transport::Other),
        _ => because(Reason::EtherType, Transport::Other),
    }
}

// Global functions: the kernel verifies each once, for any arguments, instead of again on each way that leads to it, and what
// one needs of the stack does not add to what another needs.

/// IPv4, `offset` bytes from the start of the frame, in the generation (bit 0) and with the flags of the run (bits 8 to 31) that
/// `what` holds. Returns [`Run::pack`], or [`IS_ICMP`].
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn judge4(context: *mut xdp_md, offset: u32, what: u32, jiffies: u64) -> u64 {
    let run = Run::traced(what >> 8, jiffies);
    let policy = Policy::of(what);
    let mut frame = Arriving::new(context);
    let cell = match ipv4::ipv4(frame.cursor_at(offset), &mut frame) {
        Ok(datagram) => datagram_of::<V4>(&run, &policy, &datagram),
        Err(reason) => Some(because(reason, Transport::Other)),
    };
    if frame.is_long {
        run.found_long();
    }
    match cell {
        Some(cell) => run.pack(cell),
        None => IS_ICMP,
    }
}

/// The same for IPv6.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn judge6(context: *mut xdp_md, offset: u32, what: u32, jiffies: u64) -> u64 {
    let run = Run::traced(what >> 8, jiffies);
    let policy = Policy::of(what);
    let mut frame = Arriving::new(context);
    let cell = match ipv6::ipv6(frame.cursor_at(offset), &mut frame) {
        Ok(datagram) => datagram_of::<V6>(&run, &policy, &datagram),
        Err(reason) => Some(because(reason, Transport::Other)),
    };
    if frame.is_long {
        run.found_long();
    }
    match cell {
        Some(cell) => run.pack(cell),
        None => IS_ICMP,
    }
}

/// An IP datagram; `None` if it is ICMP, which has its own function.
#[inline(always)]
fn datagram_of<F: Family>(
    run: &Run,
    policy: &Policy,
    datagram: &Datagram<F::Address>,
) -> Option<Cell> {
    if let Err(reason) = admissible::<F>(policy, datagram) {
        return Some(because(reason, transport_of::<F>(datagram.protocol)));
    }
    let cell = if datagram.fragment.is_tail() {
        let transport = transport_of::<F>(datagram.fragment.protocol);
        let cell = because(fragments::tail::<F>(run, policy, datagram), transport);
        unless_blocked::<F>(run, policy, datagram.source, transport, cell)
    } else {
        if datagram.protocol == F::ICMP {
            return None;
        }
        ports::judge::<F>(run, policy, datagram)
    };
    Some(conclusion::finish::<F>(run, policy, datagram, cell))
}

/// Whether the datagram may be judged at all, by its source and its odd parts.
#[inline(always)]
fn admissible<F: Family>(policy: &Policy, datagram: &Datagram<F::Address>) -> Result<(), Reason> {
    if datagram.has_options {
        if datagram.source_routed {
            return Err(Reason::SourceRoute);
        }
        if F::ICMP == protocol::ICMP {
            if policy.chooses(choice::DROP_IPV4_OPTIONS) {
                return Err(Reason::Ipv4Options);
            }
        } else if policy.chooses(choice::DROP_EXTENSION_HEADERS) {
            return Err(Reason::ExtensionHeader);
        }
    }
    if datagram.fragment.more && policy.chooses(choice::DROP_FRAGMENTS) {
        return Err(Reason::Fragment);
    }
    if F::is_martian(datagram.source)
        && !(F::is_unspecified(datagram.source) && F::asks_without_address(datagram.protocol))
        && !policy.chooses(choice::PASS_MARTIANS)
    {
        return Err(Reason::Martian);
    }
    Ok(())
}
