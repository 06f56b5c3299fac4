//! The record layer: five bytes of header, then so many bytes as it says.

use super::{
    Bytes,
    flow::{FOLLOWED, Flow, OPENING, OWNER_CLIENT, OWNER_SERVER, failure, mark},
    handshake, hello,
};

/// Content types (RFC 8446 section 5.1).
pub const CHANGE_CIPHER_SPEC: u8 = 20;
pub const ALERT: u8 = 21;
pub const HANDSHAKE: u8 = 22;
pub const APPLICATION_DATA: u8 = 23;
/// Stands in [`super::Side::content`] for an alert that cannot be read.
pub const ENCRYPTED_ALERT: u8 = 0xff;

/// Bytes of a record's header.
const HEADER_BYTES: u32 = 5;
/// Bytes of an alert in clear: level and description.
const ALERT_BYTES: u32 = 2;
/// What a record may hold at most: 2^14 bytes and what encryption adds in TLS 1.2 (RFC 5246 section 6.2.3).
const MAX_LENGTH: u32 = (1 << 14) + 2048;

/// Steps that one segment may take. A browser's hello has some 60 units; a segment of 64 kB has some 50 records as small as a server
/// makes them.
pub const MAX_STEPS: u32 = 192;

/// Reads a segment that is one record of application data, behind the handshake: what most segments are. Gives back whether it is one;
/// if not, nothing was done.
#[inline(always)]
pub fn whole<const CLIENT: bool>(
    flow: &mut Flow,
    bytes: &(impl Bytes + ?Sized),
    length: u32,
) -> bool {
    let side = flow.side::<CLIENT>();
    let between = side.left == 0 && side.have == 0;
    if flow.state != FOLLOWED || !between || length <= HEADER_BYTES {
        return false;
    }
    let Some(header) = bytes.load(0, HEADER_BYTES) else { return false };
    let (content, version) = ((header >> 32) as u8, (header >> 16) as u16);
    let payload = header as u32 & 0xffff;
    let fits = payload <= MAX_LENGTH && payload + HEADER_BYTES == length;
    if content != APPLICATION_DATA || version >> 8 != 3 || version & 0xff > 4 || !fits {
        return false;
    }
    flow.side::<CLIENT>().content = content;
    turn::<CLIENT>(flow, content, payload);
    true
}

/// Reads on at byte `at` of a segment with `end` bytes of payload, up to the end of a unit at most. Returns where it stopped.
#[inline(always)]
pub fn step<const CLIENT: bool>(
    flow: &mut Flow,
    bytes: &(impl Bytes + ?Sized),
    at: u32,
    end: u32,
) -> u32 {
    if at >= end {
        return end;
    }
    let room = end - at;
    let side = flow.side::<CLIENT>();
    if side.left == 0 {
        return header::<CLIENT>(flow, bytes, at, room);
    }
    let room = room.min(side.left as u32);
    let content = side.content;
    let owner = if CLIENT { OWNER_CLIENT } else { OWNER_SERVER };
    let taken = if content == HANDSHAKE && flow.message.owner == owner {
        hello::read(flow, bytes, at, room)
    } else if content == ALERT {
        alert::<CLIENT>(flow, bytes, at, room)
    } else {
        room
    };
    // Not what the record layer says, but where the bytes can be read at all.
    if taken > room {
        flow.give_up::<CLIENT>();
        return end;
    }
    flow.side::<CLIENT>().left -= taken as u16;
    at + taken
}

