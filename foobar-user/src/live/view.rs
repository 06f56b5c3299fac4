//! The answer to who looks: `GET /api/live` of the metrics listener, and each line of `GET /v1/live` of the control socket.
//!
//! Rates are per second, times in milliseconds, moments in seconds since 1970. Nothing here names a client, but for
//! [`Live::blocked`], which only the control socket fills.

use serde::{Deserialize, Serialize};

use super::{blocked::BlockedSource, facts::Facts};

/// All that is shown.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Live {
    /// Which points the histories below hold.
    pub history: Span,
    /// When the counters were read last; 0 if they never were.
    pub time: f64,
    /// How long ago that was, seconds. More than a few: the counters cannot be read.
    pub age: f64,
    /// What does not come from counters.
    #[serde(flatten)]
    pub facts: Facts,
    /// All packets.
    pub packets: PacketView,
    /// The named ports in the order of their rules, then `other`.
    pub ports: Vec<PortView>,
    /// Why packets are dropped (mode audit: would be), the most frequent of the last seconds first. Reasons that never
    /// counted are left out.
    pub reasons: Vec<ReasonView>,
    /// Who is dropped most; only on the control socket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blocked: Option<Vec<BlockedSource>>,
}

/// A stretch of history: one point a reading, the oldest first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Span {
    /// Which history; another number is another one, and earlier points belong to other ports.
    pub id: u64,
    /// Number of the reading of the last point. Ask for what comes `after` it next time.
    pub last: u64,
    /// How many points there are.
    pub points: usize,
}

/// A rate over the last 1, 10 and 60 seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Windows {
    /// 1 s.
    #[serde(rename = "1s")]
    pub one: f64,
    /// 10 s.
    #[serde(rename = "10s")]
    pub ten: f64,
    /// 60 s.
    #[serde(rename = "60s")]
    pub sixty: f64,
}

/// Quantiles of what was observed in the last 10 seconds; absent if nothing was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Quantiles {
    /// The median.
    pub p50: Option<f64>,
    /// What 95 of 100 did not exceed.
    pub p95: Option<f64>,
}

/// Incoming packets.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PacketView {
    /// Passed in the last second.
    pub passed: f64,
    /// Dropped (mode audit: would have been) in the last second.
    pub dropped: f64,
    /// Points of `passed`.
    pub passed_history: Vec<f64>,
    /// Points of `dropped`.
    pub dropped_history: Vec<f64>,
}

/// A port.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PortView {
    /// The number, or `other`.
    pub port: String,
    /// Connections accepted.
    pub connections: Windows,
    /// Requests answered; absent where requests are not observed.
    pub requests: Option<Windows>,
    /// Connections established now.
    pub open: u64,
    /// Incoming packets dropped (mode audit: would have been) in the last second.
    pub dropped: f64,
    /// Time to the first byte of answers; absent where requests are not observed.
    pub response: Option<Quantiles>,
    /// Round-trip time of handshakes.
    pub handshake: Quantiles,
    /// Points of `connections`, over the time between two readings.
    pub connections_history: Vec<f64>,
    /// Points of `requests`.
    pub requests_history: Option<Vec<f64>>,
    /// Points of `response`, each over the 10 seconds that end there.
    pub response_history: Option<QuantileHistory>,
    /// Points of `dropped`.
    pub dropped_history: Vec<f64>,
}

/// Points of quantiles; absent where nothing was observed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct QuantileHistory {
    /// The median.
    pub p50: Vec<Option<f64>>,
    /// What 95 of 100 did not exceed.
    pub p95: Vec<Option<f64>>,
}

/// A reason for dropping.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ReasonView {
    /// Its name.
    pub reason: String,
    /// What it means, one sentence.
    pub meaning: String,
    /// Packets in the last second.
    pub rate: f64,
    /// Packets since the counters were made.
    pub total: u64,
    /// Points of `rate`.
    pub rate_history: Vec<f64>,
}
