//! The kernel programs of foobar. The way of a packet, top to bottom:
//!
//! ```text
//! ingress (XDP):  parse -> classify source -> classify port -> cell -> verdict -> account
//! egress  (TCX):  parse -> remember the flow -> egress rules -> account
//! observe (TCX: a program for what arrives, the end of egress for what leaves; observed ports only):  what the port speaks -> statistics
//! ```
//!
//! In the order in which a packet meets them:
//!
//! - [`ingress`]: what arrives: link layer, IP, verdict. [`ordinary`]: what most packets are, judged at once.
//! - [`ports`]: TCP, UDP and protocols without ports: rules and replies. [`icmp`]: echo, errors, neighbour discovery.
//! - [`egress`]: what leaves: flows that the server opens, egress rules.
//! - [`policy`]: the generation in force: ports, cells. [`sources`]: the class of a source. [`family`]: what differs between IPv4 and IPv6.
//! - [`flows`]: replies to flows that the server opened. [`fragments`]: verdicts of first fragments. [`limits`]: token buckets.
//! - [`verdict`]: cells of reasons that no rule gave. [`conclusion`]: what is left once a verdict stands. [`account`]: one counter a packet. [`events`]: sampled packets.
//! - [`frame`]: a frame in the kernel. [`run`]: a live packet, or a traced one on behalf of `explain` and `replay`.
//! - [`tables`]: the policy's tables. [`maps`]: every other map. [`settings`]: constants that the loader sets before load. [`failures`]: what could not be written.
//! - [`connections`]: TCP connections, from the kernel's own state changes.
//! - [`observe`]: what goes through observed ports. [`segment`]: the segments that it reads. [`http`], [`tls`], [`quic`]: what they say. [`window`]: payload that was copied to be read.
//! - [`object`]: what every object has.
//!
//! Probes on functions of web servers and in OpenSSL are objects of their own: `probes/`, `libssl/`.
#![no_std]
#![no_main]
#![allow(unsafe_code, reason = "kernel programs: pointers into packets and maps")]
#![allow(
    clippy::needless_borrows_for_generic_args,
    reason = "a key or value that is not borrowed is copied to the stack, which has 512 bytes for all functions on the way"
)]

mod account;
mod conclusion;
mod connections;
mod egress;
mod events;
mod failures;
mod family;
mod flows;
mod fragments;
mod frame;
mod http;
mod icmp;
mod ingress;
mod limits;
mod maps;
mod object;
mod observe;
mod ordinary;
mod policy;
mod ports;
mod quic;
mod run;
mod segment;
mod settings;
mod sources;
mod tables;
mod tls;
mod verdict;
mod window;

use aya_ebpf::{
    macros::{btf_tracepoint, classifier, xdp},
    programs::{BtfTracePointContext, TcContext, XdpContext},
};

/// Every packet that arrives at an interface, before the kernel spends a cycle on it.
#[xdp(frags)]
fn ingress(context: XdpContext) -> u32 {
    ingress::entry(&context)
}

/// Every packet that leaves through an interface.
#[classifier]
fn egress(context: TcContext) -> i32 {
    egress::entry::<false>(&context)
}

/// The same where a port is observed.
#[classifier]
fn egress_observing(context: TcContext) -> i32 {
    egress::entry::<true>(&context)
}

/// Every packet that was let in, where a port is observed.
#[classifier]
fn observe_ingress(context: TcContext) -> i32 {
    observe::arriving(&context)
}

/// A TCP socket changed its state.
#[btf_tracepoint(function = "inet_sock_set_state")]
fn sock_state(context: BtfTracePointContext) -> i32 {
    connections::state_changed(&context)
}

/// A TCP segment was sent again.
#[btf_tracepoint(function = "tcp_retransmit_skb")]
fn tcp_retransmit(context: BtfTracePointContext) -> i32 {
    connections::retransmitted(&context)
}

/// A TCP connection was reset by the other side.
#[btf_tracepoint(function = "tcp_receive_reset")]
fn tcp_receive_reset(context: BtfTracePointContext) -> i32 {
    connections::reset_received(&context)
}

/// The kernel reset a TCP connection.
#[btf_tracepoint(function = "tcp_send_reset")]
fn tcp_send_reset(context: BtfTracePointContext) -> i32 {
    connections::reset_sent(&context)
}
