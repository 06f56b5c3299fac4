//! What was counted, read from the kernel.

use std::{io, os::fd::BorrowedFd};

use foobar_common::{
    counters::Counter,
    failures,
    flow::{Flow, FlowKey4, FlowKey6},
    http::stats::HttpStats,
    observe::{PortStats, SLOTS},
};

use super::{
    error::KernelError,
    percpu,
    sys::{
        map::{self, Position},
        plain::Plain,
    },
};

/// Counters by number, summed over all CPUs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Packets that arrived, by what became of them.
    pub ingress: Vec<Counter>,
    /// Packets that arrived and passed only because of the mode `audit`.
    pub ingress_audited: Vec<Counter>,
    /// Packets that left.
    pub egress: Vec<Counter>,
    /// Packets that left only because of the mode `audit`.
    pub egress_audited: Vec<Counter>,
}

/// How full the tables of flows are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FlowTable {
    /// IPv4 flows, those that are over and not yet evicted included.
    pub entries4: u64,
    /// The same for IPv6.
    pub entries6: u64,
    /// Most entries of each table; beyond, the oldest are evicted.
    pub max: u64,
}

/// What the kernel programs could not write, since their maps were made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Failures {
    /// Failed insertions, by map.
    pub map_updates: Vec<(&'static str, u64)>,
    /// Events for which the ring buffer had no room.
    pub events_lost: u64,
}

/// Where things are counted.
pub(super) struct Tables<'a> {
    pub ingress: BorrowedFd<'a>,
    pub egress: BorrowedFd<'a>,
    /// Counters in one half.
    pub half: u32,
}

impl Tables<'_> {
    /// Reads the counters `0..used` of all four tables.
    pub fn read(&self, used: u32) -> Result<Counters, KernelError> {
        let used = used.min(self.half);
        let read = |map, first| {
            percpu::sum(map, first, used, add_counter)
                .map_err(|error| KernelError::call("cannot read the counters", error))
        };
        Ok(Counters {
            ingress: read(self.ingress, 0)?,
            ingress_audited: read(self.ingress, self.half)?,
            egress: read(self.egress, 0)?,
            egress_audited: read(self.egress, self.half)?,
        })
    }
}

fn add_counter(total: &mut Counter, value: &Counter) {
    total.packets += value.packets;
    total.bytes += value.bytes;
}

/// Reads the connection statistics of all slots.
pub(super) fn port_stats(map: BorrowedFd<'_>) -> Result<Vec<PortStats>, KernelError> {
    percpu::sum(map, 0, SLOTS, add_stats)
        .map_err(|error| KernelError::call("cannot read the connection statistics", error))
}

/// Reads the HTTP statistics of all slots.
pub(super) fn http_stats(map: BorrowedFd<'_>) -> Result<Vec<HttpStats>, KernelError> {
    percpu::sum(map, 0, SLOTS, HttpStats::add)
        .map_err(|error| KernelError::call("cannot read the HTTP statistics", error))
}

/// Sets the statistics of some slots, of which each takes `size_of::<T>()` bytes, to 0 on all CPUs.
pub(super) fn clear<T: Plain>(map: BorrowedFd<'_>, slots: &[u8]) -> Result<(), KernelError> {
    let clear = || -> io::Result<()> {
        let zero = vec![0; percpu::value_bytes(size_of::<T>())?];
        slots
            .iter()
            .try_for_each(|&slot| map::update_bytes(map, &u32::from(slot).to_ne_bytes(), &zero))
    };
    clear().map_err(|error| KernelError::call("cannot clear the statistics of a port", error))
}

/// Reads what could not be written.
pub(super) fn failures(map: BorrowedFd<'_>) -> Result<Failures, KernelError> {
    let counts = percpu::sum(map, 0, failures::LEN, |total: &mut u64, value| *total += value)
        .map_err(|error| KernelError::call("cannot read the map UPDATE_FAILURES", error))?;
    let of = |what: u32| counts.get(what as usize).copied().unwrap_or_default();
    Ok(Failures {
        map_updates: failures::MAPS.iter().map(|&(what, name)| (name, of(what))).collect(),
        events_lost: of(failures::EVENTS),
    })
}

fn add_stats(total: &mut PortStats, value: &PortStats) {
    total.accepted += value.accepted;
    total.closed += value.closed;
    total.closed_earlier += value.closed_earlier;
    total.resets_received += value.resets_received;
    total.resets_sent += value.resets_sent;
    total.retransmitted_segments += value.retransmitted_segments;
    total.duration.add(&value.duration);
    total.handshake.add(&value.handshake);
}

/// Counts the entries of both tables of flows, by walking them.
pub(super) fn flow_table(
    flows4: BorrowedFd<'_>,
    flows6: BorrowedFd<'_>,
) -> Result<FlowTable, KernelError> {
    let count = || -> io::Result<FlowTable> {
        Ok(FlowTable {
            entries4: entries(flows4, size_of::<FlowKey4>())?,
            entries6: entries(flows6, size_of::<FlowKey6>())?,
            max: u64::from(map::describe(flows4)?.entries),
        })
    };
    count().map_err(|error| KernelError::call("cannot count the flows", error))
}

fn entries(map: BorrowedFd<'_>, key: usize) -> io::Result<u64> {
    let mut room = 4096;
    let mut position = Position::default();
    let mut total = 0;
    let (mut keys, mut values) = (vec![0; key * room], vec![0; size_of::<Flow>() * room]);
    loop {
        match map::look_up_batch(
            map,
            &mut position,
            (key, &mut keys),
            (size_of::<Flow>(), &mut values),
        ) {
            Err(error) if error.raw_os_error() == Some(libc::ENOSPC) => {
                room *= 2;
                keys.resize(key * room, 0);
                values.resize(size_of::<Flow>() * room, 0);
            }
            found => {
                let found = found?;
                total += found.count as u64;
                if found.ended {
                    return Ok(total);
                }
            }
        }
    }
}
