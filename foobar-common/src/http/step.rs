//! The automaton: one step gathers up to eight bytes of a piece, and says what they mean.
//!
//! Text is read in words of eight bytes; where a line ends is found in all of them at once (Hacker's Delight, section 6.1).
//!
//! Long because it is one automaton: each state's step is read beside those that it leads to.

use super::side::{Side, mark, phase};

/// What a step found.
pub mod event {
    /// Nothing to tell.
    pub const NONE: u32 = 0;
    /// A request begins; [`super::side::Side::number`] is its [`super::super::step::method`], or the first four letters of another one.
    pub const REQUEST: u32 = 1;
    /// A response begins; [`super::side::Side::number`] is its status code.
    pub const RESPONSE: u32 = 2;
    /// A client's header block, on the stream [`super::side::Side::number`].
    pub const STREAM: u32 = 3;
    /// A server's header block on the stream [`super::side::Side::number`]; the class of its status, or [`super::REFERENCE`], and
    /// [`super::REMEMBERED`] with it, are in [`super::side::Side::version`].
    pub const HEADERS: u32 = 4;
    /// The stream [`super::side::Side::number`] was reset.
    pub const RESET: u32 = 5;
    /// This is not HTTP.
    pub const FAILED: u32 = 6;
    /// HTTP/2 begins behind a response 101.
    pub const UPGRADED: u32 = 7;
}

/// Methods that decide how a response ends.
pub mod method {
    pub const OTHER: u32 = 0;
    pub const HEAD: u32 = 1;
    pub const CONNECT: u32 = 2;
}

/// Bytes of a piece that are at hand.
pub trait Window {
    /// The eight bytes from `at` on, the first in the lowest byte. What lies behind the end of the piece is arbitrary.
    fn word(&self, at: u64) -> u64;
}

/// A class that is not a status: the header block does not begin with one, or with one that cannot be read.
pub const CLASS_UNKNOWN: u8 = 0;
/// In place of a class: a status that the other side remembers from before (an index into the dynamic table, RFC 7541, section 2.3.3).
pub const REFERENCE: u8 = 6;
/// Beside a class: the other side is to remember it (a literal with incremental indexing, RFC 7541, section 6.2.1).
pub const REMEMBERED: u8 = 8;

pub(super) const fn every(byte: u8) -> u64 {
    0x0101_0101_0101_0101 * byte as u64
}

pub(super) const fn text(bytes: &[u8; 8]) -> u64 {
    u64::from_le_bytes(*bytes)
}

/// The lowest bytes of a word.
pub(super) const fn low(bytes: u32) -> u64 {
    u64::MAX >> (64 - 8 * bytes)
}

/// Bit 7 of each byte that is this one; exact up to the first.
#[inline(always)]
fn marks_of(byte: u8, word: u64) -> u64 {
    let zero = word ^ every(byte);
    zero.wrapping_sub(every(1)) & !zero & every(0x80)
}

/// [`marks_of`] line feeds.
#[inline(always)]
pub(super) fn line_feeds(word: u64) -> u64 {
    marks_of(b'\n', word)
}

/// Position of the first byte that [`marks_of`] marks; `marks` is not 0. The BPF machine cannot count zeros, but it can multiply.
#[inline(always)]
pub(super) fn first(marks: u64) -> u32 {
    let lowest = (marks & marks.wrapping_neg()) >> 7;
    (lowest.wrapping_mul(0x0001_0203_0405_0607) >> 56) as u32
}

/// Reads on at `at`, which is below `end`, the number of bytes at hand. Gives back where it came to, and what was found.
///
/// `REPLIES`: the side is what the server sends. Lines of no interest and bytes to skip are not for this function.
#[inline(always)]
pub fn step<const REPLIES: bool>(
    side: &mut Side,
    window: &impl Window,
    at: u32,
    end: u32,
) -> (u32, u32) {
    if gathers(side.phase) {
        collect::<REPLIES>(side, window.word(at as u64), at, end - at)
    } else {
        bytes::<REPLIES>(side, window.word(at as u64), at, end)
    }
}

/// Whether several bytes are needed to go on.
#[inline(always)]
fn gathers(phase: u8) -> bool {
    const ONE_BY_ONE: u32 =
        1 << phase::LENGTH | 1 << phase::CODING | 1 << phase::CHUNK_SIZE | 1 << phase::FRAME_END;
    ONE_BY_ONE >> (phase & 31) & 1 == 0
}

