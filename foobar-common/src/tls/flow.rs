//! What is remembered of a connection.

use super::{Bytes, record};

/// Nothing but the beginning of a hello was seen so far, at most.
pub const OPENING: u8 = 0;
/// A hello was seen as a whole, or answered.
pub const GREETED: u8 = 1;
/// The handshake is completed; records are followed for the sake of [`Flow::turns`].
pub const FOLLOWED: u8 = 2;
/// There is nothing more to learn: the handshake is completed or failed, or this cannot be read.
pub const SETTLED: u8 = 3;
/// The connection is over.
pub const CLOSED: u8 = 4;

/// What happened, to be counted by the caller: bits of [`Flow::events`].
pub mod event {
    /// A hello was read as a whole.
    pub const HELLO: u16 = 1 << 0;
    /// A hello was answered of which a part was lost: nothing is known of it but that it was there.
    pub const HELLO_UNREAD: u16 = 1 << 1;
    /// The server asked for another hello (HelloRetryRequest).
    pub const RETRY: u16 = 1 << 2;
    /// The handshake is completed.
    pub const COMPLETED: u16 = 1 << 3;
    /// The handshake failed: [`super::Flow::failure`] says why.
    pub const FAILED: u16 = 1 << 4;
    /// This cannot be read.
    pub const UNPARSED: u16 = 1 << 5;
}

/// Why a handshake failed.
pub mod failure {
    /// The client refused the server's certificate, by an alert in clear.
    pub const CLIENT_ALERT_CERTIFICATE: u8 = 0;
    /// The client sent another alert, or one that is encrypted.
    pub const CLIENT_ALERT: u8 = 1;
    /// The server refused the client's certificate or missed one, by an alert in clear.
    pub const SERVER_ALERT_CERTIFICATE: u8 = 2;
    /// The server does not speak any version that the client offered.
    pub const SERVER_ALERT_VERSION: u8 = 3;
    /// The server sent another alert, or one that is encrypted.
    pub const SERVER_ALERT: u8 = 4;
    /// One side reset the connection.
    pub const RESET: u8 = 5;
    /// One side closed the connection.
    pub const CLOSED: u8 = 6;
    /// The client did not speak TLS.
    pub const NOT_TLS: u8 = 7;
    /// How many there are.
    pub const LEN: usize = 8;
    /// The values of the label `reason`.
    pub const NAMES: [&str; LEN] = [
        "client_alert_certificate",
        "client_alert",
        "server_alert_certificate",
        "server_alert_version",
        "server_alert",
        "reset",
        "closed",
        "not_tls",
    ];
}

/// Marks of a direction: bits of [`Side::marks`]. Each is written by the program of that direction alone.
pub mod mark {
    /// ChangeCipherSpec was sent.
    pub const CIPHER: u8 = 1 << 0;
    /// Finished was sent.
    pub const FINISHED: u8 = 1 << 1;
    /// Bytes are missing; goes on where the other side acknowledges.
    pub const LOST: u8 = 1 << 2;
    /// Payload was seen.
    pub const SPOKE: u8 = 1 << 3;
    /// Encrypted records other than Finished came where Finished was due: a client certificate.
    pub const CERTIFICATE: u8 = 1 << 4;
    /// FIN was sent.
    pub const FIN: u8 = 1 << 5;
    /// Application data was sent that is not yet answered.
    pub const ASKED: u8 = 1 << 6;
}

/// One direction.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Side {
    /// TCP sequence number of the byte to read next.
    pub next: u32,
    /// The bytes of a record's header, or of an alert, that have come so far.
    pub header: u32,
    /// Bytes of the present record that are still to come.
    pub left: u16,
    /// How many bytes [`Self::header`] has.
    pub have: u8,
    /// Content type of the present record; [`record::ALERT`] only where it can be read.
    pub content: u8,
    /// [`mark`].
    pub marks: u8,
    pub padding: [u8; 3],
}

/// The hello that is being read: the client's, then the server's.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Message {
    /// The bytes of the present unit that have come so far.
    pub unit: u64,
    /// Hash of the server name so far ([`super::name`]).
    pub name: u64,
    /// Bytes of the message behind the present unit and what is to be skipped before it.
    pub left: u32,
    /// Bytes to skip before the present unit.
    pub skip: u32,
    /// Bytes of the list of extensions behind the present extension.
    pub extensions: u16,
    /// Bytes of the present extension behind the present unit.
    pub extension: u16,
    /// Bytes of the server name behind the present unit, or of a protocol's name behind the part that decides.
    pub item: u16,
    /// Which unit this is.
    pub stage: u8,
    /// Bytes of the present unit.
    pub need: u8,
    /// Bytes of it that have come.
    pub have: u8,
    /// Whose message is read: [`OWNER_CLIENT`], [`OWNER_SERVER`], [`OWNER_NOBODY`].
    pub owner: u8,
    pub padding: [u8; 6],
}

pub const OWNER_CLIENT: u8 = 0;
pub const OWNER_SERVER: u8 = 1;
pub const OWNER_NOBODY: u8 = 2;

