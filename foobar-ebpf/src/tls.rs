//! TLS on observed ports: what arrives and what leaves. See [`crate::observe`] for how a segment gets here.

use aya_ebpf::bindings::__sk_buff;

use crate::observe::Segment;

/// A segment from the client.
#[inline(always)]
pub fn arriving(_skb: *mut __sk_buff, _segment: &Segment) {}

/// A segment from this server.
#[inline(always)]
pub fn leaving(_skb: *mut __sk_buff, _segment: &Segment) {}