/// Reads bytes one by one, up to eight of them, as long as the phase is one in which they are read so.
#[inline(always)]
fn bytes<const REPLIES: bool>(side: &mut Side, word: u64, at: u32, end: u32) -> (u32, u32) {
    let (phase, mut word, mut at) = (side.phase, word, at);
    for _ in 0..8 {
        let byte = word as u8;
        let event = match phase {
            phase::LENGTH => length(side, byte),
            phase::CODING => coding(side, byte),
            phase::CHUNK_SIZE => chunk_size(side, byte),
            _ => frame::<REPLIES>(side, byte),
        };
        at += 1;
        word >>= 8;
        if event != event::NONE || side.phase != phase || at >= end {
            return (at, event);
        }
    }
    (at, event::NONE)
}

/// Gathers bytes until there are enough of them, or the line ends.
#[inline(always)]
fn collect<const REPLIES: bool>(side: &mut Side, word: u64, at: u32, available: u32) -> (u32, u32) {
    let have = side.have as u32 & 7;
    let mut wanted = 8 - have;
    let mut is_text = true;
    match side.phase {
        // Seven bytes; the value may begin with the eighth.
        phase::LENGTH_NAME => wanted = if have < 7 { 7 - have } else { 1 },
        phase::FIELD => {
            is_text = false;
            if side.left < wanted as u64 {
                wanted = side.left as u32;
            }
        }
        phase::FRAME | phase::SWITCHED => is_text = false,
        _ => {}
    }
    let mut taken = if wanted < available { wanted } else { available };
    let mut ended = false;
    if is_text {
        let marks = line_feeds(word);
        if marks != 0 {
            let found = first(marks) + 1;
            if found <= taken {
                taken = found;
                ended = true;
            }
        }
    }
    // At least one byte is taken: `available` and `wanted` are not 0.
    side.word |= (word & low_of(taken)) << (8 * have);
    side.have = (have + taken) as u8;
    if side.phase == phase::FIELD {
        side.left -= taken as u64;
    }
    let event =
        if ended || taken == wanted { collected::<REPLIES>(side, ended) } else { event::NONE };
    (at + taken, event)
}

#[inline(always)]
fn low_of(bytes: u32) -> u64 {
    u64::MAX >> (64u32.wrapping_sub(8 * bytes) & 63)
}

/// What was gathered is complete.
#[inline(always)]
fn collected<const REPLIES: bool>(side: &mut Side, ended: bool) -> u32 {
    let word = side.word;
    match side.phase {
        phase::NAME => name::<REPLIES>(side, ended),
        phase::START if REPLIES => first_of_response(side, ended),
        phase::START => first_of_request(side, ended),
        phase::STATUS => status(side, ended),
        phase::LENGTH_NAME if word | every(0x20) == text(b"length:\0") | every(0x20) => {
            side.left = 0;
            side.enter(phase::LENGTH);
            event::NONE
        }
        phase::CODING_NAME if word | every(0x20) == text(b"-encodin") => {
            side.enter(phase::CODING);
            event::NONE
        }
        phase::FRAME => {
            side.phase = phase::FRAME_END;
            event::NONE
        }
        phase::FIELD => field(side),
        phase::SWITCHED if is_settings(word) => {
            speak_http2(side);
            event::UPGRADED
        }
        phase::SWITCHED => {
            side.enter(phase::TUNNEL);
            event::NONE
        }
        _ => {
            side.enter(if ended { phase::NAME } else { phase::LINE });
            event::NONE
        }
    }
}

/// The first bytes of a header line, or all of it.
#[inline(always)]
fn name<const REPLIES: bool>(side: &mut Side, ended: bool) -> u32 {
    if ended {
        let is_empty = side.word == 0x0a || side.word == 0x0a0d;
        if is_empty {
            return header_ended::<REPLIES>(side);
        }
        side.enter(phase::NAME);
        return event::NONE;
    }
    let lower = side.word | every(0x20);
    let is_trailer = side.has(mark::TRAILER);
    side.enter(if lower == text(b"content-") && !is_trailer {
        phase::LENGTH_NAME
    } else if lower == text(b"transfer") && !is_trailer {
        phase::CODING_NAME
    } else {
        phase::LINE
    });
    event::NONE
}

/// The header is over: what its body is like (RFC 9112, section 6.3).
#[inline(always)]
pub(super) fn header_ended<const REPLIES: bool>(side: &mut Side) -> u32 {
    let marks = side.marks;
    if marks & mark::TRAILER != 0 {
        side.restart();
    } else if REPLIES && side.number == 101 {
        side.marks = 0;
        side.enter(phase::SWITCHED);
    } else if REPLIES && marks & mark::TUNNELS != 0 {
        side.enter(phase::TUNNEL);
    } else if REPLIES && marks & mark::NO_BODY != 0 {
        side.restart();
    } else if marks & mark::CODED != 0 {
        if !REPLIES {
            return event::FAILED;
        }
        side.enter(phase::UNTIL_CLOSE);
    } else if marks & mark::CHUNKED != 0 {
        side.left = 0;
        side.enter(phase::CHUNK_SIZE);
    } else if marks & mark::LENGTH != 0 {
        if side.left == 0 {
            side.restart();
        } else {
            side.enter(phase::SKIP);
        }
    } else if REPLIES {
        side.enter(phase::UNTIL_CLOSE);
    } else {
        side.restart();
    }
    event::NONE
}

