//! Constants that the loader sets before load. They are frozen in .rodata, so the verifier knows them and removes the branches
//! that this policy does not need.

use core::ptr::{addr_of, read_volatile};

use foobar_common::{
    flow::FlowTimeouts,
    observe::SockOffsets,
    tables::{Capacities, PORTS_LEN},
};

#[unsafe(no_mangle)]
static FEATURES: u32 = 0;
#[unsafe(no_mangle)]
static CAPACITIES: Capacities = Capacities {
    index4: 0,
    classes4: 0,
    index6: 0,
    ranges6: 0,
    deep6: 0,
    low6: 0,
    cells: 0,
    counters: 0,
};
#[unsafe(no_mangle)]
static FLOW_TIMEOUTS: FlowTimeouts = FlowTimeouts {
    tcp_opening: 0,
    tcp_established: 0,
    tcp_closing: 0,
    udp: 0,
    icmp: 0,
    fragment: 0,
};
#[unsafe(no_mangle)]
static SOCK_OFFSETS: SockOffsets = SockOffsets {
    local_port: 0,
    source_port: 0,
    family: 0,
    net: 0,
    net_inum: 0,
    srtt_us: 0,
    state: 0,
    remote_address: 0,
};
#[unsafe(no_mangle)]
static NET_INUM: u32 = 0;
#[unsafe(no_mangle)]
static TRACE_EGRESS: u32 = 0;
// Not set by the loader: numbers that the compiler shall not know.
#[unsafe(no_mangle)]
static SIGN_BIT: u32 = 63;
#[unsafe(no_mangle)]
static PORTS_LENGTH: u32 = PORTS_LEN;

/// Reads a constant in such a way that the compiler does not take the value above for granted.
macro_rules! constant {
    ($(#[doc = $doc:literal] $name:ident: $type:ty = $constant:ident $(. $field:ident)?;)+) => {
        $(
            #[doc = $doc]
            #[inline(always)]
            pub fn $name() -> $type {
                // SAFETY: a static of this program, initialised and never written.
                unsafe { read_volatile(addr_of!($constant $(. $field)?)) }
            }
        )+
    };
}

constant! {
    /// What the policy needs: bits of [`foobar_common::tables::feature`].
    features: u32 = FEATURES;
    /// Buckets of one generation of `INDEX4`.
    index4: u32 = CAPACITIES.index4;
    /// Slots of one generation of `CLASSES4`.
    classes4: u32 = CAPACITIES.classes4;
    /// Buckets of one generation of `INDEX6`.
    index6: u32 = CAPACITIES.index6;
    /// Words of one generation of `STARTS6`.
    ranges6: u32 = CAPACITIES.ranges6;
    /// Entries of one generation of `DEEP6`.
    deep6: u32 = CAPACITIES.deep6;
    /// Ranges of one generation of `LOW_STARTS6` and `LOW_CLASSES6`.
    low6: u32 = CAPACITIES.low6;
    /// Cells of one generation of `CELLS`.
    cells: u32 = CAPACITIES.cells;
    /// Counters in one half of `COUNTERS`.
    counters: u32 = CAPACITIES.counters;
    /// Silence after which a TCP flow without an answer is forgotten, ticks.
    timeout_tcp_opening: u32 = FLOW_TIMEOUTS.tcp_opening;
    /// Silence after which a TCP flow is forgotten, ticks.
    timeout_tcp_established: u32 = FLOW_TIMEOUTS.tcp_established;
    /// Silence after which a TCP flow is forgotten that has seen a FIN or RST, ticks.
    timeout_tcp_closing: u32 = FLOW_TIMEOUTS.tcp_closing;
    /// Silence after which a UDP flow is forgotten, ticks.
    timeout_udp: u32 = FLOW_TIMEOUTS.udp;
    /// Silence after which an echo request is forgotten, ticks.
    timeout_icmp: u32 = FLOW_TIMEOUTS.icmp;
    /// Time for which later fragments are let pass, ticks.
    timeout_fragment: u32 = FLOW_TIMEOUTS.fragment;
    /// Offsets in `struct sock`.
    offset_local_port: u32 = SOCK_OFFSETS.local_port;
    /// Offset of the local port in `struct inet_sock`.
    offset_source_port: u32 = SOCK_OFFSETS.source_port;
    /// Offset of the pointer to the network namespace in `struct sock`.
    offset_net: u32 = SOCK_OFFSETS.net;
    /// Offset of the inode number in `struct net`.
    offset_net_inum: u32 = SOCK_OFFSETS.net_inum;
    /// Offset of the other side's IPv4 address in `struct sock`.
    offset_remote_address: u32 = SOCK_OFFSETS.remote_address;
    /// Offset of the smoothed round-trip time in `struct tcp_sock`.
    offset_srtt_us: u32 = SOCK_OFFSETS.srtt_us;
    /// Inode number of the network namespace whose sockets are counted.
    net_inum: u32 = NET_INUM;
    /// 63.
    sign_bit: u32 = SIGN_BIT;
    /// [`PORTS_LEN`]. The compiler would leave out comparisons with it which it can prove, and the verifier cannot.
    ports: u32 = PORTS_LENGTH;
    /// Not 0 in an instance that `replay` loaded for itself: the egress program reports each finding in `__sk_buff.cb`.
    trace_egress: u32 = TRACE_EGRESS;
}

/// Whether the policy needs this feature.
#[inline(always)]
pub fn has(feature: u32) -> bool {
    features() & feature != 0
}
