//! A frame in the kernel: its linear part, what lies outside it, and the loops that are verified on their own.

use aya_ebpf::{
    bindings::{__sk_buff, xdp_md},
    helpers::{bpf_skb_pull_data, bpf_xdp_get_buff_len},
};
use foobar_common::parse::{
    Cursor, Frame, ethernet, ipv4, ipv6,
    ordinary::{self, BYTES4, BYTES6, Segment, VERSION4},
    protocol,
};

/// Bytes that hold all headers of an ordinary packet.
const HEADERS: u32 = 128;
/// Mask of the length of the link layer's headers: 14 to 22 bytes.
const LINK_BYTES: u32 = 0x1f;

/// A frame that arrives.
pub struct Arriving {
    /// The context that the kernel passed.
    pub context: *mut xdp_md,
    start: usize,
    end: usize,
    /// Bytes of the frame. At first those of its linear part; of the whole once [`Frame::bytes_from`] had to ask.
    pub bytes: u64,
    /// Whether it had to ask.
    pub is_long: bool,
}

impl Arriving {
    /// The frame of an XDP program.
    #[inline(always)]
    pub fn new(context: *mut xdp_md) -> Self {
        // SAFETY: the context is the one that the kernel passed.
        let (start, end) = unsafe { ((*context).data as usize, (*context).data_end as usize) };
        Arriving { context, start, end, bytes: (end - start) as u64, is_long: false }
    }

    /// At the first byte.
    #[inline(always)]
    pub fn cursor(&self) -> Cursor {
        // SAFETY: the linear part of the packet stays readable while the program runs.
        unsafe { Cursor::new(self.start, self.end) }
    }

    /// At the IP header, `offset` bytes behind the first.
    #[inline(always)]
    pub fn cursor_at(&self, offset: u32) -> Cursor {
        let mut cursor = self.cursor();
        cursor.skip(offset & LINK_BYTES);
        cursor
    }

    /// How far the cursor is from the first byte.
    #[inline(always)]
    pub fn offset(&self, cursor: &Cursor) -> u32 {
        (cursor.position() - self.start) as u32
    }

    /// Bytes of the frame, those outside its linear part included.
    #[inline(always)]
    pub fn whole(&self) -> u64 {
        // SAFETY: the context is the one that the kernel passed.
        unsafe { bpf_xdp_get_buff_len(self.context) as u64 }
    }
}

impl Frame for Arriving {
    #[inline(always)]
    fn bytes_from(&mut self, position: usize) -> usize {
        self.bytes = self.whole();
        self.is_long = true;
        (self.bytes as usize).saturating_sub(position - self.start)
    }

    #[inline(always)]
    fn option_step(&mut self, options: Cursor, at: u32, left: u32) -> u32 {
        option_step_arriving(self.context, self.offset(&options), at, left)
    }

    #[inline(always)]
    fn extension_step(&mut self, chain: Cursor, remaining: u32, state: u64) -> u64 {
        extension_step_arriving(self.context, self.offset(&chain), remaining, state)
    }
}

/// A frame that leaves.
pub struct Leaving {
    skb: *mut __sk_buff,
    start: usize,
    end: usize,
    /// Bytes of the frame.
    pub bytes: u32,
}

impl Leaving {
    /// The frame of a classifier as it is: its linear part may be short.
    #[inline(always)]
    pub fn as_it_is(skb: *mut __sk_buff) -> Self {
        // SAFETY: the context is the one that the kernel passed.
        unsafe {
            let (start, end) = ((*skb).data as usize, (*skb).data_end as usize);
            Leaving { skb, start, end, bytes: (*skb).len }
        }
    }

    /// The frame of a classifier. Its linear part is made to hold the headers, which it does in almost all that this host sends: the
    /// pull makes a copy of what TCP keeps to send it again.
    #[inline(always)]
    pub fn new(skb: *mut __sk_buff) -> Self {
        // SAFETY: the context is the one that the kernel passed; its pointers are read again after the pull, which may move
        // the data. If the pull fails, less can be read.
        unsafe {
            let bytes = (*skb).len;
            let (start, end) = ((*skb).data as usize, (*skb).data_end as usize);
            let wanted = if bytes < HEADERS { bytes } else { HEADERS };
            if end - start >= wanted as usize
                || plain_protocol(Cursor::new(start, end)) == Some(protocol::TCP)
            {
                return Leaving { skb, start, end, bytes };
            }
            bpf_skb_pull_data(skb, wanted);
            Leaving { skb, start: (*skb).data as usize, end: (*skb).data_end as usize, bytes }
        }
    }

