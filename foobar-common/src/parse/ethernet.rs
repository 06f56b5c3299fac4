//! The link layer: Ethernet II with up to two VLAN tags (IEEE 802.1Q, 802.1ad).

use super::Cursor;
use crate::reason::Reason;

/// EtherTypes (IANA "IEEE 802 Numbers").
pub const IPV4: u16 = 0x0800;
pub const ARP: u16 = 0x0806;
pub const IPV6: u16 = 0x86dd;
const VLAN: u16 = 0x8100;
const SERVICE_VLAN: u16 = 0x88a8;

/// Bytes of the header without tags.
pub const HEADER: usize = 14;

/// VLAN tags that are read. A frame tagged with VLAN 0 reaches the untagged stack, so tags never change the verdict.
const MAX_TAGS: usize = 2;

/// What the link layer says of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ethernet {
    /// EtherType behind the tags.
    pub protocol: u16,
    /// The destination is one of 01-80-C2-00-00-00 to -0F, which no bridge forwards (IEEE 802.1Q, table 8-1).
    pub link_local: bool,
}

/// Reads the Ethernet header and its VLAN tags.
///
/// # Errors
/// [`Reason::Truncated`], or [`Reason::VlanDepth`] for a third tag.
#[inline(always)]
pub fn ethernet(cursor: &mut Cursor) -> Result<Ethernet, Reason> {
    let header = cursor.take::<HEADER>()?;
    let mut protocol = header.u16::<12>();
    for _ in 0..MAX_TAGS {
        if protocol != VLAN && protocol != SERVICE_VLAN {
            break;
        }
        protocol = cursor.take::<4>()?.u16::<2>();
    }
    if protocol == VLAN || protocol == SERVICE_VLAN {
        return Err(Reason::VlanDepth);
    }
    let link_local = header.u32_raw::<0>() == u32::from_ne_bytes([0x01, 0x80, 0xc2, 0x00])
        && header.u16::<4>() & 0xfff0 == 0;
    Ok(Ethernet { protocol, link_local })
}
