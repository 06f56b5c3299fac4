//! The kernel programs that read HTTP where a program hands it to OpenSSL's libssl, or gets it from there: in clear. Uprobes on two
//! places in `SSL_read` and `SSL_write`, and on `SSL_free`.
//!
//! An object of its own, loaded only where a port asks for it: every program of the machine that uses the library comes by here.
//!
//! - [`calls`]: what a thread is about, and on which port. [`conversation`]: the bytes, read by [`foobar_common::http`].
//! - [`sessions`]: what is remembered of threads and connections. The rest is that of the probes on servers' functions, and the filter's.
#![no_std]
#![no_main]
#![allow(unsafe_code, reason = "kernel programs: pointers into maps and other processes")]
#![allow(
    clippy::needless_borrows_for_generic_args,
    reason = "as in the filter: a key or value that is not borrowed is copied to the stack"
)]

mod calls;
mod conversation;
mod sessions;

#[path = "../probes/maps.rs"]
mod maps;
#[path = "../probes/memory.rs"]
mod memory;
#[path = "../object.rs"]
mod object;
#[path = "../probes/place.rs"]
mod place;
#[path = "../probes/target.rs"]
mod target;
#[path = "../window.rs"]
mod window;

use aya_ebpf::{
    macros::{btf_tracepoint, uprobe},
    programs::{BtfTracePointContext, ProbeContext},
};

/// Before `ssl_read_internal(SSL *s, void *buf, size_t num, size_t *readbytes)` or its like for writing.
#[uprobe]
fn libssl_begin(context: ProbeContext) -> u32 {
    calls::begin(&context);
    0
}

/// `SSL_do_handshake(SSL *s)`
#[uprobe]
fn libssl_shake(context: ProbeContext) -> u32 {
    calls::handshake(&context);
    0
}

/// Behind `ssl_read_internal`, whose result is in the register for results.
#[uprobe]
fn libssl_read(context: ProbeContext) -> u32 {
    calls::end::<false>(&context);
    0
}

/// The same behind `ssl_write_internal`.
#[uprobe]
fn libssl_written(context: ProbeContext) -> u32 {
    calls::end::<true>(&context);
    0
}

/// Within `SSL_write_ex`, whose result cannot be probed at a reasonable price.
#[uprobe]
fn libssl_unread(context: ProbeContext) -> u32 {
    calls::unread(&context);
    0
}

/// `SSL_free(SSL *s)`
#[uprobe]
fn libssl_free(context: ProbeContext) -> u32 {
    calls::free(&context);
    0
}

/// `tcp_rcv_space_adjust(struct sock *sk)`: called in the thread that takes bytes out of a TCP socket.
#[btf_tracepoint(function = "tcp_rcv_space_adjust")]
fn libssl_socket(context: BtfTracePointContext) -> i32 {
    calls::socket(&context);
    0
}
