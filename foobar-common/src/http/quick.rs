//! The quick way through an ordinary header: whole lines that are at hand at once.
//!
//! On a busy server the code of a program is not in the processor's first cache when a request comes, and its branches are not
//! known. So what most messages need is here, in few instructions; the automaton ([`super::step`]) is for what is left: lines that are
//! cut, codings, chunks, frames. Wherever one of them stops, the other can go on.
//!
//! Positions have eight bytes: the BPF machine would extend shorter ones after each sum.

use super::{
    side::{Side, mark, phase},
    step::{Window, every, first, header_ended, line_feeds, low, text},
};

/// Steps of two words, or a line, that are taken at once.
const LOOK: u32 = 20;
/// Bytes that tell what a line is: "content-length:", and one more.
const TELLING: u64 = 16;

/// The start of a message, up to where its first line is of no more interest. Gives back where it came to, and whether there is a
/// request or response; it stays at `at` if that is not an ordinary one.
#[inline(always)]
pub fn start<const REPLIES: bool>(
    side: &mut Side,
    window: &impl Window,
    at: u64,
    end: u64,
) -> (u64, bool) {
    if side.phase != phase::START || side.have != 0 || at + TELLING > end {
        return (at, false);
    }
    let word = window.word(at);
    if !REPLIES {
        // A line that ends within these bytes has no version.
        let is_known =
            word & low(4) == text(b"GET \0\0\0\0") || word & low(5) == text(b"POST \0\0\0");
        if !is_known || line_feeds(word) != 0 {
            return (at, false);
        }
        side.number = word as u32;
        side.phase = phase::LINE;
        return (at + 8, true);
    }
    // "HTTP/1.0" or "HTTP/1.1", a space, three digits.
    let minor = word ^ text(b"HTTP/1.0");
    let digits = window.word(at + 8) ^ text(b" 000\0\0\0\0");
    let (a, b, c) = (digits >> 8 & 0xff, digits >> 16 & 0xff, digits >> 24 & 0xff);
    if minor & !(1 << 56) != 0 || digits & 0xff != 0 || a == 0 || a > 5 || b > 9 || c > 9 {
        return (at, false);
    }
    side.version = (minor >> 56) as u8;
    side.number = (a * 100 + b * 10 + c) as u32;
    side.phase = phase::LINE;
    (at + 12, true)
}

/// Lines of a header, from within one or from the start of one and before `end`, to the end of the header if there is nothing that the automaton has to
/// read. Gives back where it came to.
#[inline(always)]
pub fn lines<const REPLIES: bool>(
    side: &mut Side,
    window: &impl Window,
    mut at: u64,
    end: u64,
) -> u64 {
    let mut begins = side.phase == phase::NAME && side.have == 0;
    if !begins && side.phase != phase::LINE {
        return at;
    }
    for _ in 0..LOOK {
        if !begins {
            let mut marks = line_feeds(window.word(at));
            if marks == 0 {
                at += 8;
                marks = line_feeds(window.word(at));
            }
            if marks == 0 {
                at += 8;
            } else {
                at += first(marks) as u64 + 1;
            }
            // What was found behind the end is not there.
            if at > end {
                side.phase = phase::LINE;
                return end;
            }
            if marks == 0 {
                continue;
            }
        }
        begins = false;
        side.phase = phase::NAME;
        let word = window.word(at);
        let line_end = if word as u8 == b'\n' { 1 } else { 2 };
        if at + line_end <= end && (line_end == 1 || word as u16 == 0x0a0d) {
            // A request whose end cannot be told: an event, which is for the automaton.
            if !REPLIES && side.has(mark::CODED) {
                return at;
            }
            header_ended::<REPLIES>(side);
            return at + line_end;
        }
        if at + TELLING > end {
            return at;
        }
        let lower = word | every(0x20);
        if lower == text(b"content-") {
            let behind = (window.word(at + 8) | every(0x20)) & low(7);
            if behind == text(b"length:\0") {
                let (length, next) = length(window, at + 15);
                if next > end {
                    return at;
                }
                side.left = length;
                side.marks |= mark::LENGTH;
                at = next;
                begins = true;
            }
        } else if lower == text(b"transfer") {
            return at;
        }
    }
    side.phase = if begins { phase::NAME } else { phase::LINE };
    at
}

/// A number of up to six digits, perhaps behind a space, and the end of its line. Gives back the number, and the position behind it;
/// one that no piece has if it is not that.
#[inline(always)]
fn length(window: &impl Window, mut at: u64) -> (u64, u64) {
    let mut word = window.word(at);
    if word as u8 == b' ' {
        at += 1;
        word = window.word(at);
    }
    let (mut number, mut digits) = (0, 0);
    for _ in 0..7 {
        let digit = (word & 0xff) ^ b'0' as u64;
        if digit > 9 {
            break;
        }
        number = number * 10 + digit;
        digits += 1;
        word >>= 8;
    }
    let line_end = if word as u8 == b'\n' { 1 } else { 2 };
    if digits == 0 || line_end == 2 && word as u16 != 0x0a0d {
        return (0, u64::MAX);
    }
    (number, at + digits + line_end)
}
