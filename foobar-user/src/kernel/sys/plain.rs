//! Types that cross the kernel boundary as bytes.

use foobar_common::{
    counters::Counter,
    event::{PacketEvent, RequestEvent, Sampling, Trace},
    flow::{Flow, FlowKey4, FlowKey6, FlowTimeouts},
    http::stats::HttpStats,
    observe::{PortStats, SockOffsets},
    probes::{ProbeSettings, ProbeStats, Target},
    tables::{Capacities, Cell, Generation, IndexEntry, Limit, PortEntry},
    tls::stats::{NameEntry, TlsStats},
};

/// Plain data: every bit pattern is a valid value, and there are no padding bytes that nobody wrote.
///
/// # Safety
/// Both must hold for the type.
pub(in crate::kernel) unsafe trait Plain: Copy + Default {}

macro_rules! plain {
    ($($name:ty),+ $(,)?) => {
        $(
            // SAFETY: an integer, or a `repr(C)` structure of integers with explicit padding (sizes asserted in foobar-common).
            unsafe impl Plain for $name {}
        )+
    };
}

plain!(
    u8,
    u16,
    u32,
    u64,
    Counter,
    PacketEvent,
    RequestEvent,
    Sampling,
    Trace,
    Flow,
    FlowKey4,
    FlowKey6,
    FlowTimeouts,
    PortStats,
    HttpStats,
    TlsStats,
    NameEntry,
    SockOffsets,
    Capacities,
    Cell,
    Generation,
    IndexEntry,
    Limit,
    PortEntry,
    ProbeSettings,
    ProbeStats,
    Target
);

/// The bytes of one value.
pub(in crate::kernel) fn bytes<T: Plain>(value: &T) -> &[u8] {
    bytes_of_all(std::slice::from_ref(value))
}

/// The bytes of a row of values.
pub(in crate::kernel) fn bytes_of_all<T: Plain>(values: &[T]) -> &[u8] {
    // SAFETY: the slice is readable for its size in bytes, all of them initialised (`Plain`), and outlives the result.
    unsafe { std::slice::from_raw_parts(values.as_ptr().cast(), size_of_val(values)) }
}

/// The value that stands in the first bytes; `None` if there are too few.
pub(in crate::kernel) fn read<T: Plain>(bytes: &[u8]) -> Option<T> {
    let bytes = bytes.get(..size_of::<T>())?;
    // SAFETY: there are enough bytes, any of them make a valid value (`Plain`), and the read needs no alignment.
    Some(unsafe { bytes.as_ptr().cast::<T>().read_unaligned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_survives_the_way_through_bytes() {
        let flow = Flow { last_seen: 7, epoch: 2, state: 1 };
        assert_eq!(read::<Flow>(bytes(&flow)), Some(flow));
        assert_eq!(read::<Flow>(&bytes(&flow)[1..]), None);
        assert_eq!(bytes_of_all(&[1u16, 2]).len(), 4);
    }
}
