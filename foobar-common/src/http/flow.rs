//! A connection: which requests wait for their response, and what is counted of them.
//!
//! What arrives and what leaves is handled on different CPUs at the same time. So each field has one writer: `asked` and what goes
//! with it the side that arrives, `answered` the side that leaves. A stream of HTTP/2 waits while its bits in `asked_streams` and
//! `answered_streams` differ.

use core::mem::offset_of;

use super::{
    side::{Side, mark, phase},
    stats::{FIRST_BYTE_BOUNDS_US, HttpStats},
    step::{CLASS_UNKNOWN, REFERENCE, REMEMBERED, event, method},
};
use crate::event::{NO_TIME, RequestEvent};

/// Requests whose method is known while they wait.
const METHODS: u32 = 32;
/// Requests whose beginning is known while they wait.
const BEGINNINGS: u32 = 16;
/// The method of a request of HTTP/2 is in its compressed header, which is not read.
const UNKNOWN_METHOD: u32 = 0;
/// From here on a difference of times is negative: a server that does not wait for a request sends at the time at which it arrives.
const EARLIER: u32 = u32::MAX - 10_000;
/// Streams that may wait at the same time without being mistaken for each other: their numbers are odd.
const STREAMS: u32 = 128;

/// A request that waits, or waited.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// When it began, in the units of [`Outside::now`].
    pub began: u32,
    /// Its method, as in [`RequestEvent::method`].
    pub by: u32,
}

/// A connection to an observed port.
///
/// The kernel keeps it in an entry of a hash table, behind 88 bytes of its own (`struct htab_elem` and a key of 40 bytes). Of 384
/// bytes in all, so that what one side writes and the other does not is in a cache line of its own, and a message needs few of them.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flow {
    // Hardly ever written; in one cache line with the key.
    /// The server's port, network byte order.
    pub port: u32,
    /// Whether the client has sent its FIN.
    pub client_ended: u32,
    /// The last request whose method matters to its response (HEAD, CONNECT), counted from 1; 0 if there was none.
    pub last_special: u32,
    /// Whether the server has sent its FIN.
    pub server_ended: u16,
    /// HTTP/2: classes of the statuses that the server told the client to remember, a bit for each.
    pub remembered: u16,
    pub padding: [u64; 3],
    // Written by what arrives.
    /// What the client sends.
    pub arriving: Side,
    /// Methods of the requests that wait, two bits for each.
    pub methods: u64,
    pub asked_streams: [u64; 2],
    /// Requests seen.
    pub asked: u32,
    /// The highest stream of the client.
    pub last_stream: u32,
    // Written by what leaves.
    /// What the server sends.
    pub leaving: Side,
    pub answered_streams: [u64; 2],
    /// Requests that were answered, or never will be.
    pub answered: u32,
    pub padding2: [u32; 3],
    // Written by what arrives.
    pub requests: [Asked; BEGINNINGS as usize],
}

const _: () = {
    assert!(offset_of!(Flow, arriving) == 40);
    assert!(offset_of!(Flow, leaving) == 40 + 64);
    assert!(offset_of!(Flow, requests) == 40 + 128);
    assert!(size_of::<Flow>() == 384 - 88);
};

/// What there is outside of a connection.
pub trait Outside {
    /// The time now, in units of 1.024 microseconds, which wrap after 73 minutes. Asked once for each request and once for each response.
    fn now(&self) -> u32;

    /// A request was answered, and counted. Whoever wants to know more of it asks.
    fn answered(&self, _request: impl FnOnce() -> RequestEvent) {}
}

/// From nanoseconds to the units of [`Outside::now`].
#[inline(always)]
pub const fn units(nanoseconds: u64) -> u32 {
    (nanoseconds >> 10) as u32
}

impl Flow {
    /// A connection whose first piece arrives, at these sequence and acknowledgement numbers.
    #[inline(always)]
    pub fn begin(&mut self, sequence: u32, acknowledged: u32) {
        *self = Flow::default();
        self.arriving.next = sequence;
        // Another number than that of the first piece: it is a turn like any other.
        self.arriving.acknowledged = acknowledged.wrapping_sub(1);
        self.leaving.next = acknowledged;
    }

    /// Requests that wait.
    #[inline(always)]
    pub fn waiting(&self) -> u32 {
        self.asked.wrapping_sub(self.answered)
    }

    /// The connection is over, or what leaves it is not seen: what waits will not be answered. Gives back how many.
    #[inline(always)]
    pub fn give_up(&mut self) -> u32 {
        let waiting = self.waiting();
        self.answered = self.asked;
        self.answered_streams[0] = self.asked_streams[0];
        self.answered_streams[1] = self.asked_streams[1];
        waiting
    }

