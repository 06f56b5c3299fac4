//! Packets with odd headers, and frames bent and broken.

use fastrand::Rng;

use super::{one, percent};
use crate::frames::packet::{Packet, filler};

/// Bytes of a frame that hold headers, where a change matters most.
const HEADERS: usize = 90;

/// IPv4 options, well-formed ones and others.
pub(super) fn options(random: &mut Rng, packet: Packet) -> Packet {
    let options: [&[u8]; 9] = [
        &[1, 1, 1, 1],
        &[0, 0, 0, 0],
        &[148, 4, 0, 0],
        &[136, 8, 0, 80, 0, 0, 0, 0],
        &[7, 7, 4, 0, 0, 0, 0, 0],
        &[131, 7, 4, 10, 0, 0, 1, 0],
        &[1, 137, 7, 4, 10, 0, 0, 1],
        &[7, 0, 131, 3],
        &[1; 40],
    ];
    packet.options(options[random.usize(..options.len())])
}

/// Up to ten extension headers.
pub(super) fn extensions(random: &mut Rng, mut packet: Packet) -> Packet {
    let count = if percent(random, 80) { random.u8(1..=2) } else { random.u8(3..=10) };
    for _ in 0..count {
        let number = *one(random, &[0, 43, 51, 60, 60, 60, 135]);
        let units = random.u8(..4);
        let bytes = match number {
            51 => (usize::from(units) + 2) * 4,
            _ => (usize::from(units) + 1) * 8,
        };
        let mut header = filler(bytes);
        header[1] = units;
        // Routing type and segments left.
        header[2] = random.u8(..5);
        header[3] = if random.bool() { 0 } else { random.u8(..3) };
        packet = packet.extension(number, &header);
    }
    if percent(random, 20) { packet.fragment6(random.u32(..), false, 0) } else { packet }
}

/// Changes bytes, mostly in the headers, and sometimes the length of the frame.
pub(super) fn bytes(random: &mut Rng, frame: &mut Vec<u8>) {
    for _ in 0..random.u8(1..=3) {
        let end = frame.len().min(HEADERS);
        // The MAC addresses say nothing.
        let at = random.usize(12..end);
        frame[at] = match random.u8(..3) {
            0 => frame[at] ^ 1 << random.u8(..8),
            1 => *one(random, &[0, 1, 0x45, 0x60, 0x7f, 0x80, 0xff]),
            _ => random.u8(..),
        };
    }
    match random.u8(..10) {
        0 => frame.truncate(random.usize(14..=frame.len())),
        1 => frame.extend(filler(random.usize(..20))),
        _ => {}
    }
}
