//! Frames of a capture file: pcap (microseconds and nanoseconds, either byte order) or pcapng.
//!
//! - [`blocks`]: the file, block by block, as the parser crate reads it.
//! - [`link`]: link layers, made Ethernet where they are not.
//! - [`length`]: frames that the capture cut short, and frames too long for the kernel's test run.

mod blocks;
pub mod length;
mod link;

use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

pub use link::Link;

use blocks::{Blocks, Record};

/// First bytes of compressed files, which people pass by mistake.
const COMPRESSED: [(&[u8], &str); 3] = [
    (&[0x1f, 0x8b], "gunzip"),
    (&[0x28, 0xb5, 0x2f, 0xfd], "unzstd"),
    (&[0xfd, b'7', b'z', b'X', b'Z'], "unxz"),
];

/// A frame as it was on the wire, as far as the capture tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Position in the capture, from 0.
    pub index: u64,
    /// Nanoseconds since 1970; 0 if the capture does not tell.
    pub time_ns: u64,
    /// From the Ethernet header on, without checksum.
    pub bytes: Vec<u8>,
    /// Source MAC address, where the link layer has one.
    pub source_mac: Option<[u8; 6]>,
    /// The capture holds only the beginning; the rest is zeros.
    pub truncated: bool,
}

/// Why a capture cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum CaptureError {
    /// The file cannot be opened or read.
    #[error("cannot read the capture {}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is something else.
    #[error("{} is not a capture: {found}", path.display())]
    NotACapture {
        /// The file.
        path: PathBuf,
        /// What it is instead.
        found: String,
        /// What to do.
        help: String,
    },
    /// Its frames have a link layer that cannot be made Ethernet.
    #[error("frame {index} of {} has the link type {name}, which is neither Ethernet nor Linux cooked nor raw IP; capture on a network interface, as in `tcpdump -i eth0`", path.display())]
    LinkType {
        /// The file.
        path: PathBuf,
        /// The frame.
        index: u64,
        /// As `man pcap-linktype` lists it.
        name: String,
    },
    /// A block of the file contradicts itself.
    #[error("the capture {} is damaged behind frame {frames}: {problem}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Frames that could be read.
        frames: u64,
        /// What is wrong.
        problem: String,
    },
}

impl CaptureError {
    /// What to do about it.
    pub fn help(&self) -> String {
        match self {
            CaptureError::Unreadable { .. } => {
                "give the path of a pcap or pcapng file, or - for standard input".to_owned()
            }
            CaptureError::NotACapture { help, .. } => help.clone(),
            CaptureError::LinkType { .. } => {
                "capture on the Ethernet interface itself: tcpdump -i eth0 -w capture.pcap"
                    .to_owned()
            }
            CaptureError::Damaged { .. } => {
                "repair it (pcapfix, or tcpdump -r OLD -w NEW), or capture again".to_owned()
            }
        }
    }
}

/// A capture file that is being read.
pub struct Capture {
    path: PathBuf,
    blocks: Blocks,
    frames: u64,
    notes: Vec<String>,
    noted: Vec<Link>,
}

impl Capture {
    /// Opens a capture; `-` is standard input.
    ///
    /// # Errors
    /// It cannot be read, or is no capture.
    pub fn open(path: &Path) -> Result<Self, CaptureError> {
        let unreadable = |source| CaptureError::Unreadable { path: path.to_owned(), source };
        if path == Path::new("-") {
            return Self::read(io::stdin(), Path::new("standard input"));
        }
        let file = File::open(path).map_err(unreadable)?;
        if file.metadata().map_err(unreadable)?.is_dir() {
            return Err(unreadable(io::Error::from(io::ErrorKind::IsADirectory)));
        }
        Self::read(file, path)
    }

    /// A capture from any source; `path` is what to call it.
    ///
    /// # Errors
    /// It cannot be read, or is no capture.
    pub fn read(source: impl Read + Send + 'static, path: &Path) -> Result<Self, CaptureError> {
        let path = path.to_owned();
        let blocks = Blocks::open(source).map_err(|problem| match problem {
            blocks::Problem::Read(source) => {
                CaptureError::Unreadable { path: path.clone(), source }
            }
            blocks::Problem::Unknown(first) => not_a_capture(path.clone(), &first),
            blocks::Problem::Damaged(problem) => {
                CaptureError::Damaged { path: path.clone(), frames: 0, problem }
            }
        })?;
        Ok(Self { path, blocks, frames: 0, notes: Vec::new(), noted: Vec::new() })
    }

    /// The next frame; `None` at the end.
    ///
    /// # Errors
    /// The file is damaged, or its frames are of a link layer that is not supported.
    pub fn next_frame(&mut self) -> Result<Option<Frame>, CaptureError> {
        let record = match self.blocks.next_record() {
            Ok(Some(record)) => record,
            Ok(None) => {
                if self.blocks.ends_early() {
                    self.notes.push(format!(
                        "the capture {} ends in the middle of a frame; the {} before it were judged",
                        self.path.display(),
                        self.frames
                    ));
                }
                return Ok(None);
            }
            Err(blocks::Problem::Read(source)) => {
                return Err(CaptureError::Unreadable { path: self.path.clone(), source });
            }
            Err(blocks::Problem::Unknown(first)) => {
                return Err(not_a_capture(self.path.clone(), &first));
            }
            Err(blocks::Problem::Damaged(problem)) => {
                return Err(CaptureError::Damaged {
                    path: self.path.clone(),
                    frames: self.frames,
                    problem,
                });
            }
        };
        let index = self.frames;
        let Some(link) = Link::of(record.link_type) else {
            let name = link::name(record.link_type);
            return Err(CaptureError::LinkType { path: self.path.clone(), index, name });
        };
        if !self.noted.contains(&link) {
            self.noted.push(link);
            self.notes.extend(link.note().map(str::to_owned));
        }
        self.frames += 1;
        Ok(Some(frame(index, link, record)))
    }

    /// What the operator should know of the capture, since the last call.
    pub fn notes(&mut self) -> Vec<String> {
        std::mem::take(&mut self.notes)
    }
}

fn frame(index: u64, link: Link, record: Record) -> Frame {
    let Record { time_ns, data, original, .. } = record;
    let cut = original.saturating_sub(data.len());
    let (mut bytes, source_mac) = link.into_ethernet(data);
    length::pad(&mut bytes, cut);
    Frame { index, time_ns, bytes, source_mac, truncated: cut > 0 }
}

fn not_a_capture(path: PathBuf, first: &[u8]) -> CaptureError {
    let compressed = COMPRESSED.iter().find(|(magic, _)| first.starts_with(magic));
    let (found, help) = match compressed {
        Some((_, tool)) => {
            let path = path.display();
            ("it is compressed".to_owned(), format!("unpack it first: {tool} {path}"))
        }
        None if first.is_empty() => {
            ("it is empty".to_owned(), "capture again: tcpdump -i eth0 -w capture.pcap".to_owned())
        }
        None => (
            "it begins neither like pcap nor like pcapng".to_owned(),
            "capture with tcpdump -w or dumpcap, which write such files".to_owned(),
        ),
    };
    CaptureError::NotACapture { path, found, help }
}

#[cfg(test)]
mod tests;
