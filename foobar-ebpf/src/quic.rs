//! QUIC on observed UDP ports: new connections, by the client's first packets. See [`foobar_common::tls::quic`].

use aya_ebpf::{bindings::__sk_buff, helpers::bpf_ktime_get_ns};
use foobar_common::{
    failures,
    parse::{Cursor, ethernet, ipv4, ipv6, protocol, transport, words},
    tables::{PORT_TLS, PORTS_UDP, position_of_port},
    tls::quic::{self, FORGET_SECONDS, QuicKey},
};

use crate::{
    failures::count as count_failure,
    frame::Leaving,
    maps::{QUIC_CLIENTS, TLS_STATS},
    policy::Policy,
    tls::Payload,
};

/// Bytes of a UDP header.
const UDP_BYTES: u32 = 8;

/// Whether a frame can hold an Initial packet. Most that come here are no datagrams, but segments without payload.
#[inline(always)]
pub fn is_long_enough(skb: *mut __sk_buff) -> bool {
    // SAFETY: the context is the one that the kernel passed.
    unsafe { (*skb).len > quic::MIN_DATAGRAM }
}

// A global function: the kernel verifies it once, apart from the program that calls it.

/// A datagram that arrives; all but the Initial packets of observed ports are left alone. Returns 0.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn quic_arriving(skb: *mut __sk_buff) -> u32 {
    let _ = arriving(skb);
    0
}

#[inline(always)]
fn arriving(skb: *mut __sk_buff) -> Option<()> {
    let mut frame = Leaving::new(skb);
    let mut cursor = frame.cursor();
    let start = cursor.position();
    let link = ethernet::ethernet(&mut cursor).ok()?;
    let mut key = QuicKey::default();
    match link.protocol {
        ethernet::IPV4 => {
            let datagram = ipv4::ipv4(cursor, &mut frame).ok()?;
            if datagram.protocol != protocol::UDP || !datagram.fragment.is_whole() {
                return None;
            }
            key.local[0] = datagram.destination;
            key.remote[0] = datagram.source;
            let udp = transport::udp(&datagram).ok()?;
            initial(skb, start, &datagram.cursor, datagram.remaining, udp, &mut key)
        }
        ethernet::IPV6 => {
            let datagram = ipv6::ipv6(cursor, &mut frame).ok()?;
            if datagram.protocol != protocol::UDP || !datagram.fragment.is_whole() {
                return None;
            }
            key.local = words(datagram.destination);
            key.remote = words(datagram.source);
            let udp = transport::udp(&datagram).ok()?;
            initial(skb, start, &datagram.cursor, datagram.remaining, udp, &mut key)
        }
        _ => None,
    }
}

/// Counts the datagram whose transport header the cursor stands at, if it opens a connection.
#[inline(always)]
fn initial(
    skb: *mut __sk_buff,
    start: usize,
    cursor: &Cursor,
    remaining: u32,
    udp: transport::Udp,
    key: &mut QuicKey,
) -> Option<()> {
    let entry = Policy::current().port(position_of_port(PORTS_UDP, udp.destination_port));
    if entry.flags & PORT_TLS == 0 {
        return None;
    }
    key.ports = udp.destination_port as u32 | (udp.source_port as u32) << 16;
    let payload = Payload { skb, offset: (cursor.position() - start) as u32 + UDP_BYTES };
    let (length, id) = quic::initial(&payload, 0, remaining.saturating_sub(UDP_BYTES))?;
    key.length = length;
    key.id = id;
    // SAFETY: a helper without arguments.
    let now = (unsafe { bpf_ktime_get_ns() } / 1_000_000_000) as u32;
    if let Some(heard) = QUIC_CLIENTS.get_ptr_mut(&*key) {
        // SAFETY: an element of the table, which the kernel keeps while this program runs.
        let heard = unsafe { &mut *heard };
        let silent = now.wrapping_sub(*heard);
        *heard = now;
        if silent < FORGET_SECONDS {
            return None;
        }
    } else if QUIC_CLIENTS.insert(&*key, &now, 0).is_err() {
        count_failure(failures::QUIC_CLIENTS);
    }
    let stats = TLS_STATS.get_ptr_mut(entry.slot as u32)?;
    // SAFETY: this CPU's own element.
    unsafe { (*stats).quic_initials += 1 };
    Some(())
}
