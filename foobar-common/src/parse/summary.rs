//! A whole frame read in one call, for events, logs and tests. The packet path itself reads step by step.

use super::{Cursor, Datagram, Frame, ethernet, ipv4, ipv6, protocol, transport, words};
use crate::reason::Reason;

/// What a frame says of itself, as far as it could be read. Addresses and ports are in network byte order.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// 4 or 6; 0 if the frame is not IP.
    pub ip_version: u8,
    /// IP protocol number of the transport header.
    pub protocol: u8,
    /// TCP flags, 0 for other protocols.
    pub tcp_flags: u8,
    /// IPv4 addresses stand in the first word.
    pub source: [u32; 4],
    pub destination: [u32; 4],
    pub source_port: u16,
    pub destination_port: u16,
}

/// Reads as much as there is; what cannot be read stays 0. `Err` tells where it ended, the summary what was seen till then.
#[inline(always)]
pub fn summary(cursor: Cursor, frame: &mut impl Frame) -> (Summary, Result<(), Reason>) {
    let mut summary = Summary::default();
    let result = fill(&mut summary, cursor, frame);
    (summary, result)
}

/// The same into a summary of which all is 0.
///
/// # Errors
/// Where it ended.
#[inline(always)]
pub fn fill(
    summary: &mut Summary,
    mut cursor: Cursor,
    frame: &mut impl Frame,
) -> Result<(), Reason> {
    let ethernet = ethernet::ethernet(&mut cursor)?;
    match ethernet.protocol {
        ethernet::IPV4 => {
            let datagram = ipv4::ipv4(cursor, frame)?;
            summary.ip_version = 4;
            summary.source[0] = datagram.source;
            summary.destination[0] = datagram.destination;
            ports(summary, &datagram)
        }
        ethernet::IPV6 => {
            let datagram = ipv6::ipv6(cursor, frame)?;
            summary.ip_version = 6;
            summary.source = words(datagram.source);
            summary.destination = words(datagram.destination);
            ports(summary, &datagram)
        }
        _ => Ok(()),
    }
}

#[inline(always)]
fn ports<Address: Copy>(summary: &mut Summary, datagram: &Datagram<Address>) -> Result<(), Reason> {
    summary.protocol = datagram.protocol;
    if datagram.fragment.is_tail() {
        return Ok(());
    }
    match datagram.protocol {
        protocol::TCP => {
            let tcp = transport::tcp(datagram)?;
            summary.tcp_flags = tcp.flags;
            summary.source_port = tcp.source_port;
            summary.destination_port = tcp.destination_port;
        }
        protocol::UDP => {
            let udp = transport::udp(datagram)?;
            summary.source_port = udp.source_port;
            summary.destination_port = udp.destination_port;
        }
        _ => {}
    }
    Ok(())
}
