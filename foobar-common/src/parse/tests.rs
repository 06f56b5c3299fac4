//! The parsers on the host: what they find, and that no bytes make them read outside the frame.

use std::{vec, vec::Vec};

use proptest::prelude::*;

use super::{
    Address6, Cursor, Datagram, Linear, ethernet, ipv4, ipv6, ordinary, protocol, summary::summary,
    transport,
};
use crate::reason::Reason;

fn cursor(bytes: &[u8]) -> (Cursor, Linear) {
    let range = bytes.as_ptr_range();
    // SAFETY: the cursor is used no longer than `bytes` lives in each test.
    #[allow(unsafe_code, reason = "the cursor takes raw memory")]
    let cursor = unsafe { Cursor::new(range.start as usize, range.end as usize) };
    (cursor, Linear { end: range.end as usize })
}

fn v4(bytes: &[u8]) -> Result<Datagram<u32>, Reason> {
    let (cursor, mut frame) = cursor(bytes);
    ipv4::ipv4(cursor, &mut frame)
}

fn v6(bytes: &[u8]) -> Result<Datagram<Address6>, Reason> {
    let (cursor, mut frame) = cursor(bytes);
    ipv6::ipv6(cursor, &mut frame)
}

/// An IPv4 packet: options (a multiple of 4 bytes), protocol, flags and offset, payload.
fn ipv4_packet(options: &[u8], protocol: u8, fragment: u16, payload: &[u8]) -> Vec<u8> {
    let header = 20 + options.len();
    let mut packet = vec![0x40 | (header / 4) as u8, 0];
    packet.extend(((header + payload.len()) as u16).to_be_bytes());
    packet.extend([0x12, 0x34]);
    packet.extend(fragment.to_be_bytes());
    packet.extend([64, protocol, 0, 0, 198, 51, 100, 7, 192, 0, 2, 1]);
    packet.extend(options);
    packet.extend(payload);
    packet
}

