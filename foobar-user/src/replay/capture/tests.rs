//! Captures of every kind that is read, written here byte by byte.

use std::io::Cursor;

use super::*;

/// A frame of a broadcast ARP request, which every link layer here can carry.
const ETHERNET: [u8; 42] = {
    let mut frame = [0; 42];
    let head = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0, 9, 0x08, 0x06];
    let mut i = 0;
    while i < head.len() {
        frame[i] = head[i];
        i += 1;
    }
    frame
};
const SECOND: u64 = 1_000_000_000;

/// Byte order of a file.
#[derive(Clone, Copy)]
struct Order {
    big: bool,
}

impl Order {
    fn u16(self, value: u16) -> Vec<u8> {
        if self.big { value.to_be_bytes() } else { value.to_le_bytes() }.to_vec()
    }

    fn u32(self, value: u32) -> Vec<u8> {
        if self.big { value.to_be_bytes() } else { value.to_le_bytes() }.to_vec()
    }

    fn u64(self, value: u64) -> Vec<u8> {
        if self.big { value.to_be_bytes() } else { value.to_le_bytes() }.to_vec()
    }

    /// draft-ietf-opsawg-pcap, section 4: frames are (seconds, fraction, original length, bytes).
    fn pcap(self, magic: u32, link: u32, frames: &[(u32, u32, u32, &[u8])]) -> Vec<u8> {
        let mut file = [
            self.u32(magic),
            self.u16(2),
            self.u16(4),
            self.u32(0),
            self.u32(0),
            self.u32(65_535),
            self.u32(link),
        ]
        .concat();
        for &(seconds, fraction, original, bytes) in frames {
            file.extend(
                [
                    self.u32(seconds),
                    self.u32(fraction),
                    self.u32(bytes.len() as u32),
                    self.u32(original),
                ]
                .concat(),
            );
            file.extend(bytes);
        }
        file
    }

    /// draft-ietf-opsawg-pcapng, section 3.1.
    fn block(self, kind: u32, body: &[u8]) -> Vec<u8> {
        let padding = vec![0; body.len().next_multiple_of(4) - body.len()];
        let length = self.u32((12 + body.len() + padding.len()) as u32);
        [self.u32(kind), length.clone(), body.to_vec(), padding, length].concat()
    }

    fn section(self) -> Vec<u8> {
        self.block(
            0x0a0d_0d0a,
            &[self.u32(0x1a2b_3c4d), self.u16(1), self.u16(0), self.u64(u64::MAX)].concat(),
        )
    }

    fn interface(self, link: u16, options: &[(u16, &[u8])]) -> Vec<u8> {
        let mut body = [self.u16(link), self.u16(0), self.u32(0)].concat();
        for (code, value) in options {
            body.extend([self.u16(*code), self.u16(value.len() as u16), value.to_vec()].concat());
            body.resize(body.len().next_multiple_of(4), 0);
        }
        if !options.is_empty() {
            body.extend([0; 4]);
        }
        self.block(1, &body)
    }

    fn packet(self, interface: u32, time: u64, original: u32, bytes: &[u8]) -> Vec<u8> {
        let time = [self.u32((time >> 32) as u32), self.u32(time as u32)].concat();
        let head =
            [self.u32(interface), time, self.u32(bytes.len() as u32), self.u32(original)].concat();
        self.block(6, &[head, bytes.to_vec()].concat())
    }
}

const LITTLE: Order = Order { big: false };
const BIG: Order = Order { big: true };

fn read(file: Vec<u8>) -> (Vec<Frame>, Vec<String>, Option<CaptureError>) {
    let mut capture = match Capture::read(Cursor::new(file), Path::new("test.pcap")) {
        Ok(capture) => capture,
        Err(error) => return (Vec::new(), Vec::new(), Some(error)),
    };
    let mut frames = Vec::new();
    loop {
        match capture.next_frame() {
            Ok(Some(frame)) => frames.push(frame),
            Ok(None) => return (frames, capture.notes(), None),
            Err(error) => return (frames, capture.notes(), Some(error)),
        }
    }
}

/// The frames of a capture about which there is nothing to say.
fn frames(file: Vec<u8>) -> Vec<Frame> {
    match read(file) {
        (frames, notes, None) if notes.is_empty() => frames,
        (_, notes, error) => panic!("{notes:?} {error:?}"),
    }
}

fn refused(file: Vec<u8>) -> (usize, String, String) {
    let (frames, _, error) = read(file);
    let error = error.expect("an error");
    (frames.len(), error.to_string(), error.help())
}

