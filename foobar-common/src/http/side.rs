//! What is remembered of one side of a connection between two pieces of it.

/// What the next byte belongs to.
pub mod phase {
    /// The first eight bytes of a request or response.
    pub const START: u8 = 0;
    /// The status code behind "HTTP/1.x".
    pub const STATUS: u8 = 1;
    /// The rest of a line that is of no interest.
    pub const LINE: u8 = 2;
    /// The first eight bytes of a header line.
    pub const NAME: u8 = 3;
    /// "length:" behind "content-".
    pub const LENGTH_NAME: u8 = 4;
    /// "-encodin" behind "transfer".
    pub const CODING_NAME: u8 = 5;
    /// The value of Content-Length.
    pub const LENGTH: u8 = 6;
    /// The value of Transfer-Encoding.
    pub const CODING: u8 = 7;
    /// A line with the size of a chunk (RFC 9112, section 7.1).
    pub const CHUNK_SIZE: u8 = 8;
    /// Bytes that are skipped: a body, a chunk with its line end, the payload of a frame.
    pub const SKIP: u8 = 9;
    /// The first eight bytes of a frame's header (RFC 9113, section 4.1).
    pub const FRAME: u8 = 10;
    /// Its ninth byte.
    pub const FRAME_END: u8 = 11;
    /// The first bytes of a header block: the status (RFC 7541).
    pub const FIELD: u8 = 12;
    /// What comes behind a response 101: frames of HTTP/2, or another protocol.
    pub const SWITCHED: u8 = 13;
    /// From here on nothing is read.
    pub const OPAQUE: u8 = 14;
    /// A body that ends with the connection.
    pub const UNTIL_CLOSE: u8 = 14;
    /// Another protocol, behind 101 or CONNECT.
    pub const TUNNEL: u8 = 15;
    /// It could not be read as HTTP, or bytes are missing.
    pub const LOST: u8 = 16;
}

/// What is known of the message or frame that is being read.
pub mod mark {
    /// Its body is chunked.
    pub const CHUNKED: u8 = 1;
    /// It has a Content-Length.
    pub const LENGTH: u8 = 2;
    /// It has a transfer coding whose last one is not "chunked".
    pub const CODED: u8 = 4;
    /// The header lines are those behind the last chunk.
    pub const TRAILER: u8 = 8;
    /// A response without a body, whatever its header says (RFC 9112, section 6.3).
    pub const NO_BODY: u8 = 16;
    /// A response to CONNECT: a tunnel follows.
    pub const TUNNELS: u8 = 32;
    /// The connection speaks HTTP/2.
    pub const HTTP2: u8 = 64;
    /// It was lost, and this is an attempt to read on.
    pub const AGAIN: u8 = 128;
}

/// One side of a connection. All zero: at the start of a message.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Side {
    /// Bytes that belong together, the first in the lowest byte.
    pub word: u64,
    /// Bytes still to skip, or the number that is being read.
    pub left: u64,
    /// TCP sequence number of the next byte.
    pub next: u32,
    /// What arrives: the acknowledgement number of the last piece. Another one says that the server spoke in between.
    pub acknowledged: u32,
    /// HTTP/1: the status code. HTTP/2: the number of the stream.
    pub number: u32,
    /// [`phase`].
    pub phase: u8,
    /// How many bytes `word` holds; in numbers, how far they were read.
    pub have: u8,
    /// [`mark`].
    pub marks: u8,
    /// HTTP/1: the minor version. HTTP/2: the type of the frame.
    pub version: u8,
}

const _: () = assert!(size_of::<Side>() == 32);

impl Side {
    /// Whether bytes of it are read at all.
    #[inline(always)]
    pub fn is_opaque(&self) -> bool {
        self.phase >= phase::OPAQUE
    }

    /// Whether bytes of it are skipped unread.
    #[inline(always)]
    pub fn skips(&self) -> bool {
        self.phase == phase::SKIP
    }

    /// Whether it has this mark.
    #[inline(always)]
    pub fn has(&self, mark: u8) -> bool {
        self.marks & mark != 0
    }

    /// Goes on with another phase.
    #[inline(always)]
    pub fn enter(&mut self, phase: u8) {
        self.phase = phase;
        self.have = 0;
        self.word = 0;
    }

    /// At the start of the next message or frame.
    #[inline(always)]
    pub fn restart(&mut self) {
        let http2 = self.marks & mark::HTTP2;
        self.marks = http2;
        self.left = 0;
        self.enter(if http2 != 0 { phase::FRAME } else { phase::START });
    }

    /// Steps over `bytes`, which are no more than `left`.
    #[inline(always)]
    pub fn skip(&mut self, bytes: u64) {
        self.left -= bytes;
        if self.left == 0 {
            if self.has(mark::CHUNKED) {
                self.enter(phase::CHUNK_SIZE);
            } else {
                self.restart();
            }
        }
    }

    /// What follows cannot be read.
    #[inline(always)]
    pub fn lose(&mut self) {
        self.enter(phase::LOST);
        self.marks &= mark::HTTP2;
    }
}