/// An IPv6 packet: first next header and payload, which begins with the extension headers.
fn ipv6_packet(next: u8, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x60, 0, 0, 0];
    packet.extend((payload.len() as u16).to_be_bytes());
    packet.extend([next, 64]);
    packet.extend([0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7]);
    packet.extend([0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
    packet.extend(payload);
    packet
}

fn tcp_header(destination: u16, flags: u8) -> Vec<u8> {
    let mut header = vec![0xc0, 0];
    header.extend(destination.to_be_bytes());
    header.extend([0, 0, 0, 0, 0, 0, 0, 0, 0x50, flags, 0xff, 0xff, 0, 0, 0, 0]);
    header
}

#[test]
fn ports_stand_where_the_header_length_says() {
    for words in 0..=10 {
        let options = vec![1; words * 4];
        let datagram = v4(&ipv4_packet(&options, 6, 0, &tcp_header(22, 2))).unwrap();
        assert_eq!(
            u16::from_be(transport::tcp(&datagram).unwrap().destination_port),
            22,
            "{words} words of options"
        );
        assert_eq!(datagram.has_options, words > 0);
    }
}

#[test]
fn headers_that_lie_are_malformed() {
    let good = ipv4_packet(&[], 6, 0, &tcp_header(80, 2));
    for (at, value, what) in [
        (0, 0x44, "IHL below 5"),
        (0, 0x65, "version 6"),
        (3, 19, "shorter than its header"),
        (3, 200, "longer than the frame"),
    ] {
        let mut packet = good.clone();
        packet[at] = value;
        assert_eq!(v4(&packet).err(), Some(Reason::Malformed), "{what}");
    }
    let mut packet = good.clone();
    packet[3] = 30;
    assert_eq!(
        transport::tcp(&v4(&packet).unwrap()).err(),
        Some(Reason::Malformed),
        "bytes behind the datagram are no header"
    );
    assert_eq!(v4(&good[..19]).err(), Some(Reason::Truncated));
}

#[test]
fn a_source_route_is_found_behind_other_options() {
    for (options, expected) in [
        (vec![1, 1, 1, 0], Ok(false)),
        (vec![7, 3, 4, 0], Ok(false)),
        (vec![131, 3, 4, 0], Ok(true)),
        (vec![1, 137, 3, 4], Ok(true)),
        (vec![148, 4, 0, 0, 131, 3, 4, 0], Ok(true)),
        (vec![0, 131, 3, 4], Ok(false)),
        (vec![7, 1, 0, 0], Err(Reason::Malformed)),
        (vec![7, 0, 0, 0], Err(Reason::Malformed)),
        (vec![7, 5, 0, 0], Err(Reason::Malformed)),
    ] {
        let found = v4(&ipv4_packet(&options, 6, 0, &tcp_header(80, 2)))
            .map(|datagram| datagram.source_routed);
        assert_eq!(found, expected, "{options:?}");
    }
}

#[test]
fn an_authentication_header_counts_in_units_of_four() {
    let mut payload = vec![6, 4];
    payload.resize(24, 0);
    payload.extend(tcp_header(443, 2));
    for datagram in [
        v4(&ipv4_packet(&[], 51, 0, &payload)).map(|d| (d.protocol, d.remaining)),
        v6(&ipv6_packet(51, &payload)).map(|d| (d.protocol, d.remaining)),
    ] {
        assert_eq!(datagram, Ok((6, 20)));
    }
}

#[test]
fn extension_headers_are_walked_to_the_eighth() {
    for count in 0..12 {
        let mut payload = Vec::new();
        for at in 0..count {
            payload.extend([if at + 1 == count { 6 } else { 60 }, 0, 1, 4, 0, 0, 0, 0]);
        }
        payload.extend(tcp_header(22, 2));
        let packet = ipv6_packet(if count == 0 { 6 } else { 60 }, &payload);
        let found = v6(&packet).map(|datagram| {
            transport::tcp(&datagram).map(|tcp| u16::from_be(tcp.destination_port))
        });
        assert_eq!(
            found,
            if count <= 8 { Ok(Ok(22)) } else { Err(Reason::ExtensionHeader) },
            "{count} headers"
        );
    }
}

#[test]
fn fragments_say_where_they_stand() {
    let first = v4(&ipv4_packet(&[], 6, 0x2000, &tcp_header(80, 2))).unwrap();
    assert!(!first.fragment.is_whole() && !first.fragment.is_tail());
    let tail = v4(&ipv4_packet(&[], 6, 0x0003, &[0; 8])).unwrap();
    assert!(tail.fragment.is_tail());
    let short = v4(&ipv4_packet(&[], 6, 0x2000, &tcp_header(80, 2)[..16])).unwrap();
    assert_eq!(transport::tcp(&short).err(), Some(Reason::FragmentShort));

    let atomic =
        v6(&ipv6_packet(44, &[&[6, 0, 0, 0, 0, 0, 0, 9][..], &tcp_header(80, 2)].concat()))
            .unwrap();
    assert!(atomic.fragment.is_whole(), "an atomic fragment is a whole datagram");
    let tail = v6(&ipv6_packet(44, &[60, 0, 0, 0x10, 0, 0, 0, 9, 1, 2, 3, 4, 5, 6, 7, 8])).unwrap();
    assert!(tail.fragment.is_tail());
    assert_eq!(tail.fragment.protocol, 60);
}

#[test]
fn routing_headers_are_told_by_what_they_leave() {
    for (kind, left, expected) in [(0, 0, true), (2, 1, true), (4, 0, false), (2, 0, false)] {
        let payload = [&[6, 0, kind, left, 0, 0, 0, 0][..], &tcp_header(80, 2)].concat();
        assert_eq!(
            v6(&ipv6_packet(43, &payload)).unwrap().source_routed,
            expected,
            "type {kind}, {left} segments left"
        );
    }
    let late =
        [&[0, 0, 0, 0, 0, 0, 0, 0][..], &[6, 0, 0, 0, 0, 0, 0, 0], &tcp_header(80, 2)].concat();
    assert_eq!(
        v6(&ipv6_packet(60, &late)).err(),
        Some(Reason::ExtensionHeader),
        "hop-by-hop options come first"
    );
}

#[test]
fn vlan_tags_are_read_to_the_second() {
    let tag = [0x81, 0, 0, 5];
    for count in 0..4 {
        let frame = [&[0; 12][..], &tag.repeat(count), &[0x08, 0x00]].concat();
        let (mut at, _) = cursor(&frame);
        let found = ethernet::ethernet(&mut at).map(|link| link.protocol);
        assert_eq!(
            found,
            if count <= 2 { Ok(ethernet::IPV4) } else { Err(Reason::VlanDepth) },
            "{count} tags"
        );
    }
}

#[test]
fn flag_combinations_are_those_of_real_stacks() {
    let valid = |flags| transport::Tcp { source_port: 0, destination_port: 0, flags }.is_valid();
    for flags in [0x02, 0x12, 0x10, 0x18, 0x11, 0x19, 0x04, 0x14, 0x30, 0xc2, 0x52, 0x22] {
        assert!(valid(flags), "{flags:#x} is sent by some stack");
    }
    for flags in [0x00, 0x01, 0x08, 0x20, 0x29, 0x03, 0x06, 0x07, 0x3f, 0x05, 0x1f] {
        assert!(!valid(flags), "{flags:#x} is sent by none");
    }
}

proptest! {
    /// Whatever the bytes: no panic, and no read outside the frame (the address sanitizer and Miri watch that).
    #[test]
    fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200), kind in 0..4) {
        let mut bytes = bytes;
        if bytes.len() > 14 {
            let ether_type: [u8; 2] = match kind { 0 => [8, 0], 1 => [0x86, 0xdd], 2 => [0x81, 0], _ => [bytes[12], bytes[13]] };
            bytes[12..14].copy_from_slice(&ether_type);
        }
        let (at, mut frame) = cursor(&bytes);
        let _ = summary(at, &mut frame);
    }
}

