//! What the model remembers: flows that the server opened, and first fragments that passed.

use std::{collections::HashMap, net::IpAddr};

/// Seconds that the product's coarse clock may be off.
const BLUR: u64 = 3;

/// How long flows may be silent, in seconds: the product's defaults.
mod timeout {
    pub const TCP_OPENING: u64 = 120;
    pub const TCP_ESTABLISHED: u64 = 432_000;
    pub const TCP_CLOSING: u64 = 120;
    pub const UDP: u64 = 180;
    pub const ICMP: u64 = 30;
    pub const FRAGMENT: u64 = 30;
}

/// A flow, as the server sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Tuple {
    /// IP protocol number.
    pub protocol: u8,
    /// The server's address.
    pub local: IpAddr,
    /// The server's port, or the identifier of its echo request.
    pub local_port: u16,
    /// The other's address.
    pub remote: IpAddr,
    /// The other's port; 0 for echo.
    pub remote_port: u16,
}

/// A fragmented datagram: source, destination, identification, and in IPv4 the protocol.
pub type Fragmented = (IpAddr, IpAddr, u32, Option<u8>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Opening,
    Established,
    /// The other end said that it is over; as long as the server goes on, it is not.
    ClosedByPeer,
    Closing,
}

#[derive(Clone, Copy, Debug)]
struct Flow {
    state: State,
    seen: u64,
    /// Whether its state does not depend on the clock.
    is_clear: bool,
}

/// A first fragment.
#[derive(Clone, Copy, Debug)]
struct First {
    /// The protocol that its IP or fragment header named.
    protocol: u8,
    seen: u64,
    /// Whether it passed; perhaps it did.
    passed: Known,
}

/// An answer that depends on the clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known {
    /// It is remembered.
    Yes,
    /// It is not, or was forgotten.
    No,
    /// It is about to be forgotten.
    Perhaps,
}

/// What was seen so far.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    flows: HashMap<Tuple, Flow>,
    fragments: HashMap<Fragmented, First>,
}

impl Memory {
    /// The server sent a packet of this flow.
    pub fn sent(&mut self, tuple: Tuple, opens: bool, closes: bool, now: u64) {
        let before = self.knows(&tuple, now);
        let state = match self.flows.get(&tuple) {
            _ if closes => State::Closing,
            _ if opens => State::Opening,
            Some(flow) if before != Known::No && flow.state != State::ClosedByPeer => flow.state,
            _ => State::Established,
        };
        let is_clear = closes || opens || before != Known::Perhaps;
        self.flows.insert(tuple, Flow { state, seen: now, is_clear });
    }

    /// The server reset this flow. That opens nothing.
    pub fn reset(&mut self, tuple: Tuple) {
        if let Some(flow) = self.flows.get_mut(&tuple) {
            flow.state = State::Closing;
        }
    }

    /// Whether the server has this flow.
    pub fn knows(&self, tuple: &Tuple, now: u64) -> Known {
        let Some(flow) = self.flows.get(tuple) else { return Known::No };
        let limit = match (tuple.protocol, flow.state) {
            (6, State::Opening) => timeout::TCP_OPENING,
            (6, State::Established) => timeout::TCP_ESTABLISHED,
            (6, State::ClosedByPeer | State::Closing) => timeout::TCP_CLOSING,
            (17, _) => timeout::UDP,
            _ => timeout::ICMP,
        };
        if flow.is_clear { known(flow.seen, limit, now) } else { Known::Perhaps }
    }

    /// A packet of this flow came and passed.
    pub fn answered(&mut self, tuple: &Tuple, closes: bool, now: u64) {
        if let Some(flow) = self.flows.get_mut(tuple) {
            flow.seen = now;
            flow.state = match flow.state {
                State::Closing => State::Closing,
                _ if closes => State::ClosedByPeer,
                State::Opening => State::Established,
                state => state,
            };
        }
    }

    /// A packet of this flow came, and whether it passed depends on the clock.
    pub fn perhaps_answered(&mut self, tuple: &Tuple) {
        if let Some(flow) = self.flows.get_mut(tuple) {
            flow.is_clear = false;
        }
    }

    /// A first fragment got its verdict.
    pub fn first_fragment(&mut self, key: Fragmented, protocol: u8, passed: Known, now: u64) {
        self.fragments.insert(key, First { protocol, seen: now, passed });
    }

    /// Whether the first fragment passed, and which protocol it named.
    pub fn fragment(&self, key: &Fragmented, now: u64) -> (Known, Option<u8>) {
        match self.fragments.get(key) {
            Some(First { passed: Known::Yes, seen, protocol }) => {
                (known(*seen, timeout::FRAGMENT, now), Some(*protocol))
            }
            Some(First { passed, protocol, .. }) => (*passed, Some(*protocol)),
            None => (Known::No, None),
        }
    }
}

fn known(seen: u64, limit: u64, now: u64) -> Known {
    let age = now - seen;
    match age {
        _ if age + BLUR < limit => Known::Yes,
        _ if age > limit + BLUR => Known::No,
        _ => Known::Perhaps,
    }
}