/// Collects a header, and says what it means once it is there.
#[inline(always)]
fn header<const CLIENT: bool>(
    flow: &mut Flow,
    bytes: &(impl Bytes + ?Sized),
    at: u32,
    room: u32,
) -> u32 {
    let side = flow.side::<CLIENT>();
    let have = (side.have as u32).min(HEADER_BYTES - 1);
    let count = room.min(HEADER_BYTES - have);
    let Some(read) = bytes.load(at, count) else {
        flow.give_up::<CLIENT>();
        return at + room;
    };
    // 40 bits at most: the fifth byte makes the header whole, and it is not kept.
    let header = (side.header as u64) << (8 * count) | read;
    side.header = header as u32;
    side.have = (have + count) as u8;
    if have + count < HEADER_BYTES {
        return at + count;
    }
    side.have = 0;
    side.header = 0;
    let content = (header >> 32) as u8;
    let version = (header >> 16) as u16;
    let length = header as u32 & 0xffff;
    let known = (CHANGE_CIPHER_SPEC..=APPLICATION_DATA).contains(&content);
    if !known || version >> 8 != 3 || version & 0xff > 4 || length > MAX_LENGTH {
        unreadable::<CLIENT>(flow);
        return at + room;
    }
    begins::<CLIENT>(flow, content, length);
    at + count
}

/// What came is no record.
#[inline(always)]
pub(super) fn unreadable<const CLIENT: bool>(flow: &mut Flow) {
    if CLIENT && flow.state == OPENING && flow.whole != 0 && flow.client.content == 0 {
        flow.fail(failure::NOT_TLS);
    } else {
        flow.give_up::<CLIENT>();
    }
}

/// A record begins.
#[inline(always)]
fn begins<const CLIENT: bool>(flow: &mut Flow, content: u8, length: u32) {
    // A client starts with its hello.
    if CLIENT && flow.state == OPENING && flow.client.content == 0 && content != HANDSHAKE {
        unreadable::<CLIENT>(flow);
        return;
    }
    let side = flow.side::<CLIENT>();
    side.left = length as u16;
    side.content = content;
    if content == ALERT && length != ALERT_BYTES {
        side.content = ENCRYPTED_ALERT;
    }
    if !CLIENT {
        handshake::answered(flow);
    }
    if flow.state == FOLLOWED {
        turn::<CLIENT>(flow, content, length);
    } else {
        handshake::record::<CLIENT>(flow, content, length);
    }
}

/// Collects an alert.
#[inline(always)]
fn alert<const CLIENT: bool>(
    flow: &mut Flow,
    bytes: &(impl Bytes + ?Sized),
    at: u32,
    room: u32,
) -> u32 {
    let side = flow.side::<CLIENT>();
    let count = room.min(ALERT_BYTES);
    let Some(read) = bytes.load(at, count) else {
        return u32::MAX;
    };
    side.header = side.header << (8 * count) | read as u32;
    if side.left as u32 == count {
        let alert = side.header;
        side.header = 0;
        if flow.state < FOLLOWED {
            handshake::alert::<CLIENT>(flow, (alert >> 8) as u8, alert as u8);
        }
    }
    count
}

/// Bytes of a session ticket of TLS 1.3 as an encrypted record.
const TICKET: core::ops::RangeInclusive<u32> = 180..=320;

/// Counts answers: a server's record of application data behind a client's. Of no use where several requests are under way at once, as
/// in HTTP/2.
#[inline(always)]
fn turn<const CLIENT: bool>(flow: &mut Flow, content: u8, length: u32) {
    if content != APPLICATION_DATA {
        return;
    }
    if CLIENT {
        // The least that encryption makes of an alert: close_notify.
        if flow.version != super::version::TLS13 || length != handshake::ALERT_LENGTH {
            flow.client.marks |= mark::ASKED;
        }
    } else if flow.version == super::version::TLS13 && flow.tickets > 0 && TICKET.contains(&length)
    {
        flow.tickets -= 1;
    } else if flow.client.marks & mark::ASKED != 0 {
        flow.tickets = 0;
        flow.client.marks &= !mark::ASKED;
        flow.turns = flow.turns.wrapping_add(1);
    }
}

/// Whether the payload starts like a hello: a handshake record with a ClientHello. `first` are its first eight bytes.
#[inline(always)]
pub fn looks_like_hello(first: u64) -> bool {
    let length = (first >> 24) as u32 & 0xffff;
    (first >> 48) as u16 == 0x1603
        && (first >> 40) as u8 <= 4
        && length > 4
        && length <= MAX_LENGTH
        && (first >> 16) as u8 == 1
}
