//! Replies to flows that the server opened. The egress program writes the table, the ingress program reads it, so an outsider
//! cannot make an entry.

use foobar_common::{
    flow::{FLOW_CLOSED_BY_PEER, FLOW_CLOSING, FLOW_ESTABLISHED, FLOW_FOREIGN, FLOW_OPENING, Flow},
    parse::protocol,
    tables::{PORTS_TCP, PORTS_UDP, position_of_port},
};

use crate::{
    family::{Family, Tuple},
    policy::Policy,
    run::Run,
    settings,
    tables::USED_PORTS,
};

/// Flag of [`find`], beside those of a run: the packet ends the connection.
const CLOSES: u32 = 1 << 8;
/// Flag of [`find`]: only look, for what is about the flow but does not belong to it.
const LOOK: u32 = 1 << 9;

/// Whether a packet of this flow answers one that the server opened.
#[inline(always)]
pub fn is_reply<F: Family>(run: &Run, tuple: &Tuple<F::Address>, closes: bool) -> bool {
    let (flags, jiffies) = run.parts();
    F::find(tuple, flags | if closes { CLOSES } else { 0 }, jiffies)
}

/// The same for an ordinary packet.
#[inline(always)]
pub fn is_reply_here<F: Family>(
    run: &Run,
    policy: &Policy,
    tuple: &Tuple<F::Address>,
    closes: bool,
) -> bool {
    let (flags, jiffies) = run.parts();
    F::find_here(tuple, policy.epoch(), flags | if closes { CLOSES } else { 0 }, jiffies)
}

/// Whether the server has such a flow at all. Changes nothing.
#[inline(always)]
pub fn exists<F: Family>(run: &Run, tuple: &Tuple<F::Address>) -> bool {
    let (flags, jiffies) = run.parts();
    F::find(tuple, flags | LOOK, jiffies)
}

/// Whether the entry that `look_up` finds counts, and if so, refreshes it. What else is needed is asked for first: then little has to
/// be kept during the look-up, and the stack of this function adds to those of its callers.
#[inline(always)]
pub fn find(
    look_up: impl FnOnce() -> Option<*mut Flow>,
    epoch: u16,
    protocol: u8,
    local_port: u16,
    flags: u32,
    jiffies: u64,
) -> bool {
    let run = Run::traced(flags, jiffies);
    let now = run.ticks();
    let Some(flow) = look_up() else {
        return false;
    };
    // SAFETY: an entry of an LRU map stays readable until the program ends, even if it is evicted.
    let flow = unsafe { &mut *flow };
    if flow.epoch != epoch
        || flow.state == FLOW_FOREIGN
        || now.wrapping_sub(flow.last_seen) > timeout(protocol, flow.state)
    {
        return false;
    }
    if run.may_write() && flags & LOOK == 0 {
        let state = match flow.state {
            FLOW_CLOSING => FLOW_CLOSING,
            _ if flags & CLOSES != 0 => FLOW_CLOSED_BY_PEER,
            FLOW_OPENING => FLOW_ESTABLISHED,
            state => state,
        };
        if flow.state != state {
            flow.state = state;
        }
        if flow.last_seen != now {
            flow.last_seen = now;
            // The port lives as long as its flows do, also where this server only listens to what it once asked for.
            mark_port(protocol, local_port, now);
        }
    }
    true
}

/// Remembers that the server sent a packet of this flow.
#[inline(always)]
pub fn remember<F: Family>(
    run: &Run,
    policy: &Policy,
    tuple: &Tuple<F::Address>,
    opens: bool,
    closes: bool,
) {
    if !run.may_write() {
        return;
    }
    let now = run.ticks();
    let epoch = policy.epoch();
    if let Some(flow) = F::flow(tuple) {
        // SAFETY: an entry of an LRU map stays readable until the program ends, even if it is evicted.
        let flow = unsafe { &mut *flow };
        if flow.epoch == epoch
            && now.wrapping_sub(flow.last_seen) <= timeout(tuple.protocol, flow.state)
        {
            if flow.state == FLOW_FOREIGN && !opens {
                return;
            }
            let state = match () {
                () if closes => FLOW_CLOSING,
                () if opens => FLOW_OPENING,
                () if flow.state == FLOW_CLOSED_BY_PEER => FLOW_ESTABLISHED,
                () => flow.state,
            };
            if flow.state != state {
                flow.state = state;
            }
            if flow.last_seen != now {
                flow.last_seen = now;
                mark_port(tuple.protocol, tuple.local_port, now);
            }
            return;
        }
    }
    let state = match () {
        () if closes => FLOW_CLOSING,
        () if opens => FLOW_OPENING,
        () => FLOW_ESTABLISHED,
    };
    F::remember(tuple, &Flow { last_seen: now, epoch, state });
    mark_port(tuple.protocol, tuple.local_port, now);
}

/// The server aborted a flow: RST. It makes no entry, since an outsider can provoke it.
#[inline(always)]
pub fn abort<F: Family>(run: &Run, tuple: &Tuple<F::Address>) {
    if !run.may_write() {
        return;
    }
    if let Some(flow) = F::flow(tuple) {
        // SAFETY: an entry of an LRU map stays readable until the program ends, even if it is evicted.
        let flow = unsafe { &mut *flow };
        if flow.state != FLOW_FOREIGN {
            flow.state = FLOW_CLOSING;
        }
    }
}

/// Whether some flow was opened from this local port of TCP or UDP, given as its position in the port table, and not too long ago.
/// Answers most closed ports without a look-up in the table of flows.
#[inline(always)]
pub fn port_was_used(run: &Run, position: u64) -> bool {
    // SAFETY: the verifier makes sure that it lies within the table; a load of one word.
    let seen = unsafe { used_port(position).read_volatile() };
    if seen == 0 {
        return false;
    }
    let most = if position < PORTS_UDP as u64 {
        settings::timeout_tcp_established()
    } else {
        settings::timeout_udp()
    };
    run.ticks().wrapping_sub(seen) <= most
}

#[inline(always)]
fn mark_port(protocol: u8, port: u16, now: u32) {
    let first = match protocol {
        protocol::TCP => PORTS_TCP,
        protocol::UDP => PORTS_UDP,
        _ => return,
    };
    // SAFETY: the verifier makes sure that it lies within the table; a store of one word.
    unsafe { used_port(position_of_port(first, port) as u64).write_volatile(now) };
}

/// Where the table says when a port was last used.
#[inline(always)]
fn used_port(position: u64) -> *mut u32 {
    USED_PORTS.start().cast_mut().wrapping_add(position as usize)
}

/// How long such a flow may be silent, in ticks.
#[inline(always)]
fn timeout(protocol: u8, state: u16) -> u32 {
    match protocol {
        protocol::TCP if state == FLOW_ESTABLISHED => settings::timeout_tcp_established(),
        protocol::TCP if state == FLOW_OPENING => settings::timeout_tcp_opening(),
        protocol::TCP => settings::timeout_tcp_closing(),
        protocol::UDP => settings::timeout_udp(),
        _ => settings::timeout_icmp(),
    }
}
