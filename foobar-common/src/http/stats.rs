//! What is counted of the requests to one port, per CPU: the map `HTTP_STATS` is indexed by [`crate::tables::PortEntry::slot`].

use crate::observe::Histogram;

/// Versions of HTTP that are told apart.
pub const VERSIONS: [&str; 3] = ["1.0", "1.1", "2"];
/// Classes of status codes that are told apart; the first is for those that could not be read.
pub const CLASSES: [&str; 6] = ["unknown", "1xx", "2xx", "3xx", "4xx", "5xx"];

/// Buckets of the histogram of times to the first byte: upper bounds in microseconds. One more bucket holds the rest.
pub const FIRST_BYTE_BOUNDS_US: [u64; 10] =
    [500, 1_000, 2_500, 5_000, 10_000, 25_000, 100_000, 500_000, 2_500_000, 10_000_000];

/// What is counted of the requests to one port.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HttpStats {
    /// Final responses, by [`VERSIONS`] and [`CLASSES`].
    pub requests: [[u64; CLASSES.len()]; VERSIONS.len()],
    /// Requests whose connection (or stream) ended before their final response began.
    pub aborted: u64,
    /// Times that one side of a connection could no longer be read as HTTP.
    pub unparsed: u64,
    /// Connections that could not be remembered: the table refused an insertion.
    pub refused: u64,
    /// From the first byte of a request to the first byte of its final response.
    pub first_byte: Histogram,
}

const _: () = assert!(size_of::<HttpStats>() == 18 * 8 + 3 * 8 + 96);

impl HttpStats {
    /// Requests answered, of all versions and classes.
    pub fn answered(&self) -> u64 {
        self.requests.iter().flatten().sum()
    }

    /// Adds what was counted elsewhere.
    pub fn add(&mut self, more: &HttpStats) {
        for (sum, more) in self.requests.iter_mut().flatten().zip(more.requests.iter().flatten()) {
            *sum += more;
        }
        self.aborted += more.aborted;
        self.unparsed += more.unparsed;
        self.refused += more.refused;
        self.first_byte.add(&more.first_byte);
    }
}