#[test]
fn pcap_of_either_precision_and_byte_order() {
    let cases = [
        (LITTLE, 0xa1b2_c3d4, 1000),
        (BIG, 0xa1b2_c3d4, 1000),
        (LITTLE, 0xa1b2_3c4d, 1),
        (BIG, 0xa1b2_3c4d, 1),
    ];
    for (order, magic, unit) in cases {
        let file = order.pcap(magic, 1, &[(7, 5, 42, &ETHERNET), (8, 0, 42, &ETHERNET)]);
        let [first, second] = frames(file).try_into().unwrap();
        let expected = Frame {
            index: 0,
            time_ns: 7 * SECOND + 5 * unit,
            bytes: ETHERNET.to_vec(),
            source_mac: Some([2, 0, 0, 0, 0, 9]),
            truncated: false,
        };
        assert_eq!(first, expected, "{magic:#x}");
        assert_eq!((second.index, second.time_ns), (1, 8 * SECOND));
    }
}

#[test]
fn pcapng_with_several_interfaces_sections_and_resolutions() {
    for order in [LITTLE, BIG] {
        let offset = order.u64(100);
        let file = [
            order.section(),
            order.interface(1, &[]),
            order.interface(1, &[(9, &[9]), (14, &offset)]),
            order.interface(1, &[(9, &[0x80 | 10])]),
            order.packet(0, 7_000_005, 42, &ETHERNET),
            // Statistics, which are none of a frame.
            order.block(5, &[0; 12]),
            order.packet(1, 7 * SECOND + 5, 42, &ETHERNET),
            order.packet(2, 3 << 10 | 512, 42, &ETHERNET),
            // A simple packet, of the first interface: it tells no time.
            order.block(3, &[order.u32(42), ETHERNET.to_vec()].concat()),
            order.section(),
            order.interface(101, &[]),
            order.packet(0, 1, 1, &[0x45]),
        ]
        .concat();
        let (frames, notes, error) = read(file);
        assert!(error.is_none(), "{error:?}");
        let times: Vec<_> = frames.iter().map(|frame| frame.time_ns).collect();
        assert_eq!(times, [7 * SECOND + 5000, 107 * SECOND + 5, 3 * SECOND + SECOND / 2, 0, 1000]);
        assert!(frames[..4].iter().all(|frame| frame.bytes == ETHERNET));
        assert_eq!((notes.len(), frames[4].source_mac), (1, None), "raw IP is noted once");
    }
}

#[test]
fn cooked_and_raw_captures_become_ethernet() {
    let v4 = [0x45, 0, 0, 20];
    let cooked = [&[0, 4, 0, 1, 0, 6, 2, 0, 0, 0, 0, 7, 0, 0, 0x08, 0x00][..], &v4].concat();
    let cooked2 =
        [&[0x86, 0xdd, 0, 0, 0, 0, 0, 3, 0, 1, 4, 6, 2, 0, 0, 0, 0, 7, 0, 0][..], &[0x60]].concat();
    let tunnel = [&[0, 0, 0xff, 0xfe, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x08, 0x00][..], &v4].concat();
    let mac = Some([2, 0, 0, 0, 0, 7]);
    /// Link type, bytes, EtherType and source MAC address that follow.
    type Case<'c> = (u32, &'c [u8], [u8; 2], Option<[u8; 6]>);
    let cases: [Case<'_>; 5] = [
        (113, &cooked, [8, 0], mac),
        (113, &tunnel, [8, 0], None),
        (276, &cooked2, [0x86, 0xdd], mac),
        (101, &v4, [8, 0], None),
        (229, &[0x60, 0], [0x86, 0xdd], None),
    ];
    for (link, bytes, kind, source) in cases {
        let (frames, notes, error) =
            read(LITTLE.pcap(0xa1b2_c3d4, link, &[(1, 0, bytes.len() as u32, bytes); 2]));
        assert!(error.is_none(), "{error:?}");
        assert_eq!((frames.len(), notes.len()), (2, 1), "noted once: {notes:?}");
        assert_eq!((&frames[0].bytes[12..14], frames[0].source_mac), (&kind[..], source), "{link}");
        if let Some(source) = source {
            assert_eq!(frames[0].bytes[6..12], source);
        }
        assert!(bytes.ends_with(&frames[0].bytes[14..]));
    }
}

#[test]
fn a_frame_that_was_cut_gets_its_length_back() {
    let [cut, whole] =
        frames(LITTLE.pcap(0xa1b2_c3d4, 1, &[(1, 0, 1000, &ETHERNET), (1, 0, 42, &ETHERNET)]))
            .try_into()
            .unwrap();
    assert_eq!((cut.bytes.len(), cut.truncated, whole.truncated), (1000, true, false));
    assert!(cut.bytes.starts_with(&ETHERNET) && cut.bytes[42..].iter().all(|&byte| byte == 0));
    let [short] =
        frames(LITTLE.pcap(0xa1b2_c3d4, 1, &[(1, 0, 5, &[1, 2, 3, 4, 5])])).try_into().unwrap();
    assert_eq!((short.bytes.len(), short.source_mac, short.truncated), (5, None, false));
    // A length that is less than what is there is no length.
    let [lies] = frames(LITTLE.pcap(0xa1b2_c3d4, 1, &[(1, 0, 3, &ETHERNET)])).try_into().unwrap();
    assert_eq!((lies.bytes.len(), lies.truncated), (42, false));
}

