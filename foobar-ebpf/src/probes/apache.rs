//! Apache: `ap_run_log_transaction` is called once for each request, when its answer has been handed to the kernel; by then the request
//! holds everything, its start included. All offsets are those of the public headers (httpd.h of 2.4), which modules are compiled against.

use aya_ebpf::{helpers::generated::bpf_ktime_get_tai_ns, programs::ProbeContext};
use foobar_common::probes::PORT_APACHE;

use crate::{
    finish::{self, Outcome},
    memory, place, target,
};

/// `request_rec.connection`.
const REQUEST_CONNECTION: u64 = 8;
/// `request_rec.next`: where an internal redirect led.
const REQUEST_NEXT: u64 = 24;
/// `request_rec.request_time`, microseconds since 1970.
const REQUEST_TIME: u64 = 88;
/// `request_rec.status`.
const REQUEST_STATUS: u64 = 104;
/// `conn_rec.local_addr`.
const CONNECTION_LOCAL: u64 = 24;
/// `apr_sockaddr_t.port` and two bytes of padding; `salen` and so on follow.
const SOCKADDR_PORT: u64 = 24;
/// Internal redirects that are followed; Apache itself gives up after 10 (LimitInternalRecursion).
const REDIRECTS: u32 = 10;

#[inline(always)]
pub fn end(context: &ProbeContext) -> Option<()> {
    let target = target::of(context)?;
    let settings = place::settings()?;
    let request: u64 = context.arg(0)?;
    let connection: u64 = memory::user(request + REQUEST_CONNECTION)?;
    let local: u64 = memory::user(connection + CONNECTION_LOCAL)?;
    // A unix socket has no port, which is 0 then.
    let [port, _] = memory::user::<[u16; 2]>(local + SOCKADDR_PORT)?;
    let slot = place::slot(port, PORT_APACHE)?;
    target::seen(target, target::now());
    let outcome = Outcome::Answered(status(request).unwrap_or(0) as u64);
    // SAFETY: the helper has no preconditions.
    let tai = unsafe { bpf_ktime_get_tai_ns() };
    let now_us = (tai / 1000).wrapping_sub((settings.tai_ahead as i64 * 1_000_000) as u64);
    // A clock that was set back gives a number that is too large to count.
    let duration =
        memory::user::<u64>(request + REQUEST_TIME).map(|start| now_us.wrapping_sub(start));
    finish::count(slot, outcome, duration);
    Some(())
}

/// The status of the request that was answered in the end.
#[inline(always)]
fn status(mut request: u64) -> Option<u32> {
    for _ in 0..REDIRECTS {
        match memory::user::<u64>(request + REQUEST_NEXT)? {
            0 => break,
            next => request = next,
        }
    }
    memory::user(request + REQUEST_STATUS)
}