    /// What a step found in what arrives.
    #[inline(always)]
    pub fn arrived(&mut self, event: u32, stats: &mut HttpStats, outside: &impl Outside) {
        match event {
            event::REQUEST => self.request(outside),
            event::STREAM => {
                let stream = self.arriving.number;
                if stream & 1 != 0 && stream > self.last_stream {
                    self.last_stream = stream;
                    toggle(&mut self.asked_streams, stream);
                    self.begin_request(stream >> 1, UNKNOWN_METHOD, outside);
                }
            }
            event::RESET if self.is_waiting(self.arriving.number) => {
                toggle(&mut self.asked_streams, self.arriving.number);
                self.asked = self.asked.wrapping_sub(1);
                stats.aborted += 1;
            }
            event::FAILED => {
                // Behind an upgrade the client may be first to speak another protocol.
                let leaves = self.leaving.phase;
                let expected = leaves == phase::SWITCHED || leaves == phase::TUNNEL;
                let counted = expected || leaves == phase::LOST || self.arriving.has(mark::AGAIN);
                stats.unparsed += !counted as u64;
                self.arriving.lose();
                if expected {
                    self.arriving.enter(phase::TUNNEL);
                }
            }
            _ => {}
        }
    }

    /// What a step found in what leaves.
    #[inline(always)]
    pub fn left(&mut self, event: u32, stats: &mut HttpStats, outside: &impl Outside) {
        match event {
            event::RESPONSE => self.response(stats, outside),
            event::HEADERS => {
                let stream = self.leaving.number;
                let waits = self.is_waiting(stream);
                let class = self.class(waits);
                // Trailers, or an interim response.
                if class == 1 || !waits {
                    return;
                }
                toggle(&mut self.answered_streams, stream);
                let time = self.first_byte(stream >> 1, stats, outside);
                self.answered = self.answered.wrapping_add(1);
                count(stats, 2, class);
                outside.answered(|| RequestEvent {
                    first_byte_us: time,
                    port: self.port as u16,
                    class: class as u8,
                    version: 2,
                    ..RequestEvent::default()
                });
            }
            event::UPGRADED => {
                // The request that asked for it is the first stream, and is answered there once more. Its beginning is kept.
                toggle(&mut self.answered_streams, 1);
                self.answered = self.answered.wrapping_sub(1);
            }
            event::RESET if self.is_waiting(self.leaving.number) => {
                toggle(&mut self.answered_streams, self.leaving.number);
                self.answered = self.answered.wrapping_add(1);
                stats.aborted += 1;
            }
            event::FAILED => self.lose_leaving(stats),
            _ => {}
        }
    }

    /// HTTP/2: the class of the status that a header block begins with. A reference to one that was told before is clear as long as
    /// all of those were of one class: what a response begins with is always a status. `waits`: this is no block of trailers.
    #[inline(always)]
    fn class(&mut self, waits: bool) -> u32 {
        let told = self.leaving.version;
        let class = told & 7;
        // Trailers have no status.
        if told & REMEMBERED != 0 && (waits || class != CLASS_UNKNOWN) {
            self.remembered |= 1 << class;
        }
        if class != REFERENCE {
            return class as u32;
        }
        match self.remembered {
            0b10 => 1,
            0b100 => 2,
            0b1000 => 3,
            0b1_0000 => 4,
            0b10_0000 => 5,
            _ => CLASS_UNKNOWN as u32,
        }
    }

    /// What leaves cannot be read.
    #[inline(always)]
    pub fn lose_leaving(&mut self, stats: &mut HttpStats) {
        // Where it was lost before, it is counted already.
        let counted = self.arriving.phase == phase::LOST || self.leaving.has(mark::AGAIN);
        stats.unparsed += !counted as u64;
        // There may be statuses to remember in what was missed.
        self.remembered |= 1 << CLASS_UNKNOWN;
        self.leaving.lose();
        self.give_up();
    }

    /// What arrives cannot be read.
    #[inline(always)]
    pub fn lose_arriving(&mut self, stats: &mut HttpStats) {
        stats.unparsed += 1;
        self.arriving.lose();
    }

    /// HTTP/1: a request begins.
    #[inline(always)]
    pub fn request(&mut self, outside: &impl Outside) {
        self.read_again();
        let at = 2 * (self.asked % METHODS);
        let is_special = self.arriving.number <= method::CONNECT;
        let number = if is_special { self.arriving.number } else { method::OTHER };
        self.methods = self.methods & !(3 << at) | (number as u64) << at;
        if is_special {
            self.last_special = self.asked.wrapping_add(1);
        }
        self.begin_request(self.asked, self.arriving.number, outside);
    }