/// What is remembered of a connection.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flow {
    /// `CLOCK_MONOTONIC` at the first byte of the first hello, nanoseconds. Set by the caller.
    pub started_ns: u64,
    pub client: Side,
    pub server: Side,
    pub message: Message,
    /// [`event`]: what the caller has yet to count.
    pub events: u16,
    /// Size of the client's Finished as an encrypted record (TLS 1.3), bytes.
    pub finished: u16,
    /// [`OPENING`] and so on.
    pub state: u8,
    /// The version agreed on ([`super::version`]).
    pub version: u8,
    /// The newest version that the client offers.
    pub offered_version: u8,
    /// Application protocols that the client offers ([`super::alpn`]).
    pub offered: u8,
    /// The application protocol that the server chose, where that can be read (TLS 1.2).
    pub chosen: u8,
    /// [`failure`].
    pub failure: u8,
    /// 1 if the hello has a server name.
    pub named: u8,
    /// 1 if the hello offers early data.
    pub early: u8,
    /// 1 if an earlier session is resumed.
    pub resumed: u8,
    /// 1 if it is known that the first byte seen is the first of the connection.
    pub whole: u8,
    /// 1 once the server asked for another hello, 2 once that request is read.
    pub retried: u8,
    /// 1 if the server answered a hello that was not read, 2 once that is told.
    pub unread: u8,
    /// 1 once the ServerHello is read.
    pub answered: u8,
    /// Session tickets that the server has yet to send, at most (TLS 1.3).
    pub tickets: u8,
    /// Answers that the caller has yet to count: server records behind client records, both of application data.
    pub turns: u16,
    pub padding2: [u8; 4],
    /// Hash of the server name, once the hello is read.
    pub name: u64,
}

const _: () = assert!(size_of::<Side>() == 16);
const _: () = assert!(size_of::<Message>() == 40);
const _: () = assert!(size_of::<Flow>() == 112);

/// How a segment stands to the direction's anchor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Anchor {
    /// Goes on at this byte of the segment.
    At(u32),
    /// Brings nothing new: sent again, or behind bytes that are missing.
    Nothing,
}

impl Flow {
    /// A connection whose first client byte has the sequence number `sequence`; the server's next byte has `acknowledged`.
    #[inline(always)]
    pub fn open(&mut self, sequence: u32, acknowledged: u32, whole: bool) {
        *self = Flow::default();
        self.client.next = sequence;
        self.server.next = acknowledged;
        self.whole = whole as u8;
        self.message.need = super::hello::HEAD_BYTES;
    }

    /// Whether payload is worth a look.
    #[inline(always)]
    pub fn is_read(&self) -> bool {
        self.state < SETTLED
    }

    /// One direction.
    #[inline(always)]
    pub fn side<const CLIENT: bool>(&mut self) -> &mut Side {
        if CLIENT { &mut self.client } else { &mut self.server }
    }

    /// Where to go on in a segment with payload, which also says up to where the other side's bytes have arrived (`acknowledged`).
    #[inline(always)]
    pub fn anchor<const CLIENT: bool>(
        &mut self,
        sequence: u32,
        acknowledged: u32,
        length: u32,
    ) -> Anchor {
        // The other direction lost the thread. Flights alternate, so it goes on where this side has heard everything.
        let other = if CLIENT { &mut self.server } else { &mut self.client };
        if other.marks & mark::LOST != 0 && acknowledged.wrapping_sub(other.next) as i32 > 0 {
            other.next = acknowledged;
            other.left = 0;
            other.have = 0;
            other.marks &= !mark::LOST;
        }
        let side = self.side::<CLIENT>();
        side.marks |= mark::SPOKE;
        let behind = side.next.wrapping_sub(sequence);
        if (behind as i32) < 0 {
            side.marks |= mark::LOST;
            return Anchor::Nothing;
        }
        if behind >= length || side.marks & mark::LOST != 0 {
            return Anchor::Nothing;
        }
        side.next = sequence.wrapping_add(length);
        Anchor::At(behind)
    }

    /// The steps that a segment may take are used up, or it could not be read.
    #[inline(always)]
    pub fn give_up<const CLIENT: bool>(&mut self) {
        if self.state == FOLLOWED {
            self.side::<CLIENT>().marks |= mark::LOST;
        } else if self.is_read() {
            self.events |= event::UNPARSED;
            self.state = SETTLED;
        }
    }

    /// A side closed or reset the connection; what the segment carried was read before.
    #[inline(always)]
    pub fn ended<const CLIENT: bool>(&mut self, reset: bool, acknowledged: u32) {
        // Early data is answered before the client's Finished is there, which then comes behind the server's FIN.
        let finishes = !CLIENT && !reset && self.early != 0 && self.answered != 0;
        if self.state < FOLLOWED && !finishes {
            // An answer that was acknowledged but never seen: only one direction comes by here.
            let blind = CLIENT
                && !reset
                && self.server.marks & (mark::SPOKE | mark::FIN) == 0
                && acknowledged != self.server.next;
            if blind {
                self.events |= event::UNPARSED;
            } else {
                self.fail(if reset { failure::RESET } else { failure::CLOSED });
            }
            self.state = SETTLED;
        }
        let side = self.side::<CLIENT>();
        side.marks |= mark::FIN;
        if reset || self.client.marks & self.server.marks & mark::FIN != 0 {
            self.state = CLOSED;
        }
    }

    /// The handshake failed.
    #[inline(always)]
    pub(super) fn fail(&mut self, why: u8) {
        self.events |= event::FAILED;
        self.failure = why;
        self.state = SETTLED;
    }

    /// Reads a segment of `length` bytes of payload, and says what is to be counted. The kernel does the same with its own loop.
    pub fn read<const CLIENT: bool>(
        &mut self,
        bytes: &(impl Bytes + ?Sized),
        sequence: u32,
        acknowledged: u32,
        length: u32,
    ) -> u16 {
        if let Anchor::At(mut at) = self.anchor::<CLIENT>(sequence, acknowledged, length) {
            if at == 0 && record::whole::<CLIENT>(self, bytes, length) {
                at = length;
            }
            for _ in 0..record::MAX_STEPS {
                if at >= length || !self.is_read() {
                    break;
                }
                at = record::step::<CLIENT>(self, bytes, at, length);
            }
            if at < length {
                self.give_up::<CLIENT>();
            }
        }
        core::mem::take(&mut self.events)
    }
}
