//! The capture file block by block, with the crate `pcap-parser`.

use std::io::{self, Read};

use pcap_parser::{
    Block, LegacyPcapBlock, Linktype, PcapBlockOwned, PcapError, create_reader,
    pcapng::{EnhancedPacketBlock, InterfaceDescriptionBlock},
    traits::{PcapNGPacketBlock as _, PcapReaderIterator},
};

/// What is read at once; grows for blocks that are larger.
const BUFFER: usize = 1 << 20;
/// The largest block that is believed: libpcap's MAXIMUM_SNAPLEN is 256 KiB, other blocks hold names or keys.
const LARGEST: usize = 16 << 20;
/// Nanoseconds in a second.
const SECOND: u64 = 1_000_000_000;

/// A frame as the file holds it.
#[derive(Debug)]
pub struct Record {
    /// Nanoseconds since 1970, 0 if not told.
    pub time_ns: u64,
    pub link_type: Linktype,
    pub data: Vec<u8>,
    /// Bytes that the frame had before the capture cut it.
    pub original: usize,
}

/// Why no further block can be read.
pub enum Problem {
    Read(io::Error),
    /// The file begins with these bytes.
    Unknown(Vec<u8>),
    Damaged(String),
}

/// An interface that the capture describes.
#[derive(Clone, Copy, Debug)]
struct Interface {
    link_type: Linktype,
    /// Units of its time stamps in a second.
    resolution: u64,
    /// Seconds to add to its time stamps.
    offset: i64,
}

/// The file.
pub struct Blocks {
    reader: Box<dyn PcapReaderIterator + Send>,
    interfaces: Vec<Interface>,
    big_endian: bool,
    ends_early: bool,
    capacity: usize,
}

impl Blocks {
    /// Reads the header.
    pub fn open(source: impl Read + Send + 'static) -> Result<Self, Problem> {
        let mut source = Whole(source);
        let mut first = vec![0; 64];
        let read = source.read(&mut first).map_err(Problem::Read)?;
        first.truncate(read);
        let all = Whole(io::Cursor::new(first.clone()).chain(source));
        match create_reader(BUFFER, all) {
            Ok(reader) => Ok(Self {
                reader,
                interfaces: Vec::new(),
                big_endian: false,
                ends_early: false,
                capacity: BUFFER,
            }),
            Err(_) => Err(Problem::Unknown(first)),
        }
    }

    /// Whether the file ended in the middle of a block.
    pub fn ends_early(&self) -> bool {
        self.ends_early
    }

    /// The next frame; `None` at the end.
    pub fn next_record(&mut self) -> Result<Option<Record>, Problem> {
        loop {
            let step = match self.reader.next() {
                Ok((length, block)) => {
                    let read = record(block, &mut self.interfaces, &mut self.big_endian);
                    self.reader.consume(length);
                    match read.map_err(Problem::Damaged)? {
                        Some(record) => return Ok(Some(record)),
                        None => continue,
                    }
                }
                Err(error) => Step::after(&error),
            };
            match step {
                Step::End => return Ok(None),
                Step::EndsEarly => {
                    self.ends_early = true;
                    return Ok(None);
                }
                Step::Refill => self
                    .reader
                    .refill()
                    .map_err(|_| Problem::Read(io::Error::from(io::ErrorKind::UnexpectedEof)))?,
                Step::Grow if self.capacity < LARGEST => {
                    self.capacity *= 4;
                    self.reader.grow(self.capacity);
                    self.reader.refill().map_err(|_| {
                        Problem::Read(io::Error::from(io::ErrorKind::UnexpectedEof))
                    })?;
                }
                Step::Grow => {
                    return Err(Problem::Damaged(format!(
                        "a block claims more than {} MiB",
                        LARGEST >> 20
                    )));
                }
                Step::Fail(problem) => return Err(Problem::Damaged(problem)),
            }
        }
    }
}

/// What to do when there is no whole block.
enum Step {
    End,
    EndsEarly,
    Refill,
    Grow,
    Fail(String),
}