    /// HTTP/1: a response begins with a status code.
    #[inline(always)]
    pub fn response(&mut self, stats: &mut HttpStats, outside: &impl Outside) {
        let status = self.leaving.number;
        let class = status / 100;
        if class == 1 && status != 101 {
            self.leaving.marks |= mark::NO_BODY;
            return;
        }
        let waiting = self.waiting();
        let mut asked_by = method::OTHER;
        let (mut number, mut time) = (0, NO_TIME);
        if waiting != 0 {
            if waiting <= METHODS {
                asked_by = (self.methods >> (2 * (self.answered % METHODS))) as u32 & 3;
            } else if self.waits_for_special(waiting) {
                // It may be the response to that one, which has another end than others: nothing behind it could be trusted.
                return self.lose_leaving(stats);
            }
            number = self.answered;
            time = self.first_byte(number, stats, outside);
            self.answered = self.answered.wrapping_add(1);
        }
        if asked_by == method::HEAD || status == 204 || status == 304 {
            self.leaving.marks |= mark::NO_BODY;
        } else if asked_by == method::CONNECT && class == 2 {
            self.leaving.marks |= mark::TUNNELS;
        }
        count(stats, self.leaving.version as u32, class);
        outside.answered(|| RequestEvent {
            first_byte_us: time,
            // Where the time is not known, the method was written over as well.
            method: match self.requests.get((number % BEGINNINGS) as usize) {
                Some(asked) if time != NO_TIME => asked.by,
                _ => UNKNOWN_METHOD,
            },
            port: self.port as u16,
            status: status as u16,
            class: class as u8,
            version: self.leaving.version,
            ..RequestEvent::default()
        });
    }

    /// Whether one of the requests that wait is such that its response cannot be read as others.
    #[inline(always)]
    fn waits_for_special(&self, waiting: u32) -> bool {
        self.last_special != 0
            && self.last_special.wrapping_sub(1).wrapping_sub(self.answered) < waiting
    }

    #[inline(always)]
    fn begin_request(&mut self, number: u32, method: u32, outside: &impl Outside) {
        if let Some(asked) = self.requests.get_mut((number % BEGINNINGS) as usize) {
            *asked = Asked { began: outside.now(), by: method };
        }
        self.asked = self.asked.wrapping_add(1);
    }

    /// How long it took, microseconds; unknown where so many requests wait that their beginnings were written over.
    #[inline(always)]
    fn first_byte(&mut self, number: u32, stats: &mut HttpStats, outside: &impl Outside) -> u32 {
        if self.waiting() > BEGINNINGS {
            return NO_TIME;
        }
        let Some(asked) = self.requests.get((number % BEGINNINGS) as usize) else { return NO_TIME };
        let units = outside.now().wrapping_sub(asked.began);
        let microseconds = if units < EARLIER { units as u64 * 1024 / 1000 } else { 0 };
        let mut bucket = 0;
        for bound in FIRST_BYTE_BOUNDS_US {
            bucket += (microseconds > bound) as usize;
        }
        stats.first_byte.sum_us += microseconds;
        if let Some(count) = stats.first_byte.buckets.get_mut(bucket) {
            *count += 1;
        }
        if microseconds < NO_TIME as u64 { microseconds as u32 } else { NO_TIME }
    }

    /// A request begins where what leaves could not be read: the next response can be. The client has seen all before it.
    #[inline(always)]
    fn read_again(&mut self) {
        if self.leaving.phase == phase::LOST {
            self.give_up();
            self.leaving.marks = mark::AGAIN;
            self.leaving.left = 0;
            self.leaving.next = self.arriving.acknowledged;
            self.leaving.enter(phase::START);
        }
    }

    #[inline(always)]
    fn is_waiting(&self, stream: u32) -> bool {
        let (word, bit) = place(stream);
        let streams = if word == 0 {
            self.asked_streams[0] ^ self.answered_streams[0]
        } else {
            self.asked_streams[1] ^ self.answered_streams[1]
        };
        streams >> bit & 1 != 0
    }
}

#[inline(always)]
fn toggle(streams: &mut [u64; 2], stream: u32) {
    let (word, bit) = place(stream);
    if word == 0 {
        streams[0] ^= 1 << bit;
    } else {
        streams[1] ^= 1 << bit;
    }
}

/// Where the bit of a stream is.
#[inline(always)]
fn place(stream: u32) -> (u32, u32) {
    let number = (stream >> 1) % STREAMS;
    (number >> 6, number & 63)
}

/// Counts a final response.
#[inline(always)]
fn count(stats: &mut HttpStats, version: u32, class: u32) {
    // The compiler may know these bounds from where both were read. The kernel's verifier has to see them here.
    let (version, class) = (core::hint::black_box(version), core::hint::black_box(class));
    if let Some(classes) = stats.requests.get_mut(version as usize)
        && let Some(count) = classes.get_mut(class as usize)
    {
        *count += 1;
    }
}