    /// At the first byte.
    #[inline(always)]
    pub fn cursor(&self) -> Cursor {
        // SAFETY: the linear part of the packet stays readable while the program runs.
        unsafe { Cursor::new(self.start, self.end) }
    }

    /// The TCP segment in it, if it is an ordinary one.
    #[inline(always)]
    pub fn ordinary_segment(&self) -> Option<Segment> {
        let header = self.cursor().peek::<BYTES4>().ok()?;
        match header.u16::<{ ethernet::HEADER - 2 }>() {
            ethernet::IPV4 => ordinary::segment4(self.cursor(), self.bytes),
            ethernet::IPV6 => ordinary::segment6(self.cursor(), self.bytes),
            _ => None,
        }
    }

    /// Whether it is a UDP datagram with nothing unusual before it.
    #[inline(always)]
    pub fn is_plain_udp(&self) -> bool {
        plain_protocol(self.cursor()) == Some(protocol::UDP)
    }

    #[inline(always)]
    fn offset(&self, cursor: &Cursor) -> u32 {
        (cursor.position() - self.start) as u32
    }
}

impl Frame for Leaving {
    #[inline(always)]
    fn bytes_from(&mut self, position: usize) -> usize {
        (self.bytes as usize).saturating_sub(position - self.start)
    }

    #[inline(always)]
    fn option_step(&mut self, options: Cursor, at: u32, left: u32) -> u32 {
        option_step_leaving(self.skb, self.offset(&options), at, left)
    }

    #[inline(always)]
    fn extension_step(&mut self, chain: Cursor, remaining: u32, state: u64) -> u64 {
        extension_step_leaving(self.skb, self.offset(&chain), remaining, state)
    }
}

/// The protocol of an untagged IP datagram, if the headers of a TCP segment would be there: by the fixed part of the IP header alone.
#[inline(always)]
fn plain_protocol(cursor: Cursor) -> Option<u8> {
    let header = cursor.peek::<BYTES4>().ok()?;
    match header.u16::<{ ethernet::HEADER - 2 }>() {
        ethernet::IPV4 if header.u8::<{ ethernet::HEADER }>() == VERSION4 => {
            Some(header.u8::<{ ethernet::HEADER + 9 }>())
        }
        ethernet::IPV6 if cursor.peek::<BYTES6>().is_ok() => {
            Some(header.u8::<{ ethernet::HEADER + 6 }>())
        }
        _ => None,
    }
}

/// A cursor at the start of the linear part.
#[inline(always)]
fn cursor(start: u32, end: u32) -> Cursor {
    // SAFETY: the linear part of the packet stays readable while the program runs.
    unsafe { Cursor::new(start as usize, end as usize) }
}

// Global functions: the kernel verifies each once, for any arguments, and not again on each way to it.

/// [`ipv4::option_step`] for a frame that is arriving; its options start `offset` bytes from its start.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn option_step_arriving(
    context: *mut xdp_md,
    offset: u32,
    at: u32,
    left: u32,
) -> u32 {
    // SAFETY: the context is the one that the kernel passed.
    let cursor = unsafe { cursor((*context).data, (*context).data_end) };
    ipv4::option_step(cursor, offset + at, left)
}

/// [`ipv6::extension_step`] for a frame that is arriving; its extension headers start `offset` bytes from its start.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn extension_step_arriving(
    context: *mut xdp_md,
    offset: u32,
    remaining: u32,
    state: u64,
) -> u64 {
    // SAFETY: the context is the one that the kernel passed.
    let cursor = unsafe { cursor((*context).data, (*context).data_end) };
    ipv6::extension_step(cursor, offset, remaining, state)
}

/// [`ipv4::option_step`] for a frame that is leaving; its options start `offset` bytes from its start.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn option_step_leaving(skb: *mut __sk_buff, offset: u32, at: u32, left: u32) -> u32 {
    // SAFETY: the context is the one that the kernel passed.
    let cursor = unsafe { cursor((*skb).data, (*skb).data_end) };
    ipv4::option_step(cursor, offset + at, left)
}

/// [`ipv6::extension_step`] for a frame that is leaving; its extension headers start `offset` bytes from its start.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn extension_step_leaving(
    skb: *mut __sk_buff,
    offset: u32,
    remaining: u32,
    state: u64,
) -> u64 {
    // SAFETY: the context is the one that the kernel passed.
    let cursor = unsafe { cursor((*skb).data, (*skb).data_end) };
    ipv6::extension_step(cursor, offset, remaining, state)
}
