//! The least programs that do one part each of what a filter does: what the parts cost on a machine, no filter can save.
//!
//! They are put together by hand, with no check that a filter could go without, and so are not fit to be one.

use std::{
    io,
    os::fd::{AsFd as _, OwnedFd},
};

use aya_obj::generated::{bpf_func_id, bpf_map_type};

use super::{Action, Code, Subject};
use crate::kernel::{
    error::KernelError,
    sys::map::{self, MapSpec},
};

/// Parts of a filter's work, over a bare drop. Each but the first reads the headers and counts the packet as well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rung {
    /// Ethernet, IPv4 and TCP or UDP: bounds, version, fragment, protocol; addresses, ports and flags are read.
    Headers,
    /// One counter of packets and bytes for each CPU.
    Counted,
    /// The entry of the destination port, in a table at a fixed address.
    Port,
    /// The port as before, and the entry of the source's upper 16 bits in another table (512 KiB).
    Source,
    /// The source as before, and a range that the entry refers to: a read that waits for the one before (1 MiB).
    Range,
    /// A look-up of the flow in a hash table with 65,536 places.
    Hash,
    /// The same in one that forgets what was not used for longest (`BPF_MAP_TYPE_LRU_HASH`).
    LruHash,
    /// The kernel's clock.
    Clock,
}

impl Rung {
    /// All of them.
    pub const ALL: [Rung; 8] = [
        Rung::Headers,
        Rung::Counted,
        Rung::Port,
        Rung::Source,
        Rung::Range,
        Rung::Hash,
        Rung::LruHash,
        Rung::Clock,
    ];

    /// In tables.
    pub const fn name(self) -> &'static str {
        match self {
            Rung::Headers => "headers read",
            Rung::Counted => "headers, counter",
            Rung::Port => "headers, counter, port",
            Rung::Source => "headers, counter, port, source",
            Rung::Range => "headers, counter, port, source, range",
            Rung::Hash => "headers, counter, flow in a hash",
            Rung::LruHash => "headers, counter, flow in an LRU hash",
            Rung::Clock => "headers, counter, clock",
        }
    }
}

const PACKET: u8 = 7;
/// The end of the packet, later its length.
const END: u8 = 8;
const SOURCE: u8 = 9;
const PORT: u8 = 6;
const SCRATCH: u8 = 2;
const STACK: u8 = 10;

/// Ports of one protocol, or upper halves of IPv4 addresses.
const WORDS: usize = 1 << 16;
/// Places for flows.
const FLOWS: u32 = 1 << 16;
/// Bytes of a flow's key: addresses, ports, protocol.
const KEY: u32 = 16;

/// What a filter's program needs to be loaded and to stay.
#[derive(Default)]
struct Made {
    code: Code,
    maps: Vec<OwnedFd>,
}

impl Subject {
    /// A program that does such a part of the work and drops the packet. `frame` is of the flow that tables of flows know.
    ///
    /// # Errors
    /// If the kernel refuses it.
    ///
    /// # Panics
    /// If the frame is shorter than its headers.
    pub fn rung(rung: Rung, frame: &[u8]) -> Result<Self, KernelError> {
        make(rung, frame).map_err(|error| {
            KernelError::call(format!("cannot load the program \"{}\"", rung.name()), error)
        })
    }
}

fn make(rung: Rung, frame: &[u8]) -> io::Result<Subject> {
    let mut made = Made::default();
    made.headers();
    match rung {
        Rung::Headers | Rung::Counted => {}
        Rung::Port => made.port()?,
        Rung::Source | Rung::Range => {
            made.port()?;
            made.source(rung == Rung::Range)?;
        }
        Rung::Hash => made.flow(bpf_map_type::BPF_MAP_TYPE_HASH, frame)?,
        Rung::LruHash => made.flow(bpf_map_type::BPF_MAP_TYPE_LRU_HASH, frame)?,
        Rung::Clock => drop(made.code.call(bpf_func_id::BPF_FUNC_ktime_get_ns as i32)),
    }
    if rung != Rung::Headers {
        made.count()?;
    }
    made.code.land().set(0, Action::Drop as i32).exit();
    // The kernel keeps the maps as long as the program.
    let program = made.code.load(Code::VARIANTS[0])?;
    Ok(Subject { program, _programs: None })
}

