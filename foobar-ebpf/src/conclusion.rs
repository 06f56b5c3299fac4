//! What is left once a verdict stands: the blocklist for what passes without a look-up of its source, fragments that follow their
//! first, and the limit of packets a source.

use foobar_common::{
    counters::Transport,
    parse::{Datagram, protocol},
    reason::Reason,
    tables::{Cell, feature},
};

use crate::{
    family::Family, fragments, limits, policy::Policy, run::Run, settings, verdict::because,
};

/// What is left to do once the verdict stands: fragments follow their first, and a source may send only so many packets.
#[inline(always)]
pub fn finish<F: Family>(
    run: &Run,
    policy: &Policy,
    datagram: &Datagram<F::Address>,
    cell: Cell,
) -> Cell {
    if datagram.fragment.more && !datagram.fragment.is_tail() {
        fragments::first::<F>(run, datagram, cell.passes());
    }
    within_packet_limit::<F>(
        run,
        policy,
        datagram.source,
        transport_of::<F>(datagram.protocol),
        cell,
    )
}

/// The cell, unless the packet passes and is one more than its source may send.
#[inline(always)]
pub fn within_packet_limit<F: Family>(
    run: &Run,
    policy: &Policy,
    source: F::Address,
    transport: Transport,
    cell: Cell,
) -> Cell {
    if settings::has(feature::LIMITS)
        && cell.passes()
        && !limits::take::<F>(run, policy, policy.generation().packet_limit, source)
    {
        return because(Reason::PacketLimit, transport);
    }
    cell
}

/// A verdict that no look-up of the source preceded: what the blocklist names never passes, whatever it is.
#[inline(always)]
pub fn unless_blocked<F: Family>(
    run: &Run,
    policy: &Policy,
    source: F::Address,
    transport: Transport,
    cell: Cell,
) -> Cell {
    if !settings::has(feature::BLOCKED) || !cell.passes() {
        return cell;
    }
    let class = F::class(policy, source);
    run.found_class(class);
    if policy.blocks(class) { because(policy.why_blocked(class), transport) } else { cell }
}

/// The transport that a counter is kept under.
#[inline(always)]
pub fn transport_of<F: Family>(number: u8) -> Transport {
    match number {
        protocol::TCP => Transport::Tcp,
        protocol::UDP => Transport::Udp,
        _ if number == F::ICMP => Transport::Icmp,
        _ => Transport::Other,
    }
}
