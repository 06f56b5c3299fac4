//! What the daemon reads once a second. Counts are absolute, as the kernel keeps them.

use std::{collections::BTreeMap, sync::Arc};

use foobar_common::{
    http::stats::FIRST_BYTE_BOUNDS_US,
    observe::{HANDSHAKE_BOUNDS_US, Histogram},
    probes::DURATION_BOUNDS_US,
    reason::Reason,
};

use crate::rates::Rates;

/// Everything that was read at one moment.
#[derive(Clone, Debug, Default)]
pub struct Reading {
    /// The named ports in the order of their rules, then `other`.
    pub ports: Vec<PortReading>,
    /// Packets dropped (in the mode audit: that would have been), both directions, by reason.
    pub refused: BTreeMap<Reason, u64>,
    /// Connections and requests a second ([`crate::rates::Sampler`]).
    pub rates: Arc<Rates>,
}

/// One port.
#[derive(Clone, Debug, Default)]
pub struct PortReading {
    /// The named port; `None` is every other.
    pub port: Option<u16>,
    /// Connections established now.
    pub open: u64,
    /// Connections accepted.
    pub accepted: u64,
    /// Requests answered; `None` where requests are not observed.
    pub requests: Option<u64>,
    /// Incoming packets that passed, those that only audit mode let pass included.
    pub passed: u64,
    /// Incoming packets dropped (in the mode audit: that would have been).
    pub dropped: u64,
    /// Round-trip times of handshakes: the network.
    pub handshake: Times,
    /// Times to the first byte of answers, of whole requests where probes count: the server; `None` where no source tells.
    pub response: Option<Times>,
}

/// A histogram of times.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Times {
    /// Upper bounds of the buckets, microseconds; one more bucket holds the rest.
    pub bounds_us: &'static [u64],
    /// Observations by bucket, not cumulative.
    pub buckets: Vec<u64>,
}

impl Times {
    /// From a histogram of the kernel programs.
    pub fn new(bounds_us: &'static [u64], histogram: &Histogram) -> Self {
        Self { bounds_us, buckets: histogram.buckets.to_vec() }
    }

    /// Round-trip times of handshakes.
    pub fn of_handshakes(histogram: &Histogram) -> Self {
        Self::new(&HANDSHAKE_BOUNDS_US, histogram)
    }

    /// Times to the first byte of answers.
    pub fn of_first_bytes(histogram: &Histogram) -> Self {
        Self::new(&FIRST_BYTE_BOUNDS_US, histogram)
    }

    /// Times from the beginning of a request to its end.
    pub fn of_requests(histogram: &Histogram) -> Self {
        Self::new(&DURATION_BOUNDS_US, histogram)
    }

    /// What came since an earlier reading; all of it, if that was another histogram or one that was made anew.
    pub fn since(&self, earlier: &Times) -> Times {
        let went_on = self.buckets.len() == earlier.buckets.len()
            && self.buckets.iter().zip(&earlier.buckets).all(|(now, before)| now >= before);
        if !went_on {
            return self.clone();
        }
        let more = self.buckets.iter().zip(&earlier.buckets).map(|(now, before)| now - before);
        Times { bounds_us: self.bounds_us, buckets: more.collect() }
    }
}
