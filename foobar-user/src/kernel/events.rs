//! Sampled packets and requests, as the kernel programs tell of them.

use std::{
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd},
};

use aya::maps::{Map, MapData, MapError, RingBuf};
use foobar_common::event::{PacketEvent, RequestEvent};

use super::{error::KernelError, sys::plain::read};

/// What was sampled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sample {
    /// A packet.
    Packet(PacketEvent),
    /// A request that was answered.
    Request(RequestEvent),
}

/// A reader of the ring buffer. The kernel side wakes nobody, because waking costs more than the event: look once in a while.
pub struct Events(RingBuf<MapData>);

/// Bytes of a record.
const PACKET: usize = size_of::<PacketEvent>();
const REQUEST: usize = size_of::<RequestEvent>();

impl Events {
    pub(super) fn open(map: BorrowedFd<'_>) -> Result<Self, KernelError> {
        let open = || -> Result<_, MapError> {
            let fd = map.try_clone_to_owned().map_err(MapError::IoError)?;
            RingBuf::try_from(Map::from_map_data(MapData::from_fd(fd)?)?)
        };
        open().map(Events).map_err(|error| {
            KernelError::call("cannot read the ring buffer EVENTS", io::Error::other(error))
        })
    }

    /// The next event, if there is one.
    #[expect(clippy::should_implement_trait, reason = "a ring buffer is not over when it is empty")]
    pub fn next(&mut self) -> Option<Sample> {
        loop {
            // Told apart by their length. A record of another one is not ours to read.
            let record = self.0.next()?;
            let sample = match record.len() {
                PACKET => read(&record).map(Sample::Packet),
                REQUEST => read(&record).map(Sample::Request),
                _ => None,
            };
            if sample.is_some() {
                return sample;
            }
        }
    }
}

impl AsRawFd for Events {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

impl AsFd for Events {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
