//! ClientHello and ServerHello (RFC 8446 section 4.1, RFC 5246 section 7.4.1), unit by unit.
//!
//! Each length is held against what surrounds it; a hello that contradicts itself is not counted but as unparsed.

use super::{
    Bytes, alpn,
    flow::{Flow, GREETED, Message, OWNER_CLIENT, OWNER_NOBODY, OWNER_SERVER, SETTLED, event},
    name, version,
};

/// Bytes of a handshake message's header: type and length.
pub const HEAD_BYTES: u8 = 4;

/// Handshake types.
const CLIENT_HELLO: u8 = 1;
const SERVER_HELLO: u8 = 2;

/// What the present unit is. A flow starts with 0.
mod stage {
    pub const HEAD: u8 = 0;
    pub const VERSION: u8 = 1;
    /// The server's random number: its first bytes tell a request for another hello.
    pub const RANDOM: u8 = 2;
    pub const SESSION: u8 = 3;
    pub const CIPHERS: u8 = 4;
    pub const COMPRESSIONS: u8 = 5;
    /// Cipher suite and compression method that the server chose.
    pub const CHOICE: u8 = 6;
    pub const EXTENSIONS: u8 = 7;
    pub const EXTENSION: u8 = 8;
    pub const NAME_HEAD: u8 = 9;
    pub const NAME: u8 = 10;
    pub const PROTOCOL_LENGTH: u8 = 11;
    pub const PROTOCOL: u8 = 12;
    pub const VERSIONS: u8 = 13;
    pub const OFFERED: u8 = 14;
    pub const SELECTED: u8 = 15;
    /// The message is over once everything is skipped.
    pub const END: u8 = 16;
}

/// Extensions that are read (IANA "TLS ExtensionType Values").
mod extension {
    pub const SERVER_NAME: u16 = 0;
    pub const PROTOCOLS: u16 = 16;
    pub const PRE_SHARED_KEY: u16 = 41;
    pub const EARLY_DATA: u16 = 42;
    pub const SUPPORTED_VERSIONS: u16 = 43;
}

/// The first bytes of the random number in a HelloRetryRequest (RFC 8446 section 4.1.3): of the SHA-256 of that word.
const RETRY_RANDOM: u64 = 0xcf21_ad74_e59a_6111;
/// Bytes of a random number.
const RANDOM_BYTES: u32 = 32;
/// Bytes of the two names of protocols that are told apart, as numbers.
const H2: u64 = 0x6832;
const HTTP_1_1: u64 = 0x6874_7470_2f31_2e31;

/// A length contradicts what surrounds it.
struct Malformed;

impl Message {
    /// The next unit, as part of the message alone.
    #[inline(always)]
    fn want(&mut self, stage: u8, need: u32) -> Result<(), Malformed> {
        self.left = self.left.checked_sub(need).ok_or(Malformed)?;
        self.stage = stage;
        self.need = need as u8;
        Ok(())
    }

    /// The next unit, within the present extension.
    #[inline(always)]
    fn want_within(&mut self, stage: u8, need: u32) -> Result<(), Malformed> {
        self.extension = self.extension.checked_sub(need as u16).ok_or(Malformed)?;
        self.want(stage, need)
    }

    /// Skips bytes of the message.
    #[inline(always)]
    fn pass(&mut self, count: u32) -> Result<(), Malformed> {
        self.left = self.left.checked_sub(count).ok_or(Malformed)?;
        self.skip += count;
        Ok(())
    }

    /// Goes on with the next extension, over what is left of the present one.
    #[inline(always)]
    fn next_extension(&mut self) -> Result<(), Malformed> {
        self.pass(self.extension as u32)?;
        self.extension = 0;
        if self.extensions == 0 {
            return self.end();
        }
        self.extensions = self.extensions.checked_sub(4).ok_or(Malformed)?;
        self.want(stage::EXTENSION, 4)
    }

    /// The next part of a server name.
    #[inline(always)]
    fn next_of_name(&mut self) -> Result<(), Malformed> {
        let count = self.item.min(8);
        if count == 0 {
            return self.next_extension();
        }
        self.item -= count;
        self.want_within(stage::NAME, count as u32)
    }

