//! Live events: sampled packets and requests on their way from the daemon to everybody who watches.
//!
//! - [`feed`]: one sender, many watchers; what they want decides what the kernel samples.
//! - [`request`]: a sampled request.
//! - [`suppressed`]: how many more packets or requests there were than events.
//! - [`stream`]: the answer to `GET /v1/events`, a JSON object a line.

pub mod feed;
pub mod request;
pub mod stream;
pub mod suppressed;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

pub use feed::{Demand, Feed, Message, Watcher};
pub use request::Request;
pub use suppressed::Totals;

use crate::live::Dropped;

/// What to tell of: `GET /v1/events?dropped=true&port=443`, or `GET /v1/events?requests=true`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WatchQuery {
    /// Only packets that are dropped, or would be in mode `enforce`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub dropped: bool,
    /// Requests in clear on observed ports, not packets.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub requests: bool,
    /// Only packets or requests to this port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
}

/// A line of the answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Line {
    /// A packet.
    Event(Box<Event>),
    /// A request.
    Request(Request),
    /// Packets or requests that were not told of.
    Suppressed(Suppressed),
}

/// Packets or requests that were not told of, because there were more than the rate at which the kernel samples allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Suppressed {
    /// How many since the last such line.
    pub suppressed: u64,
}

/// A packet. What it does not have is absent.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// Seconds since 1970.
    pub time: f64,
    /// Name of the interface.
    pub interface: String,
    /// `ingress` or `egress`.
    pub direction: String,
    /// `pass` or `drop`: what mode `enforce` does with it.
    pub verdict: String,
    /// The reason's name.
    pub reason: String,
    /// The rule that decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// It passed nevertheless, because the mode is `audit`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub audited: bool,
    /// `tcp`, ... or the number; absent if the frame is not IP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protocol: Option<String>,
    /// Source address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// Source port, of protocols with ports.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_port: Option<u16>,
    /// Destination address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub destination: Option<String>,
    /// Destination port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub destination_port: Option<u16>,
    /// TCP flags: those of FIN, SYN, RST, PSH, ACK, URG, ECE, CWR that are set, as in `SYN ACK`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tcp_flags: Option<String>,
    /// Bytes of the frame.
    pub length: u32,
    /// Generation of the policy that judged it, low 32 bits.
    pub generation: u32,
    /// The named port whose counters it was counted in.
    #[serde(skip)]
    pub counted_port: Option<u16>,
}

impl Event {
    /// The source with its port, as in `192.0.2.1:22` or `[2001:db8::1]:22`; `-` if the frame is not IP.
    pub fn sender(&self) -> String {
        end(self.source.as_deref(), self.source_port)
    }

    /// The same for the destination.
    pub fn receiver(&self) -> String {
        end(self.destination.as_deref(), self.destination_port)
    }

    /// Itself, if it came in and was dropped, or would have been but for audit mode. The source of one that goes out is this server.
    pub fn dropped(&self) -> Option<Dropped<'_>> {
        let counts = self.verdict == "drop" && self.direction == "ingress";
        let source = self.source.as_deref().filter(|_| counts)?;
        Some(Dropped { source, port: self.destination_port, reason: &self.reason })
    }

    /// Whether it is one that the query asks for.
    pub fn answers(&self, query: &WatchQuery) -> bool {
        !query.requests
            && (!query.dropped || self.verdict == "drop")
            && query.port.is_none_or(|port| self.destination_port == Some(port))
    }
}

fn end(address: Option<&str>, port: Option<u16>) -> String {
    match (address, port) {
        (None, _) => "-".to_owned(),
        (Some(address), None) => address.to_owned(),
        (Some(address), Some(port)) if address.contains(':') => format!("[{address}]:{port}"),
        (Some(address), Some(port)) => format!("{address}:{port}"),
    }
}
