//! Replies to flows that the server opened. The egress program writes the table, the ingress program reads it, so an outsider
//! cannot make an entry.

use foobar_common::{
    flow::{FLOW_CLOSED_BY_PEER, FLOW_CLOSING, FLOW_ESTABLISHED, FLOW_FOREIGN, FLOW_OPENING, Flow},
    parse::protocol,
    tables::{PORTS_TCP, PORTS_UDP, ROW_U32},
};

use crate::{
    family::{Family, Tuple},
    maps::OWN_PORTS,
    policy::Policy,
    run::Run,
    settings,
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
    protocol: u8,
    local_port: u16,
    flags: u32,
    jiffies: u64,
) -> bool {
    let policy = Policy::current();
    let epoch = policy.generation().flow_epoch as u16;
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
    let epoch = policy.generation().flow_epoch as u16;
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

/// Whether some flow was opened from this local port of TCP or UDP, given as an index in the port table, and not too long ago.
/// Answers most closed ports without a look-up in the table of flows.
#[inline(always)]
pub fn port_was_used(run: &Run, index: u32) -> bool {
    let seen = match own_port(index) {
        // SAFETY: an element of the row of an array map.
        Some(seen) => unsafe { *seen },
        None => 0,
    };
    if seen == 0 {
        return false;
    }
    let most = if index < PORTS_UDP {
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
    if let Some(seen) = own_port(first + u16::from_be(port) as u32) {
        // SAFETY: an element of the row of an array map; a store of one word.
        unsafe { *seen = now };
    }
}

/// When a port was last used: [`OWN_PORTS`] has the ports of TCP and UDP in the order of the port table.
#[inline(always)]
fn own_port(index: u32) -> Option<*mut u32> {
    let row = OWN_PORTS.get_ptr_mut(index / ROW_U32)?;
    // SAFETY: a row has 16 elements.
    Some(unsafe { row.cast::<u32>().add((index % ROW_U32) as usize) })
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
