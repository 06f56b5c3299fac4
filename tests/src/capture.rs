//! Capture files for `foobar replay`.

use std::{fs, path::Path};

/// A frame of a capture.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Captured {
    /// Seconds since 1970.
    pub time: u64,
    /// From the Ethernet header on.
    pub frame: Vec<u8>,
}

/// Writes a pcap file (draft-ietf-opsawg-pcap) of Ethernet frames of which no more than `snap_length` bytes are kept.
///
/// # Panics
/// If the file cannot be written.
pub fn write(path: &Path, frames: &[Captured], snap_length: usize) {
    let header = [0xa1b2_c3d4_u32, 2 | 4 << 16, 0, 0, snap_length as u32, 1];
    let mut file: Vec<u8> = header.iter().flat_map(|word| word.to_le_bytes()).collect();
    for Captured { time, frame } in frames {
        let kept = &frame[..frame.len().min(snap_length)];
        let seconds = u32::try_from(*time).expect("pcap counts seconds in 32 bits");
        for word in [seconds, 0, kept.len() as u32, frame.len() as u32] {
            file.extend(word.to_le_bytes());
        }
        file.extend(kept);
    }
    fs::write(path, file).expect("a capture file");
}
