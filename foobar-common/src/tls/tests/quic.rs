//! Initial packets.

use std::vec;
use std::vec::Vec;

use proptest::prelude::*;

use crate::tls::quic::initial;

fn packet(first: u8, version: u32, destination: &[u8], source: &[u8], length: usize) -> Vec<u8> {
    let mut packet = vec![first];
    packet.extend(version.to_be_bytes());
    packet.push(destination.len() as u8);
    packet.extend(destination);
    packet.push(source.len() as u8);
    packet.extend(source);
    packet.resize(length, 0x5a);
    packet
}

fn read(packet: &[u8]) -> Option<(u32, [u64; 3])> {
    initial(packet, 0, packet.len() as u32)
}

#[test]
fn initials_of_either_version() {
    for (first, version) in [(0xc3, 1), (0xd3, 0x6b33_43cf), (0xcf, 0xff00_001d)] {
        for length in [0, 1, 7, 8, 9, 16, 17, 20] {
            let id: Vec<u8> = (1..=length).collect();
            let (found, [a, b, c]) =
                read(&packet(first, version, &[9; 8], &id, 1200)).expect("an Initial");
            assert_eq!(found, u32::from(length));
            let mut expected = [0; 3];
            for (word, chunk) in expected.iter_mut().zip(id.chunks(8)) {
                *word = chunk.iter().fold(0u64, |number, byte| number << 8 | u64::from(*byte));
            }
            assert_eq!([a, b, c], expected);
        }
    }
}

#[test]
fn what_is_no_initial() {
    let id = [7; 8];
    let cases = [
        packet(0xc3, 1, &id, &id, 1199),
        packet(0xc3, 0, &id, &id, 1200),
        packet(0xc3, 0x1a2a_3a4a, &id, &id, 1200),
        packet(0x83, 1, &id, &id, 1200),
        packet(0x43, 1, &id, &id, 1200),
        // 0-RTT, Handshake and Retry of version 1; what is Initial there is Retry in version 2.
        packet(0xd3, 1, &id, &id, 1200),
        packet(0xe3, 1, &id, &id, 1200),
        packet(0xf3, 1, &id, &id, 1200),
        packet(0xc3, 0x6b33_43cf, &id, &id, 1200),
        packet(0xc3, 1, &[7; 21], &id, 1200),
        packet(0xc3, 1, &id, &[7; 21], 1200),
    ];
    for packet in cases {
        assert_eq!(read(&packet), None, "{:?}", &packet[..6]);
    }
}

proptest! {
    #[test]
    fn noise(bytes in prop::collection::vec(any::<u8>(), 0..1300)) {
        let _ = read(&bytes);
    }
}