impl Step {
    fn after(error: &PcapError<&[u8]>) -> Self {
        match error {
            PcapError::Eof => Step::End,
            PcapError::UnexpectedEof => Step::EndsEarly,
            PcapError::Incomplete(_) => Step::Refill,
            PcapError::BufferTooSmall => Step::Grow,
            PcapError::NomError(_, kind) | PcapError::OwnedNomError(_, kind) => {
                Step::Fail(format!("a block is malformed ({})", kind.description()))
            }
            other => Step::Fail(other.to_string()),
        }
    }
}

/// The frame in a block, if it holds one; interfaces are remembered.
fn record(
    block: PcapBlockOwned<'_>,
    interfaces: &mut Vec<Interface>,
    big_endian: &mut bool,
) -> Result<Option<Record>, String> {
    match block {
        PcapBlockOwned::LegacyHeader(header) => {
            let resolution = if header.is_nanosecond_precision() { SECOND } else { 1_000_000 };
            // The upper bits of the field tell of a frame check sequence (draft-ietf-opsawg-pcap, section 4).
            let link_type = Linktype(header.network.0 & 0xffff);
            interfaces.push(Interface { link_type, resolution, offset: 0 });
            Ok(None)
        }
        PcapBlockOwned::Legacy(frame) => {
            let interface = interfaces.first().ok_or("its header is missing")?;
            let LegacyPcapBlock { ts_sec, ts_usec, origlen, data, .. } = frame;
            let time = u64::from(ts_sec) * interface.resolution + u64::from(ts_usec);
            Ok(Some(interface.record(time, data, origlen)))
        }
        PcapBlockOwned::NG(Block::SectionHeader(header)) => {
            interfaces.clear();
            *big_endian = header.big_endian();
            Ok(None)
        }
        PcapBlockOwned::NG(Block::InterfaceDescription(description)) => {
            interfaces.push(Interface::described(&description, *big_endian)?);
            Ok(None)
        }
        PcapBlockOwned::NG(Block::EnhancedPacket(frame)) => {
            let EnhancedPacketBlock { if_id, ts_high, ts_low, origlen, .. } = frame;
            let interface = interfaces.get(if_id as usize).ok_or_else(|| {
                format!("a frame names interface {if_id}, which is not described")
            })?;
            let time = u64::from(ts_high) << 32 | u64::from(ts_low);
            Ok(Some(interface.record(time, frame.packet_data(), origlen)))
        }
        PcapBlockOwned::NG(Block::SimplePacket(frame)) => {
            let interface = interfaces
                .first()
                .ok_or("a frame comes before the description of its interface")?;
            let untimed = Interface { offset: 0, ..*interface };
            Ok(Some(untimed.record(0, frame.packet_data(), frame.origlen)))
        }
        PcapBlockOwned::NG(_) => Ok(None),
    }
}

impl Interface {
    fn described(
        description: &InterfaceDescriptionBlock<'_>,
        big_endian: bool,
    ) -> Result<Self, String> {
        let InterfaceDescriptionBlock { linktype, if_tsresol, if_tsoffset, .. } = *description;
        // The highest bit chooses between a power of 10 and one of 2 (draft-ietf-opsawg-pcapng, section 4.2).
        let exponent = u32::from(if_tsresol & 0x7f);
        let base: u64 = if if_tsresol & 0x80 == 0 { 10 } else { 2 };
        let resolution = base.checked_pow(exponent).ok_or_else(|| {
            format!("an interface claims a time resolution of {base}^-{exponent} s")
        })?;
        // The crate reads this option as little-endian in files of either byte order.
        let offset = if big_endian { if_tsoffset.swap_bytes() } else { if_tsoffset };
        Ok(Self { link_type: linktype, resolution, offset })
    }

    fn record(&self, time: u64, data: &[u8], original: u32) -> Record {
        let since = i128::from(time) * i128::from(SECOND) / i128::from(self.resolution);
        let since = since + i128::from(self.offset) * i128::from(SECOND);
        Record {
            time_ns: u64::try_from(since).unwrap_or(0),
            link_type: self.link_type,
            data: data.to_vec(),
            original: (original as usize).max(data.len()),
        }
    }
}

/// Reads as much as was asked for, also from a pipe that hands out little at a time.
struct Whole<R>(R);

impl<R: Read> Read for Whole<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut filled = 0;
        while filled < buffer.len() {
            match self.0.read(&mut buffer[filled..]) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(filled)
    }
}