    /// The next protocol of the list.
    #[inline(always)]
    fn next_protocol(&mut self) -> Result<(), Malformed> {
        if self.extension == 0 {
            return self.next_extension();
        }
        self.want_within(stage::PROTOCOL_LENGTH, 1)
    }

    /// Nothing more is to be read.
    #[inline(always)]
    fn end(&mut self) -> Result<(), Malformed> {
        self.pass(self.left)?;
        self.stage = stage::END;
        self.need = 0;
        Ok(())
    }

    /// Waits for a message of this side.
    #[inline(always)]
    pub(super) fn expect(&mut self, owner: u8) {
        *self = Message { owner, need: HEAD_BYTES, ..Message::default() };
    }
}

/// Reads on within a record of which `room` bytes are there; returns how many it took, more than that if they cannot be read.
#[inline(always)]
pub(super) fn read(flow: &mut Flow, bytes: &(impl Bytes + ?Sized), at: u32, room: u32) -> u32 {
    let message = &mut flow.message;
    let skipped = message.skip.min(room);
    message.skip -= skipped;
    let room = room - skipped;
    let need = (message.need as u32).min(8);
    let have = message.have as u32;
    if need <= have {
        if message.skip == 0 {
            over(flow);
        }
        return skipped;
    }
    if room == 0 {
        return skipped;
    }
    let count = room.min(need - have);
    let Some(read) = bytes.load(at + skipped, count) else {
        return u32::MAX;
    };
    message.unit = if count >= 8 { read } else { message.unit << (8 * count) | read };
    message.have = (have + count) as u8;
    if have + count == need {
        let unit = message.unit;
        message.unit = 0;
        message.have = 0;
        message.need = 0;
        if understand(flow, unit).is_err() {
            contradicts_itself(flow);
        } else if flow.message.stage == stage::END && flow.message.skip == 0 {
            over(flow);
        }
    }
    skipped + count
}

/// What a unit means, and which one comes next.
#[inline(always)]
fn understand(flow: &mut Flow, unit: u64) -> Result<(), Malformed> {
    let is_client = flow.message.owner == OWNER_CLIENT;
    let message = &mut flow.message;
    match message.stage {
        stage::HEAD => {
            message.left = unit as u32 & 0xff_ffff;
            let expected = if is_client { CLIENT_HELLO } else { SERVER_HELLO };
            if (unit >> 24) as u8 == expected {
                return message.want(stage::VERSION, 2);
            }
            if is_client {
                return Err(Malformed);
            }
            // HelloRequest, in front of a ServerHello at best.
            message.skip = message.left;
            message.need = HEAD_BYTES;
            Ok(())
        }
        stage::VERSION => {
            let version = version::of(unit as u16);
            if is_client {
                flow.offered_version = version;
                message.pass(RANDOM_BYTES)?;
                return message.want(stage::SESSION, 1);
            }
            flow.version = version;
            message.want(stage::RANDOM, 8)
        }
        stage::RANDOM => {
            // In `item`, which a server's hello has no other use for before its extensions.
            message.item = (unit == RETRY_RANDOM) as u16;
            message.pass(RANDOM_BYTES - 8)?;
            message.want(stage::SESSION, 1)
        }
        stage::SESSION => {
            message.pass(unit as u32 & 0xff)?;
            if is_client { message.want(stage::CIPHERS, 2) } else { message.want(stage::CHOICE, 3) }
        }
        stage::CIPHERS => {
            message.pass(unit as u32 & 0xffff)?;
            message.want(stage::COMPRESSIONS, 1)
        }
        stage::COMPRESSIONS => {
            message.pass(unit as u32 & 0xff)?;
            extensions(message)
        }
        stage::CHOICE => {
            flow.finished = super::handshake::finished_length((unit >> 8) as u16);
            if message.item != 0 {
                flow.events |= event::RETRY;
                flow.retried = 1;
            }
            message.item = 0;
            extensions(message)
        }
        stage::EXTENSIONS => {
            message.extensions = unit as u16;
            if message.extensions as u32 > message.left {
                return Err(Malformed);
            }
            message.next_extension()
        }
        stage::EXTENSION => {
            let length = unit as u16;
            message.extensions = message.extensions.checked_sub(length).ok_or(Malformed)?;
            message.extension = length;
            let kind = (unit >> 16) as u16;
            enter(flow, is_client, kind)
        }
        stage::NAME_HEAD => {
            // List length, kind 0 (host_name), name length.
            message.item = unit as u16;
            if (unit >> 16) as u8 != 0 || message.item > message.extension {
                return Err(Malformed);
            }
            flow.named = 1;
            message.name = name::START;
            message.next_of_name()
        }
        stage::NAME => {
            message.name = name::add(message.name, unit);
            message.next_of_name()
        }
        stage::PROTOCOL_LENGTH => {
            let length = unit as u16 & 0xff;
            if length == 0 || length > message.extension {
                return Err(Malformed);
            }
            let read = length.min(8);
            message.item = length - read;
            message.want_within(stage::PROTOCOL, read as u32)
        }
        stage::PROTOCOL => {
            let protocol = match unit {
                H2 => alpn::HTTP2,
                HTTP_1_1 => alpn::HTTP11,
                _ => alpn::OTHER,
            };
            let protocol = if message.item == 0 { protocol } else { alpn::OTHER };
            if is_client {
                flow.offered |= protocol;
            } else {
                flow.chosen |= protocol;
            }
            let rest = message.item;
            message.item = 0;
            message.extension = message.extension.checked_sub(rest).ok_or(Malformed)?;
            message.pass(rest as u32)?;
            message.next_protocol()
        }
        stage::VERSIONS => {
            // The legacy version says TLS 1.2 to whoever does not read this list.
            flow.offered_version = version::UNKNOWN;
            next_offered(message)
        }
        stage::OFFERED => {
            flow.offered_version = flow.offered_version.max(version::of(unit as u16));
            next_offered(message)
        }
        stage::SELECTED => {
            flow.version = version::of(unit as u16);
            message.next_extension()
        }
        _ => Err(Malformed),
    }
}