fn udp_header(source: u16, destination: u16, payload: u16) -> Vec<u8> {
    [source, destination, 8 + payload, 0].into_iter().flat_map(u16::to_be_bytes).collect()
}

/// A frame that is ordinary, or would be but for its payload and ports.
fn ordinary_frame() -> impl Strategy<Value = Vec<u8>> {
    let ports = prop_oneof![Just((67, 68)), Just((547, 546)), any::<(u16, u16)>()];
    let payload = prop_oneof![Just(0usize), 0usize..64];
    (any::<[bool; 2]>(), ports, any::<u8>(), payload).prop_map(
        |([is_v6, is_udp], (source, destination), flags, payload)| {
            let mut transport = if is_udp {
                udp_header(source, destination, payload as u16)
            } else {
                tcp_header(destination, flags)
            };
            transport.extend(vec![0xaa; payload]);
            let protocol = if is_udp { protocol::UDP } else { protocol::TCP };
            let (kind, packet) = if is_v6 {
                ([0x86, 0xdd], ipv6_packet(protocol, &transport))
            } else {
                ([8, 0], ipv4_packet(&[], protocol, 0x4000, &transport))
            };
            [&[2; 12], kind.as_slice(), &packet].concat()
        },
    )
}

/// What the other modules say of a TCP segment or UDP datagram: its port's position and its kind; nothing if it has no verdict of its own.
fn transport_of<Address: Copy>(datagram: &Datagram<Address>) -> Option<(u64, u64)> {
    assert!(datagram.fragment.is_whole() && !datagram.has_options && !datagram.source_routed);
    match datagram.protocol {
        protocol::TCP => {
            let tcp = transport::tcp(datagram).ok()?;
            assert!(tcp.is_valid() && !tcp.accepts());
            let kind = [(tcp.opens(), ordinary::OPENS), (tcp.closes(), ordinary::CLOSES)];
            let kind = kind.iter().filter(|(is, _)| *is).fold(0, |all, (_, bit)| all | bit);
            Some((tcp.destination_port.into(), kind))
        }
        protocol::UDP => {
            Some((u64::from(transport::udp(datagram).ok()?.destination_port) | 1 << 16, 0))
        }
        _ => None,
    }
}

/// Compares an ordinary segment with what the other modules read: a whole TCP segment, with all of its header.
fn check_segment<Address: Copy>(
    found: &ordinary::Segment,
    datagram: &Datagram<Address>,
    words: impl Fn(Address) -> Address6,
    frame: &[u8],
) {
    assert!(datagram.fragment.is_whole() && !datagram.has_options && !datagram.source_routed);
    assert_eq!(datagram.protocol, protocol::TCP);
    let tcp = transport::tcp(datagram).expect("a segment");
    assert_eq!(
        (found.source, found.destination),
        (words(datagram.source), words(datagram.destination))
    );
    assert_eq!(
        (found.source_port, found.destination_port, found.flags),
        (tcp.source_port, tcp.destination_port, tcp.flags)
    );
    let at = frame.len() - datagram.cursor.available();
    let number = |at: usize| u32::from_be_bytes(frame[at..at + 4].try_into().expect("four bytes"));
    assert_eq!((found.sequence, found.acknowledged), (number(at + 4), number(at + 8)));
    let header_bytes = u32::from(frame[at + 12] >> 4) * 4;
    assert_eq!(found.length, datagram.remaining - header_bytes);
    assert_eq!(found.offset as usize, at + header_bytes as usize);
}