/// "HTTP/1.x", or a SETTINGS frame of a server that speaks HTTP/2.
#[inline(always)]
fn first_of_response(side: &mut Side, ended: bool) -> u32 {
    let word = side.word;
    let minor = (word >> 56) as u8;
    if !ended && word & low(7) == text(b"HTTP/1.\0") && (minor == b'0' || minor == b'1') {
        side.version = minor - b'0';
        side.enter(phase::STATUS);
        event::NONE
    } else if !ended && is_settings(word) {
        speak_http2(side);
        event::NONE
    } else {
        event::FAILED
    }
}

/// " 200" and what follows.
#[inline(always)]
fn status(side: &mut Side, ended: bool) -> u32 {
    let digit = |index: u32| ((side.word >> (8 * index)) as u8).wrapping_sub(b'0') as u32;
    let (a, b, c) = (digit(1), digit(2), digit(3));
    if side.word as u8 != b' ' || a == 0 || a > 5 || b > 9 || c > 9 {
        return event::FAILED;
    }
    side.number = a * 100 + b * 10 + c;
    side.enter(if ended { phase::NAME } else { phase::LINE });
    event::RESPONSE
}

/// A method, or the preface of HTTP/2 (RFC 9113, section 3.4).
#[inline(always)]
fn first_of_request(side: &mut Side, ended: bool) -> u32 {
    let word = side.word;
    if ended && (word == 0x0a || word == 0x0a0d) {
        // Empty lines before a request are ignored (RFC 9112, section 2.2).
        side.enter(phase::START);
        return event::NONE;
    }
    if word == text(b"PRI * HT") {
        side.marks = mark::HTTP2;
        side.left = 16;
        side.enter(phase::SKIP);
        return event::NONE;
    }
    // Capital letters, and hyphens behind the first (M-SEARCH), up to the first space, which is there unless the method is longer than
    // seven bytes. A hyphen becomes a capital letter by two bits.
    let spaces = marks_of(b' ', word);
    let method = if spaces == 0 { 8 } else { first(spaces) };
    let hyphens = marks_of(b'-', word) & !0xff;
    let letters = word ^ (hyphens >> 1 | hyphens >> 2);
    if method == 0 || (letters & every(0xe0)) & low_of(method) != every(0x40) & low_of(method) {
        return event::FAILED;
    }
    side.number = if word & low(5) == text(b"HEAD \0\0\0") {
        method::HEAD
    } else if word == text(b"CONNECT ") {
        method::CONNECT
    } else {
        // At least a capital letter, so it is none of these numbers.
        word as u32
    };
    side.enter(if ended { phase::START } else { phase::LINE });
    event::REQUEST
}

#[inline(always)]
fn length(side: &mut Side, byte: u8) -> u32 {
    let digit = byte.wrapping_sub(b'0');
    if byte == b'\n' {
        if side.have == 0 {
            return event::FAILED;
        }
        side.marks |= mark::LENGTH;
        side.enter(phase::NAME);
    } else if digit < 10 {
        if side.left >> 56 != 0 || side.have == 2 {
            return event::FAILED;
        }
        side.left = side.left * 10 + digit as u64;
        side.have = 1;
    } else if byte == b' ' || byte == b'\t' || byte == b'\r' {
        if side.have == 1 {
            side.have = 2;
        }
    } else {
        return event::FAILED;
    }
    event::NONE
}

/// Keeps the last eight bytes that are no space.
#[inline(always)]
fn coding(side: &mut Side, byte: u8) -> u32 {
    if side.have < 2 {
        // The last two bytes of the name.
        let expected = if side.have == 0 { b'g' } else { b':' };
        if byte | 0x20 != expected | 0x20 {
            side.enter(if byte == b'\n' { phase::NAME } else { phase::LINE });
        } else {
            side.have += 1;
        }
    } else if byte == b'\n' {
        let is_chunked = side.word >> 8 | every(0x20) == text(b"chunked\0") | every(0x20);
        side.marks &= !(mark::CHUNKED | mark::CODED);
        side.marks |= if is_chunked { mark::CHUNKED } else { mark::CODED };
        side.enter(phase::NAME);
    } else if byte != b' ' && byte != b'\t' && byte != b'\r' {
        side.word = side.word >> 8 | (byte as u64) << 56;
    }
    event::NONE
}

