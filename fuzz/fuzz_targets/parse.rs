//! The parser on arbitrary bytes. The address sanitizer watches that it reads no byte outside the frame; beyond that, what it
//! finds may not depend on bytes behind the datagram, and may not change when the frame is read again.
#![no_main]

use foobar_common::{
    parse::{
        Cursor, Linear,
        summary::{Summary, summary},
    },
    reason::Reason,
};
use libfuzzer_sys::fuzz_target;

/// What the parser makes of a frame. The frame is copied, so that the sanitizer knows where it ends.
fn read(frame: &[u8]) -> (Summary, Result<(), Reason>) {
    let frame = Box::<[u8]>::from(frame);
    let range = frame.as_ptr_range();
    // SAFETY: the frame lives until this function returns, and the summary holds none of it.
    let cursor = unsafe { Cursor::new(range.start as usize, range.end as usize) };
    summary(cursor, &mut Linear { end: range.end as usize })
}

fuzz_target!(|frame: &[u8]| {
    let found = read(frame);
    assert_eq!(found, read(frame));
    let (summary, result) = found;
    assert!(matches!(summary.ip_version, 0 | 4 | 6));
    let has_ports = matches!(summary.protocol, 6 | 17);
    assert!(has_ports || (summary.source_port, summary.destination_port) == (0, 0));
    if let Err(reason) = result {
        assert_eq!(reason.verdict().name(), "drop", "{}", reason.name());
    } else if summary.ip_version != 0 {
        // The datagram was whole: what follows it is padding.
        let padded = [frame, &[0xff; 64]].concat();
        assert_eq!(read(&padded), found, "bytes behind the datagram were read");
    }
});
