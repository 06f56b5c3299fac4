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
            IpAddr::V4(address) => self.class4(address.to_bits()),
            IpAddr::V6(address) => {
                let (upper, lower) = ((address.to_bits() >> 64) as u64, address.to_bits() as u64);
                let class = self.class_of_upper(upper);
                if class & DEEP == 0 {
                    return class;
                }
                let entry = self.v6.deep[(class & !DEEP) as usize];
                if entry.inside == 0 {
                    return entry.value;
                }
                u32::from(self.v6.low_classes[last(entry, |at| self.v6.low_starts[at] <= lower)])
            }
        }
    }

    fn class4(&self, address: u32) -> u32 {
        let index = &self.generation.index4;
        if address < index.base {
            return index.below;
        }
        let bucket = ((address - index.base) >> index.shift).min(index.last);
        let entry = self.v4.index[bucket as usize];
        if entry.inside == 0 {
            return entry.value;
        }
        u32::from(self.v4.classes[last(entry, |at| self.v4.starts[at] <= address)])
    }

    fn class_of_upper(&self, upper: u64) -> u32 {
        let index = &self.generation.index6;
        if upper < index.base {
            return index.below;
        }
        let bucket = ((upper - index.base) >> index.shift).min(u64::from(index.last));
        let entry = self.v6.index[bucket as usize];
        if entry.inside == 0 {
            return entry.value;
        }
        self.v6.classes[last(entry, |at| self.v6.starts[at] <= upper)]
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

/// The last range of a bucket that starts at or before an address.
fn last(entry: IndexEntry, starts_before: impl Fn(usize) -> bool) -> usize {
    let first = entry.value as usize;
    // Positions are in order, as a slice of them would be.
    let (mut low, mut high) = (first, first + entry.inside as usize);
    while low < high {
        let middle = (low + high).div_ceil(2);
        if starts_before(middle) {
            low = middle;
        } else {
            high = middle - 1;
        }
    }
    low
}
