//! Frames that the capture cut short get their length back; frames that the kernel's test run does not take are shortened.

use etherparse::{LaxNetSlice, LaxSlicedPacket, TransportSlice};

/// libpcap's MAXIMUM_SNAPLEN: no frame is longer.
const LONGEST: usize = 256 << 10;

/// The longest frame that the ingress program is run on. A capture on the server itself may hold what its network card or the
/// kernel put together from many segments; what is longer than an IP length can tell is cut to this.
pub const INGRESS: usize = 0xffff;

/// The longest frame that the egress program is run on: BPF_PROG_TEST_RUN hands a classifier one page, less headroom. What is
/// longer is a batch that the network card would have cut into segments.
pub const EGRESS: usize = 2048;

/// The shortest frame that the egress program is run on: BPF_PROG_TEST_RUN wants a whole IP header where the EtherType says so. It
/// is the least that Ethernet sends, without checksum (`ETH_ZLEN` of linux/if_ether.h).
pub const EGRESS_LEAST: usize = 60;

/// Gives a frame back as many bytes as the capture cut off, as zeros: its lengths then agree, and so does the verdict as far as the
/// headers were captured.
pub fn pad(frame: &mut Vec<u8>, cut: usize) {
    let whole = frame.len().saturating_add(cut).min(LONGEST.max(frame.len()));
    frame.resize(whole, 0);
}

/// Gives a frame at least this many bytes, as zeros behind it, as a network card does.
pub fn lengthen(frame: &mut Vec<u8>, least: usize) {
    if frame.len() < least {
        frame.resize(least, 0);
    }
}

/// Shortens a frame to `most` bytes as segmentation would have: the payload ends earlier and the headers say so.
pub fn shorten(frame: &mut Vec<u8>, most: usize) {
    if frame.len() <= most {
        return;
    }
    let lengths = lengths(frame);
    frame.truncate(most);
    for Length { at, from } in lengths {
        if let (Some(field), Ok(length)) =
            (frame.get_mut(at..at + 2), u16::try_from(most.saturating_sub(from)))
        {
            field.copy_from_slice(&length.to_be_bytes());
        }
    }
}

/// A length field, and where what it measures begins.
struct Length {
    at: usize,
    from: usize,
}

fn lengths(frame: &[u8]) -> Vec<Length> {
    let Ok(packet) = LaxSlicedPacket::from_ethernet(frame) else {
        return Vec::new();
    };
    let start = |part: &[u8]| part.as_ptr().addr() - frame.as_ptr().addr();
    let net = match &packet.net {
        Some(LaxNetSlice::Ipv4(ip)) => {
            let header = start(ip.header().slice());
            Some(Length { at: header + 2, from: header })
        }
        Some(LaxNetSlice::Ipv6(ip)) => {
            let header = start(ip.header().slice());
            Some(Length { at: header + 4, from: header + ip.header().slice().len() })
        }
        _ => None,
    };
    let udp = match &packet.transport {
        Some(TransportSlice::Udp(udp)) => {
            let header = start(udp.slice());
            Some(Length { at: header + 4, from: header })
        }
        _ => None,
    };
    net.into_iter().chain(udp).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use etherparse::{PacketBuilder, SlicedPacket};

    fn datagram(bytes: usize, v6: bool) -> Vec<u8> {
        let ethernet = PacketBuilder::ethernet2([2; 6], [4; 6]).single_vlan(7.try_into().unwrap());
        let payload = vec![0x55; bytes];
        let mut frame = Vec::new();
        let udp = if v6 {
            ethernet.ipv6([1; 16], [2; 16], 64)
        } else {
            ethernet.ipv4([1; 4], [2; 4], 64)
        }
        .udp(443, 5555);
        udp.write_to_vec(&mut frame, &payload).unwrap();
        frame
    }

    #[test]
    fn a_batch_becomes_one_segment_whose_lengths_agree() {
        for v6 in [false, true] {
            let mut frame = datagram(30_000, v6);
            let headers = frame.len() - 30_000;
            shorten(&mut frame, EGRESS);
            assert_eq!(frame.len(), EGRESS);
            let packet = SlicedPacket::from_ethernet(&frame).expect("all lengths agree");
            let Some(TransportSlice::Udp(udp)) = packet.transport else { panic!("{packet:?}") };
            assert_eq!((udp.source_port(), udp.payload().len()), (443, EGRESS - headers));
        }
    }

    #[test]
    fn a_batch_without_a_length_gets_one() {
        // The kernel leaves the field 0 where 16 bits do not hold the length (BIG TCP).
        let mut frame = datagram(1000, false);
        frame.resize(100_000, 0x55);
        frame[14 + 4 + 2..][..2].copy_from_slice(&[0, 0]);
        shorten(&mut frame, INGRESS);
        let packet = SlicedPacket::from_ethernet(&frame).expect("all lengths agree");
        assert_eq!(
            (frame.len(), packet.ip_payload().unwrap().payload.len()),
            (INGRESS, INGRESS - 18 - 20)
        );
    }

    #[test]
    fn short_frames_and_frames_that_are_not_ip_keep_their_bytes() {
        let frame = datagram(100, false);
        let mut same = frame.clone();
        shorten(&mut same, EGRESS);
        assert_eq!(same, frame);
        let mut other = vec![0xaa; 5000];
        shorten(&mut other, EGRESS);
        assert_eq!(other, vec![0xaa; EGRESS]);
    }

    #[test]
    fn frames_that_are_too_short_get_zeros() {
        let mut frame = vec![1; 14];
        lengthen(&mut frame, EGRESS_LEAST);
        assert_eq!((frame.len(), frame[13], frame[14]), (60, 1, 0));
        lengthen(&mut frame, 14);
        assert_eq!(frame.len(), 60);
    }

    #[test]
    fn what_was_cut_off_is_zeros_up_to_a_bound() {
        let mut frame = vec![1; 60];
        pad(&mut frame, 40);
        assert_eq!((frame.len(), frame[59], frame[60], frame[99]), (100, 1, 0, 0));
        pad(&mut frame, usize::MAX);
        assert_eq!(frame.len(), LONGEST);
    }
}
