//! The kernel's look-up, on the host: what the tables say about a packet.

use std::net::IpAddr;

use foobar_common::tables::{
    Cell, DEEP, IndexEntry, PORT_UNIFORM, PORTS_OTHER, PORTS_TCP, PORTS_UDP, PortEntry,
};

use super::Compiled;
use crate::policy::protocol::Protocol;

/// Where a port (or a protocol without ports) stands in the port table.
pub fn port_index(protocol: Protocol, port: u16) -> usize {
    match protocol {
        Protocol::TCP => PORTS_TCP as usize + usize::from(port),
        Protocol::UDP => PORTS_UDP as usize + usize::from(port),
        Protocol(number) => PORTS_OTHER as usize + usize::from(number),
    }
}

impl Compiled {
    /// The source class of an address.
    pub fn source_class(&self, address: IpAddr) -> u32 {
        match address {
            IpAddr::V4(address) => {
                let (address, index) = (address.to_bits(), &self.generation.index4);
                if address < index.base {
                    return index.below;
                }
                let bucket = ((address - index.base) >> index.shift).min(index.last);
                in_bucket(self.v4.index[bucket as usize], &self.v4.starts, address, |at| {
                    u32::from(self.v4.classes[at])
                })
            }
            IpAddr::V6(address) => {
                let (upper, lower) = ((address.to_bits() >> 64) as u64, address.to_bits() as u64);
                let index = &self.generation.index6;
                let class = if upper < index.base {
                    index.below
                } else {
                    let bucket = ((upper - index.base) >> index.shift).min(u64::from(index.last));
                    in_bucket(self.v6.index[bucket as usize], &self.v6.starts, upper, |at| {
                        self.v6.classes[at]
                    })
                };
                if class & DEEP == 0 {
                    return class;
                }
                let entry = self.v6.deep[(class & !DEEP) as usize];
                in_bucket(entry, &self.v6.low_starts, lower, |at| {
                    u32::from(self.v6.low_classes[at])
                })
            }
        }
    }

    /// The verdict for an incoming packet that belongs to no flow: to this port (0 for protocols without ports), from a source
    /// of this class.
    pub fn cell(&self, protocol: Protocol, port: u16, class: u32) -> Cell {
        self.cell_of(self.ports[port_index(protocol, port)], class)
    }

    /// The verdict for an outgoing packet; `None` if outgoing packets are not judged.
    pub fn egress_cell(&self, protocol: Protocol, port: u16, class: u32) -> Option<Cell> {
        let ports = self.egress_ports.as_ref()?;
        Some(self.cell_of(ports[port_index(protocol, port)], class))
    }

    fn cell_of(&self, entry: PortEntry, class: u32) -> Cell {
        if entry.flags & PORT_UNIFORM != 0 {
            return entry.cell;
        }
        self.cells[(u32::from(entry.class) * self.generation.stride + class) as usize]
    }
}

/// The class of an address, given its bucket: the last range that starts at or before it.
fn in_bucket<W: Copy + Ord>(
    entry: IndexEntry,
    starts: &[W],
    address: W,
    class: impl Fn(usize) -> u32,
) -> u32 {
    if entry.inside == 0 {
        return entry.value;
    }
    let (first, inside) = (entry.value as usize, entry.inside as usize);
    let further = starts[first + 1..=first + inside].partition_point(|start| *start <= address);
    class(first + further)
}