impl Made {
    fn headers(&mut self) {
        self.code
            .read(PACKET, 1, 0)
            .read(END, 1, 4)
            .copy(SCRATCH, PACKET)
            .add(SCRATCH, 54)
            .leave_if_greater(SCRATCH, END)
            .read_half(SCRATCH, PACKET, 12)
            .leave_unless(SCRATCH, i32::from(0x0800u16.to_be()))
            .read_byte(SCRATCH, PACKET, 14)
            .leave_unless(SCRATCH, 0x45)
            .read_half(SCRATCH, PACKET, 20)
            .and(SCRATCH, i32::from(0xbfffu16.to_be()))
            .leave_unless(SCRATCH, 0)
            .read_byte(SCRATCH, PACKET, 23)
            .leave_if(SCRATCH, 1)
            .read_byte(SCRATCH, PACKET, 47)
            .leave_if(SCRATCH, 0xff)
            .read(SOURCE, PACKET, 26)
            .read_half(PORT, PACKET, 36);
    }

    /// Adds one packet and its bytes to an element of a per-CPU array.
    fn count(&mut self) -> io::Result<()> {
        const COUNTERS: u32 = 4096;
        const NUMBER: i32 = 300;
        const COUNTER: u8 = 0;
        let kind = bpf_map_type::BPF_MAP_TYPE_PERCPU_ARRAY as u32;
        let spec = MapSpec { kind, key: 4, value: 16, entries: COUNTERS, flags: 0 };
        let counters = map::create(&spec, "counters", None)?;
        self.code
            .subtract_register(END, PACKET)
            .store(STACK, -4, NUMBER)
            .copy(SCRATCH, STACK)
            .add(SCRATCH, -4)
            .map(1, counters.as_fd())
            .call(bpf_func_id::BPF_FUNC_map_lookup_elem as i32)
            .leave_if(COUNTER, 0)
            .read_double(1, COUNTER, 0)
            .add(1, 1)
            .write_double(COUNTER, 0, 1)
            .read_double(1, COUNTER, 8)
            .add_register(1, END)
            .write_double(COUNTER, 8, 1);
        self.maps.push(counters);
        Ok(())
    }

    /// A table of so many words of eight bytes; `to` becomes its address.
    fn table(&mut self, to: u8, words: usize) -> io::Result<()> {
        let table = map::create(&MapSpec::array(8 * words, 1, 0), "table", None)?;
        self.code.value(to, table.as_fd());
        self.maps.push(table);
        Ok(())
    }

    fn port(&mut self) -> io::Result<()> {
        self.table(1, WORDS)?;
        self.code
            .shift_left(PORT, 3)
            .add_register(1, PORT)
            .read_double(SCRATCH, 1, 0)
            .leave_unless(SCRATCH, 0);
        Ok(())
    }

    fn source(&mut self, range: bool) -> io::Result<()> {
        self.table(1, WORDS)?;
        self.code
            .network_order(SOURCE)
            .copy(3, SOURCE)
            .shift_right(3, 16)
            .and(3, 0xffff)
            .shift_left(3, 3)
            .add_register(1, 3)
            .read_double(SCRATCH, 1, 0);
        if range {
            self.table(1, 2 * WORDS)?;
            // All entries are 0: which range it is, is added to what was read.
            self.code
                .shift_right(SOURCE, 15)
                .add_register(SCRATCH, SOURCE)
                .and(SCRATCH, 0x1_ffff)
                .shift_left(SCRATCH, 3)
                .add_register(1, SCRATCH)
                .read_double(SCRATCH, 1, 0);
        }
        self.code.leave_unless(SCRATCH, 0);
        Ok(())
    }

    fn flow(&mut self, kind: bpf_map_type, frame: &[u8]) -> io::Result<()> {
        let spec = MapSpec { kind: kind as u32, key: KEY, value: 8, entries: FLOWS, flags: 0 };
        let flows = map::create(&spec, "flows", None)?;
        let mut key = [0u8; KEY as usize];
        key[..4].copy_from_slice(&frame[30..34]);
        key[4..8].copy_from_slice(&frame[26..30]);
        key[8..12].copy_from_slice(&frame[34..38]);
        key[12..].copy_from_slice(&u32::from(frame[23]).to_ne_bytes());
        map::update_bytes(flows.as_fd(), &key, &1u64.to_ne_bytes())?;
        self.code
            .read(1, PACKET, 30)
            .write(STACK, -16, 1)
            .write(STACK, -12, SOURCE)
            .read(1, PACKET, 34)
            .write(STACK, -8, 1)
            .read_byte(1, PACKET, 23)
            .write(STACK, -4, 1)
            .copy(SCRATCH, STACK)
            .add(SCRATCH, -16)
            .map(1, flows.as_fd())
            .call(bpf_func_id::BPF_FUNC_map_lookup_elem as i32)
            .leave_if(0, 0)
            .read_double(1, 0, 0)
            .leave_if(1, 0);
        self.maps.push(flows);
        Ok(())
    }
}
