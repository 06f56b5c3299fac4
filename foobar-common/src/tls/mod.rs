//! TLS as far as it can be read without a key: handshakes, and the size and kind of the records around them.
//!
//! The payload of a TCP connection is followed in both directions at once, without a copy of it. What matters stands in units of at most
//! eight bytes; a [`Flow`] remembers how much of the present unit has come and how much is to be skipped before the next one. So it is
//! of no account how a hello is cut into segments and records, nor how long it is.
//!
//! - [`flow`]: what is remembered of a connection, and its anchor: the TCP sequence number at which each direction goes on.
//! - [`record`]: the record layer (RFC 8446 section 5, RFC 5246 section 6.2), one step at a time.
//! - [`hello`]: ClientHello and ServerHello, unit by unit.
//! - [`handshake`]: what a record means for the handshake: completed, failed, or neither yet.
//! - [`name`]: the hash by which server names are compared.
//! - [`stats`]: what is counted.
//! - [`quic`]: the first packet of a QUIC connection.
//!
//! The same code runs in the kernel and in the unit tests on the host.

pub mod flow;
pub mod handshake;
pub mod hello;
pub mod name;
pub mod quic;
pub mod record;
pub mod stats;

#[cfg(test)]
mod tests;

pub use flow::{Flow, Side};

/// Elements of the map `TLS_OPENINGS`: a power of two.
pub const OPENINGS: u32 = 1 << 16;

/// Where bytes come from: a segment in the kernel, a slice on the host.
pub trait Bytes {
    /// The `count` bytes (1 to 8) from `offset` on as a number, most significant byte first; `None` if they cannot be read.
    fn load(&self, offset: u32, count: u32) -> Option<u64>;
}

impl Bytes for [u8] {
    fn load(&self, offset: u32, count: u32) -> Option<u64> {
        let offset = offset as usize;
        let bytes = self.get(offset..offset.checked_add(count as usize)?)?;
        Some(bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }
}

/// Protocol versions, as counted.
pub mod version {
    /// Not seen.
    pub const UNKNOWN: u8 = 0;
    /// TLS 1.1 and older.
    pub const OLDER: u8 = 1;
    pub const TLS12: u8 = 2;
    pub const TLS13: u8 = 3;
    /// How many there are.
    pub const LEN: usize = 4;

    /// From the number on the wire (RFC 8446 section 4.2.1); 0 for what is no version of TLS, as GREASE (RFC 8701).
    #[inline(always)]
    pub const fn of(wire: u16) -> u8 {
        match wire {
            0x0300..=0x0302 => OLDER,
            0x0303 => TLS12,
            0x0304 => TLS13,
            _ => UNKNOWN,
        }
    }
}

/// Application protocols that a hello offers (RFC 7301): a set of bits.
pub mod alpn {
    pub const HTTP2: u8 = 1 << 0;
    pub const HTTP11: u8 = 1 << 1;
    pub const OTHER: u8 = 1 << 2;
}