#[test]
fn a_file_that_ends_in_the_middle_of_a_frame_is_read_up_to_there() {
    let pcap = LITTLE.pcap(0xa1b2_c3d4, 1, &[(1, 0, 42, &ETHERNET), (2, 0, 42, &ETHERNET)]);
    let ng = [
        LITTLE.section(),
        LITTLE.interface(1, &[]),
        LITTLE.packet(0, 1, 42, &ETHERNET),
        LITTLE.packet(0, 2, 42, &ETHERNET),
    ]
    .concat();
    for file in [pcap, ng] {
        for cut in [1, 20, 41, 45, 57] {
            let (frames, notes, error) = read(file[..file.len() - cut].to_vec());
            assert!(error.is_none(), "{error:?}");
            assert_eq!(frames.len(), 1);
            assert!(
                notes[0].contains("ends in the middle of a frame; the 1 before it"),
                "{notes:?}"
            );
        }
    }
}

#[test]
fn frames_larger_than_the_buffer_are_read() {
    let large = vec![7; 3 << 20];
    let file = LITTLE.pcap(
        0xa1b2_c3d4,
        1,
        &[(1, 0, 42, &ETHERNET), (1, 0, large.len() as u32, &large), (2, 0, 42, &ETHERNET)],
    );
    let lengths: Vec<_> = frames(file).iter().map(|frame| frame.bytes.len()).collect();
    assert_eq!(lengths, [42, 3 << 20, 42]);
}

#[test]
fn what_is_no_capture_is_refused_by_name() {
    for (file, expected, remedy) in [
        (Vec::new(), "it is empty", "tcpdump"),
        (
            b"index,verdict\n0,pass\n".to_vec(),
            "begins neither like pcap nor like pcapng",
            "tcpdump -w",
        ),
        (vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0], "it is compressed", "gunzip test.pcap"),
        (vec![0xd4, 0xc3, 0xb2], "begins neither", "tcpdump -w"),
    ] {
        let (_, error, help) = refused(file);
        assert!(
            error.starts_with("test.pcap is not a capture: ") && error.contains(expected),
            "{error}"
        );
        assert!(help.contains(remedy), "{help}");
    }
}

#[test]
fn other_link_layers_are_refused_by_name() {
    let (frames, error, help) = refused(LITTLE.pcap(0xa1b2_c3d4, 127, &[(1, 0, 4, &[0; 4])]));
    assert_eq!(frames, 0);
    assert!(
        error.contains("frame 0 of test.pcap") && error.contains("IEEE802_11_RADIOTAP (127)"),
        "{error}"
    );
    assert!(help.contains("tcpdump -i eth0"), "{help}");
}

#[test]
fn damage_is_told_with_its_place() {
    let mut file = LITTLE.pcap(0xa1b2_c3d4, 1, &[(1, 0, 42, &ETHERNET)]);
    file.extend(
        [LITTLE.u32(1), LITTLE.u32(0), LITTLE.u32(u32::MAX), LITTLE.u32(42), vec![0; 16 << 20]]
            .concat(),
    );
    let (frames, error, _) = refused(file);
    assert_eq!(
        (frames, error.as_str()),
        (1, "the capture test.pcap is damaged behind frame 1: a block claims more than 16 MiB")
    );
    let unknown =
        [LITTLE.section(), LITTLE.interface(1, &[]), LITTLE.packet(3, 1, 42, &ETHERNET)].concat();
    assert!(refused(unknown).1.contains("names interface 3, which is not described"));
}

#[test]
fn a_pipe_that_hands_out_a_byte_at_a_time_is_read() {
    struct Trickle(Cursor<Vec<u8>>);
    impl Read for Trickle {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let few = buffer.len().min(1);
            self.0.read(&mut buffer[..few])
        }
    }
    let file =
        [LITTLE.section(), LITTLE.interface(1, &[]), LITTLE.packet(0, 1, 42, &ETHERNET)].concat();
    let mut capture = Capture::read(Trickle(Cursor::new(file)), Path::new("-")).unwrap();
    assert_eq!(capture.next_frame().unwrap().unwrap().bytes, ETHERNET);
    assert!(capture.next_frame().unwrap().is_none());
}
