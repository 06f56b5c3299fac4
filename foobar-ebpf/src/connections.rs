//! TCP connections of this network namespace, from the kernel's own state changes: a handshake is counted when it is completed,
//! once, whatever was sent twice on the wire.

use core::{ffi::c_void, ptr::null_mut};

use aya_ebpf::{
    bindings::BPF_SK_STORAGE_GET_F_CREATE,
    helpers::{bpf_ktime_get_ns, bpf_probe_read_kernel, generated::bpf_sk_storage_get},
    programs::BtfTracePointContext,
};
use foobar_common::{
    observe::{
        ConnectionStart, DURATION_BOUNDS_US, HANDSHAKE_BOUNDS_US, Histogram, OWN_SOURCE, PortStats,
    },
    tables::{PORTS_TCP, position_of_port},
};

use crate::{
    maps::{CONNECTIONS, PORT_STATS},
    policy::Policy,
    settings,
};

/// TCP states (include/net/tcp_states.h).
const ESTABLISHED: i32 = 1;
const SYN_RECEIVED: i32 = 3;
const CLOSED: i32 = 7;

/// `inet_sock_set_state(const struct sock *sk, const int oldstate, const int newstate)`.
#[inline(always)]
pub fn state_changed(context: &BtfTracePointContext) -> i32 {
    let socket: *const c_void = context.arg(0);
    let from: i32 = context.arg(1);
    let to: i32 = context.arg(2);
    if from == SYN_RECEIVED && to == ESTABLISHED {
        accepted(socket);
    } else if to == CLOSED && from != SYN_RECEIVED {
        closed(socket);
    }
    0
}

/// `tcp_retransmit_skb(const struct sock *sk, const struct sk_buff *skb)`.
#[inline(always)]
pub fn retransmitted(context: &BtfTracePointContext) -> i32 {
    if let Some(stats) = stats_of(context.arg(0)) {
        stats.retransmitted_segments += 1;
    }
    0
}

/// `tcp_receive_reset(struct sock *sk)`.
#[inline(always)]
pub fn reset_received(context: &BtfTracePointContext) -> i32 {
    if let Some(stats) = stats_of(context.arg(0)) {
        stats.resets_received += 1;
    }
    0
}

/// `tcp_send_reset(const struct sock *sk, const struct sk_buff *skb, ...)`; without a socket where the port is closed.
#[inline(always)]
pub fn reset_sent(context: &BtfTracePointContext) -> i32 {
    let socket: *const c_void = context.arg(0);
    if socket.is_null() {
        return 0;
    }
    if let Some(stats) = stats_of(socket) {
        stats.resets_sent += 1;
    }
    0
}

#[inline(always)]
fn accepted(socket: *const c_void) {
    let Some(stats) = stats_of(socket) else {
        return;
    };
    stats.accepted += 1;
    // SAFETY: reads within `struct tcp_sock`, of which this socket is one: only TCP sockets take this step. The kernel keeps
    // eight times the smoothed value.
    if let Ok(srtt) = unsafe { read::<u32>(socket, settings::offset_srtt_us()) } {
        observe(&mut stats.handshake, &HANDSHAKE_BOUNDS_US, (srtt >> 3) as u64);
    }
    if let Some(start) = storage(socket, true) {
        // SAFETY: the storage lives as long as the socket.
        unsafe { (*start).time_ns = bpf_ktime_get_ns() };
    }
}

#[inline(always)]
fn closed(socket: *const c_void) {
    let Some(stats) = stats_of(socket) else {
        return;
    };
    let Some(start) = storage(socket, false) else {
        // Opened by this server, or open before the programs were attached.
        stats.closed_earlier += 1;
        return;
    };
    stats.closed += 1;
    // SAFETY: the storage lives as long as the socket.
    let elapsed_ns = unsafe { bpf_ktime_get_ns() - (*start).time_ns };
    observe(&mut stats.duration, &DURATION_BOUNDS_US, elapsed_ns / 1000);
}

#[inline(always)]
fn observe(histogram: &mut Histogram, bounds: &[u64; 10], value_us: u64) {
    histogram.sum_us += value_us;
    let mut bucket = 0;
    for bound in bounds {
        bucket += (value_us > *bound) as usize;
    }
    if let Some(count) = histogram.buckets.get_mut(bucket) {
        *count += 1;
    }
}

/// The counters of the socket's local port, if the socket belongs to this network namespace and not to a connection of foobar's own.
#[inline(always)]
fn stats_of(socket: *const c_void) -> Option<&'static mut PortStats> {
    // SAFETY: reads within `struct sock` and `struct net`, at the offsets that the kernel's BTF gives.
    let (port, inum, peer) = unsafe {
        let mut port: u16 = read(socket, settings::offset_local_port()).ok()?;
        if port == 0 {
            // A socket gives its port back before it says that it is closed (tcp_set_state in net/ipv4/tcp.c).
            port = u16::from_be(read(socket, settings::offset_source_port()).ok()?);
        }
        let net: *const c_void = read(socket, settings::offset_net()).ok()?;
        let inum: u32 = read(net, settings::offset_net_inum()).ok()?;
        let peer: u32 = read(socket, settings::offset_remote_address()).ok()?;
        (port, inum, peer)
    };
    if inum != settings::net_inum() || peer == u32::from_ne_bytes(OWN_SOURCE) {
        return None;
    }
    if !Policy::observing() {
        return None;
    }
    let policy = Policy::current();
    let slot = policy.port(position_of_port(PORTS_TCP, port.to_be())).slot;
    let stats = PORT_STATS.get_ptr_mut(slot as u32)?;
    // SAFETY: this CPU's own element.
    Some(unsafe { &mut *stats })
}

#[inline(always)]
fn storage(socket: *const c_void, create: bool) -> Option<*mut ConnectionStart> {
    let flags = if create { BPF_SK_STORAGE_GET_F_CREATE as u64 } else { 0 };
    // SAFETY: the map is a socket storage, and the kernel itself passed the socket. The library's own method takes the sockets of
    // one other context type only.
    let value = unsafe {
        bpf_sk_storage_get(
            (&raw const CONNECTIONS).cast_mut().cast(),
            socket.cast_mut(),
            null_mut(),
            flags,
        )
    };
    if value.is_null() { None } else { Some(value.cast()) }
}

/// Reads a field of a kernel structure.
///
/// # Safety
/// `T` must be the type of the field at this offset.
#[inline(always)]
unsafe fn read<T>(structure: *const c_void, offset: u32) -> Result<T, i32> {
    // SAFETY: the helper checks the address; the type is as the caller promises.
    unsafe { bpf_probe_read_kernel(structure.byte_add(offset as usize).cast::<T>()) }
}
