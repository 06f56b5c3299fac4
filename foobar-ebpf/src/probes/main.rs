//! The kernel programs that count requests where the web server itself begins and ends them: uprobes on its functions.
//!
//! An object of its own beside the filter, with maps of its own: it is loaded only where a port asks for it, and outlives instances of
//! the filter.
//!
//! - [`nginx`], [`apache`]: what their functions are handed. [`finish`]: what is counted of a request.
//! - [`target`]: the file that a probe is in, and how is counted.
//! - [`place`]: whose requests count: network namespace, address, port. [`memory`]: reads of the server's memory and the kernel's.
//! - [`maps`]: those that all probes have.
//!
//! Such a program may be preempted, also by another one on the same CPU. So nothing is kept in memory that both might use, and every
//! count is added to atomically.
#![no_std]
#![no_main]
#![allow(unsafe_code, reason = "kernel programs: pointers into maps and other processes")]
#![allow(
    clippy::needless_borrows_for_generic_args,
    reason = "as in the filter: a key or value that is not borrowed is copied to the stack"
)]

mod apache;
mod finish;
mod maps;
mod memory;
mod nginx;
mod place;
mod target;

#[path = "../object.rs"]
mod object;

use aya_ebpf::{macros::uprobe, programs::ProbeContext};

/// `ngx_http_create_request(ngx_connection_t *c)`
#[uprobe]
fn nginx_begin(context: ProbeContext) -> u32 {
    nginx::begin(&context);
    0
}

/// `ngx_http_free_request(ngx_http_request_t *r, ngx_int_t rc)`
#[uprobe]
fn nginx_end(context: ProbeContext) -> u32 {
    nginx::end(&context);
    0
}

/// `ap_run_log_transaction(request_rec *r)`
#[uprobe]
fn apache_end(context: ProbeContext) -> u32 {
    apache::end(&context);
    0
}