#[inline(always)]
fn next_offered(message: &mut Message) -> Result<(), Malformed> {
    if message.extension < 2 {
        return message.next_extension();
    }
    message.want_within(stage::OFFERED, 2)
}

/// What follows on the compression methods: extensions, or nothing.
#[inline(always)]
fn extensions(message: &mut Message) -> Result<(), Malformed> {
    if message.left == 0 { message.end() } else { message.want(stage::EXTENSIONS, 2) }
}

/// An extension begins.
#[inline(always)]
fn enter(flow: &mut Flow, is_client: bool, kind: u16) -> Result<(), Malformed> {
    let message = &mut flow.message;
    match kind {
        // A server's answer to the name is empty.
        extension::SERVER_NAME if is_client && message.extension >= 5 => {
            message.want_within(stage::NAME_HEAD, 5)
        }
        extension::PROTOCOLS if message.extension > 2 => {
            message.extension -= 2;
            message.pass(2)?;
            message.next_protocol()
        }
        extension::SUPPORTED_VERSIONS if is_client && message.extension > 1 => {
            message.want_within(stage::VERSIONS, 1)
        }
        extension::SUPPORTED_VERSIONS if !is_client => message.want_within(stage::SELECTED, 2),
        extension::PRE_SHARED_KEY => {
            if !is_client {
                flow.resumed = 1;
            }
            message.next_extension()
        }
        extension::EARLY_DATA if is_client => {
            flow.early = 1;
            message.next_extension()
        }
        _ => message.next_extension(),
    }
}

/// The message is over.
#[inline(always)]
fn over(flow: &mut Flow) {
    if flow.message.owner == OWNER_CLIENT {
        flow.events |= event::HELLO;
        flow.state = GREETED;
        // The hash is asked for when the hello is counted.
        flow.name = if flow.named != 0 { flow.message.name } else { 0 };
        flow.message.expect(OWNER_SERVER);
    } else if flow.retried == 1 {
        flow.retried = 2;
        flow.message.expect(OWNER_SERVER);
    } else {
        flow.message.expect(OWNER_NOBODY);
        flow.answered = 1;
    }
}

/// A hello that contradicts itself.
#[inline(always)]
fn contradicts_itself(flow: &mut Flow) {
    if flow.message.owner == OWNER_CLIENT && flow.message.stage == stage::HEAD && flow.whole != 0 {
        flow.fail(super::flow::failure::NOT_TLS);
        return;
    }
    flow.events |= event::UNPARSED;
    flow.state = SETTLED;
}
