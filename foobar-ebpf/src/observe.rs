//! Watching what goes through observed ports: a TCX program for what arrives, and the end of the egress program for what leaves, both only where
//! a port is observed.
//!
//! They read as little as they can: a segment without payload that does not begin or end a connection is left alone, and so is
//! every port that the policy does not mark ([`PORT_HTTP`], [`PORT_TLS`]). They change no packet and stop none.
//! What arrives was let in by the filter; what leaves is seen behind the segmentation of the sender's TCP, in its order.
//!
//! Each kind of observed traffic has a module with the functions `arriving` and `leaving`, which get a [`Segment`] and keep
//! a table of connections of their own: [`crate::http`], [`crate::tls`].

use aya_ebpf::{bindings::__sk_buff, programs::TcContext};
use foobar_common::tables::{PORT_HTTP, PORT_TLS, feature};

use crate::{
    http, quic,
    segment::{self, Segment},
    settings, tls,
};

/// Leave it to the next program (`TCX_NEXT`; for a classifier, "unspecified").
const NEXT: i32 = -1;

/// A segment that arrives.
#[inline(always)]
pub fn arriving(context: &TcContext) -> i32 {
    let skb = context.skb.skb;
    if let Some(segment) = segment::arriving(skb) {
        if settings::has(feature::HTTP) && segment.tells(PORT_HTTP) {
            http::arriving(skb, &segment);
        } else if settings::has(feature::TLS) && segment.tells(PORT_TLS) {
            tls::arriving(skb, &segment);
        }
    } else if settings::has(feature::TLS) && quic::is_long_enough(skb) {
        quic::quic_arriving(skb);
    }
    NEXT
}

/// A segment that leaves.
#[inline(always)]
pub fn leaving(skb: *mut __sk_buff, segment: &Segment) {
    if settings::has(feature::HTTP) && segment.tells(PORT_HTTP) {
        http::leaving(skb, segment);
    } else if settings::has(feature::TLS) && segment.tells(PORT_TLS) {
        tls::leaving(skb, segment);
    }
}
