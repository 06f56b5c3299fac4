//! Which counter a verdict increments.
//!
//! A packet costs one look-up in a per-CPU array, so the number of the counter alone says everything: verdict, reason and,
//! where a rule or a named port is involved, which. The first [`FIXED`] counters belong to a reason and a transport. Those
//! behind them are handed out by the policy compiler to pairs of (rule or reason, port) and stored in the cells.
//!
//! The second half of the map counts what would have been dropped while the mode is `audit`.

/// Upper bound of [`crate::reason::Reason`] numbers.
pub const REASONS: u16 = 64;

/// Transports that are told apart in counters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Transport {
    Tcp = 0,
    Udp = 1,
    Icmp = 2,
    /// Any other IP protocol, and frames that are not IP.
    Other = 3,
}

impl Transport {
    /// All transports, in the order of their numbers.
    pub const ALL: [Transport; 4] =
        [Transport::Tcp, Transport::Udp, Transport::Icmp, Transport::Other];

    /// The value of the label `transport`.
    pub const fn name(self) -> &'static str {
        match self {
            Transport::Tcp => "tcp",
            Transport::Udp => "udp",
            Transport::Icmp => "icmp",
            Transport::Other => "other",
        }
    }
}

/// Counters that belong to a reason and a transport and to no named port.
pub const FIXED: u16 = REASONS * Transport::ALL.len() as u16;

/// The counter of a reason and a transport without a named port.
pub const fn fixed(reason: crate::reason::Reason, transport: Transport) -> u16 {
    reason as u16 * Transport::ALL.len() as u16 + transport as u16
}

/// A rule's cell owns this many counters in a row: see [`RULE_PASSED`], [`RULE_ATTEMPTS`] and [`RULE_LIMITED`].
pub const PER_RULE_CELL: u16 = 3;
/// Offset of the counter for packets that the rule lets pass, except those that open a TCP connection.
pub const RULE_PASSED: u16 = 0;
/// Offset of the counter for TCP segments with SYN and without ACK that the rule lets pass: connection attempts.
pub const RULE_ATTEMPTS: u16 = 1;
/// Offset of the counter for packets over the rule's limit.
pub const RULE_LIMITED: u16 = 2;

/// One counter.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counter {
    pub packets: u64,
    /// Bytes of the frames, from the Ethernet header on.
    pub bytes: u64,
}

const _: () = assert!(size_of::<Counter>() == 16);