/// A number in base 16, and perhaps an extension, which is ignored.
#[inline(always)]
fn chunk_size(side: &mut Side, byte: u8) -> u32 {
    if byte == b'\n' {
        if side.have == 0 {
            return event::FAILED;
        }
        if side.left == 0 {
            side.marks |= mark::TRAILER;
            side.enter(phase::NAME);
        } else {
            // The line end behind the chunk.
            side.left += 2;
            side.enter(phase::SKIP);
        }
        return event::NONE;
    }
    if side.have == 2 {
        return event::NONE;
    }
    let lower = (byte | 0x20).wrapping_sub(b'a');
    let digit = byte.wrapping_sub(b'0');
    let value = if digit < 10 {
        digit
    } else if lower < 6 {
        lower + 10
    } else if side.have == 1 {
        side.have = 2;
        return event::NONE;
    } else {
        return event::FAILED;
    };
    if side.left >> 52 != 0 {
        return event::FAILED;
    }
    side.left = side.left << 4 | value as u64;
    side.have = 1;
    event::NONE
}

/// Types and flags of frames (RFC 9113, section 6).
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u64 = 4;
const PADDED_OR_PRIORITY: u8 = 0x08 | 0x20;
/// The static table of names and values has 61 entries (RFC 7541, appendix A).
const FIRST_OF_DYNAMIC_TABLE: u8 = 62;

/// Whether these are the first eight bytes of a SETTINGS frame that no acknowledgement is: a length below 256, the type, no flags, and
/// a stream below 256.
#[inline(always)]
fn is_settings(word: u64) -> bool {
    word & !(0xff << 16) == SETTINGS << 24 && (word >> 16 & 0xff).is_multiple_of(6)
}

/// The eight bytes at hand are those of the first frame.
#[inline(always)]
fn speak_http2(side: &mut Side) {
    side.marks = mark::HTTP2;
    side.phase = phase::FRAME_END;
}

/// The last byte of a frame's header.
#[inline(always)]
fn frame<const REPLIES: bool>(side: &mut Side, byte: u8) -> u32 {
    let big_endian = side.word.swap_bytes();
    let length = big_endian >> 40;
    let kind = (big_endian >> 32) as u8;
    let flags = (big_endian >> 24) as u8;
    side.number = ((big_endian as u32) << 8 | byte as u32) & 0x7fff_ffff;
    side.left = length;
    if length == 0 {
        side.restart();
    } else {
        side.enter(phase::SKIP);
    }
    match kind {
        HEADERS if !REPLIES => event::STREAM,
        HEADERS if length != 0 && flags & PADDED_OR_PRIORITY == 0 => {
            side.enter(phase::FIELD);
            event::NONE
        }
        HEADERS => {
            // What is behind padding or a priority is not read, and may be a status to remember.
            side.version = CLASS_UNKNOWN | REMEMBERED;
            event::HEADERS
        }
        RST_STREAM => event::RESET,
        _ => event::NONE,
    }
}

/// The first bytes of a server's header block, which begin with the status (RFC 9113, section 8.3; RFC 7541, section 6).
#[inline(always)]
fn field(side: &mut Side) -> u32 {
    let mut word = side.word;
    // Changes of the table's size come first: 001, and five bits or more bytes behind.
    if word as u8 & 0xe0 == 0x20 {
        let is_long = word as u8 & 0x1f == 0x1f;
        word >>= 8;
        if is_long {
            word >>= if word as u8 & 0x80 == 0 { 8 } else { 16 };
        }
    }
    let (kind, length, value) = (word as u8, (word >> 8) as u8, (word >> 16) as u8);
    let index = kind & 0x0f;
    side.version = if kind & 0xf0 == 0x80 {
        // An entry of the static table (RFC 7541, appendix A): 200, 204, 206, 304, 400, 404, 500.
        match index {
            8..=10 => 2,
            11 => 3,
            12 | 13 => 4,
            14 => 5,
            _ => CLASS_UNKNOWN,
        }
    } else if kind >= 0x80 + FIRST_OF_DYNAMIC_TABLE {
        REFERENCE
    } else if (8..=14).contains(&index) && matches!(kind & 0xf0, 0x00 | 0x10 | 0x40) {
        if length & 0x80 == 0 {
            let digit = value.wrapping_sub(b'0');
            if digit < 6 { digit } else { CLASS_UNKNOWN }
        } else {
            // Huffman codes (RFC 7541, appendix B): 0 to 2 have five bits, 00000 to 00010; 3 to 9 six, from 011001 on.
            let (five, six) = (value >> 3, value >> 2);
            if five < 3 {
                five
            } else if (0x19..0x1c).contains(&six) {
                six - 0x16
            } else {
                CLASS_UNKNOWN
            }
        }
    } else {
        CLASS_UNKNOWN
    };
    if kind & 0xc0 == 0x40 {
        side.version |= REMEMBERED;
    }
    if side.left == 0 {
        side.restart();
    } else {
        side.enter(phase::SKIP);
    }
    event::HEADERS
}