/// Reads a frame as an ordinary one, and compares with what the other modules read. Whether it is ordinary.
fn check_ordinary(frame: &[u8]) -> bool {
    let (at_frame, mut linear) = cursor(frame);
    let mut at_ip = at_frame;
    let ethernet = ethernet::ethernet(&mut at_ip);
    let bytes = frame.len() as u64;
    const KIND: u64 = ordinary::OPENS | ordinary::CLOSES;
    match ethernet.map(|link| link.protocol) {
        Ok(ethernet::IPV4) => {
            let segment = ordinary::segment4(at_frame, frame.len() as u32);
            if let Some(segment) = &segment {
                let datagram = ipv4::ipv4(at_ip, &mut linear).expect("a datagram");
                check_segment(segment, &datagram, |address| [address.into(), 0], frame);
            }
            let Some(found) = ordinary::ipv4(at_frame, bytes) else { return false };
            let datagram = ipv4::ipv4(at_ip, &mut linear).expect("a datagram");
            assert_eq!(segment.is_some(), datagram.protocol == protocol::TCP);
            assert_eq!(transport_of(&datagram), Some((found.port, found.kind & KIND)));
            let ends = ordinary::ends4(at_frame).expect("long enough");
            assert_eq!(found.source, datagram.source);
            assert_eq!(
                (ends.source, ends.destination, ends.protocol),
                (datagram.source, datagram.destination, datagram.protocol)
            );
            assert_eq!(Ok((ends.source_port, ends.destination_port)), transport::ports(&datagram));
            true
        }
        Ok(ethernet::IPV6) => {
            let segment = ordinary::segment6(at_frame, frame.len() as u32);
            if let Some(segment) = &segment {
                let datagram = ipv6::ipv6(at_ip, &mut linear).expect("a datagram");
                check_segment(segment, &datagram, |address| address, frame);
            }
            let Some(found) = ordinary::ipv6(at_frame, bytes) else { return false };
            let datagram = ipv6::ipv6(at_ip, &mut linear).expect("a datagram");
            assert_eq!(segment.is_some(), datagram.protocol == protocol::TCP);
            assert_eq!(transport_of(&datagram), Some((found.port, found.kind & KIND)));
            let ends = ordinary::ends6(at_frame).expect("long enough");
            assert_eq!(found.source, datagram.source);
            assert_eq!(
                (ends.source, ends.destination, ends.protocol),
                (datagram.source, datagram.destination, datagram.protocol)
            );
            assert_eq!(Ok((ends.source_port, ends.destination_port)), transport::ports(&datagram));
            true
        }
        _ => false,
    }
}

#[test]
fn the_usual_segments_are_ordinary() {
    for flags in [0x02, 0x10, 0x18, 0x11, 0x04, 0xc2] {
        let segment = tcp_header(443, flags);
        let v4 = [&[2; 12], [8, 0].as_slice(), &ipv4_packet(&[], 6, 0x4000, &segment)].concat();
        let v6 = [&[2; 12], [0x86, 0xdd].as_slice(), &ipv6_packet(6, &segment)].concat();
        assert!(check_ordinary(&v4) && check_ordinary(&v6), "{flags:#x}");
    }
    let answer = tcp_header(443, 0x12);
    let answer = [&[2; 12], [8, 0].as_slice(), &ipv4_packet(&[], 6, 0, &answer)].concat();
    assert!(!check_ordinary(&answer), "an answer to an opening is looked at twice");
}

proptest! {
    #[test]
    fn what_is_ordinary_is_read_alike_by_all(
        frame in ordinary_frame(),
        changes in prop::collection::vec((12usize..80, any::<u8>()), 0..3),
        cut in prop_oneof![Just(0usize), 0usize..80],
        trailer in 0usize..8,
    ) {
        let mut frame = frame;
        for (at, byte) in changes {
            let at = at % frame.len();
            frame[at] = byte;
        }
        frame.extend(vec![0; trailer]);
        frame.truncate(frame.len().saturating_sub(cut));
        check_ordinary(&frame);
    }
}
