//! Watching what goes through observed ports: two TCX programs, one for each way, attached only where a port is observed.
//!
//! They read as little as they can: a segment without payload that does not begin or end a connection is left alone, and so is
//! every port that the policy does not mark ([`PORT_HTTP`], [`PORT_TLS`]). They change no packet and always leave it to the next
//! program. What arrives was let in by the filter; what leaves is seen behind the segmentation of the sender's TCP, in its order.
//!
//! Each kind of observed traffic has a module with the functions `arriving` and `leaving`, which get a [`crate::segment::Segment`] and keep
//! a table of connections of their own: [`crate::http`], [`crate::tls`].

use aya_ebpf::programs::TcContext;
use foobar_common::tables::{PORT_HTTP, PORT_TLS, feature};

use crate::{http, quic, segment::segment, settings, tls};

/// Leave it to the next program (`TCX_NEXT`; for a classifier, "unspecified").
const NEXT: i32 = -1;

/// A segment that arrives.
#[inline(always)]
pub fn arriving(context: &TcContext) -> i32 {
    let skb = context.skb.skb;
    if let Some(mut segment) = segment(skb, true) {
        let observed = segment.observed();
        if settings::has(feature::HTTP) && observed & PORT_HTTP != 0 {
            http::arriving(skb, &segment);
        }
        if settings::has(feature::TLS) && observed & PORT_TLS != 0 {
            tls::arriving(skb, &segment);
        }
    } else if settings::has(feature::TLS) && quic::is_long_enough(skb) {
        quic::quic_arriving(skb);
    }
    NEXT
}

/// A segment that leaves.
#[inline(always)]
pub fn leaving(context: &TcContext) -> i32 {
    let skb = context.skb.skb;
    if let Some(mut segment) = segment(skb, false) {
        let observed = segment.observed();
        if settings::has(feature::HTTP) && observed & PORT_HTTP != 0 {
            http::leaving(skb, &segment);
        }
        if settings::has(feature::TLS) && observed & PORT_TLS != 0 {
            tls::leaving(skb, &segment);
        }
    }
    NEXT
}
