//! nginx: a request begins with `ngx_http_create_request` and ends with `ngx_http_free_request`, whatever its version of HTTP; its
//! subrequests pass neither. At the end the access log is written, so what counts is what is logged there.

use aya_ebpf::{
    helpers::bpf_get_current_pid_tgid, macros::map, maps::LruHashMap, programs::ProbeContext,
};
use foobar_common::probes::{RequestKey, Target};

use crate::{
    finish::{self, Outcome},
    memory, place, target,
};

/// When requests began that are under way, nanoseconds of `CLOCK_MONOTONIC`. What a process leaves behind that is killed makes room for
/// others sooner or later.
#[map]
static REQUESTS: LruHashMap<RequestKey, u64> = LruHashMap::with_max_entries(16384, 0);

/// `ngx_http_request_t.connection`, behind the signature.
const REQUEST_CONNECTION: u64 = 8;
/// `ngx_connection_t.listening`, and `sent` behind it.
const CONNECTION_LISTENING: u64 = 0x40;
/// `ngx_listening_t.sockaddr`, behind the descriptor.
const LISTENING_SOCKADDR: u64 = 8;

/// Address families (linux/socket.h).
const AF_INET: u16 = 2;
const AF_INET6: u16 = 10;

/// The port of a `struct sockaddr_in` or `sockaddr_in6`. Sockets of other families have none.
#[inline(always)]
fn port(address: u64) -> Option<u16> {
    let [family, port] = memory::user::<[u16; 2]>(address)?;
    (family == AF_INET || family == AF_INET6).then(|| u16::from_be(port))
}

/// The slot of the port that a connection came in by, and how many bytes were sent on it since the request before.
#[inline(always)]
fn connection(address: u64) -> Option<(u32, u64)> {
    let [listening, sent] = memory::user::<[u64; 2]>(address + CONNECTION_LISTENING)?;
    let sockaddr: u64 = memory::user(listening + LISTENING_SOCKADDR)?;
    Some((place::slot(port(sockaddr)?, 0)?, sent))
}

#[inline(always)]
fn key(connection: u64) -> RequestKey {
    RequestKey { process: bpf_get_current_pid_tgid() >> 32, connection }
}

#[inline(always)]
pub fn begin(context: &ProbeContext) -> Option<()> {
    target::of(context)?;
    place::settings()?;
    let address: u64 = context.arg(0)?;
    connection(address)?;
    // What is not remembered has no duration, and counts all the same.
    let _ = REQUESTS.insert(&key(address), &target::now(), 0);
    Some(())
}

#[inline(always)]
pub fn end(context: &ProbeContext) -> Option<()> {
    let target = target::of(context)?;
    place::settings()?;
    let request: u64 = context.arg(0)?;
    let code: u64 = context.arg(1)?;
    let address: u64 = memory::user(request + REQUEST_CONNECTION)?;
    let (slot, sent) = connection(address)?;
    let now = target::now();
    let key = key(address);
    // SAFETY: the value is copied at once.
    let start = unsafe { REQUESTS.get(&key) }.copied();
    if start.is_some() {
        let _ = REQUESTS.remove(&key);
    }
    target::seen(target, now);
    let outcome = outcome(target, request, code as i64, sent);
    finish::count(slot, outcome, start.map(|start| (now - start) / 1000));
    Some(())
}

/// As `ngx_http_free_request` and the variable `$status` have it.
#[inline(always)]
fn outcome(target: &Target, request: u64, code: i64, sent: u64) -> Outcome {
    if sent == 0 {
        return Outcome::Aborted;
    }
    if target.status == 0 {
        return Outcome::Answered(0);
    }
    let (Some(status), Some(err_status)) = (
        memory::user::<u64>(request + target.status as u64),
        memory::user::<u64>(request + target.err_status as u64),
    ) else {
        return Outcome::Answered(0);
    };
    Outcome::Answered(match (err_status, status) {
        (0, 0) if code > 0 => code as u64,
        (0, status) => status,
        (err_status, _) => err_status,
    })
}
