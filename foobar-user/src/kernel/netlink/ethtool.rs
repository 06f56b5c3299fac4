//! What drivers say of their devices: features and queues (Documentation/networking/ethtool-netlink.rst). Nothing is changed here.

use std::{collections::BTreeMap, io};

use netlink_packet_core::NlasIterator;

use super::wire::{NLA_F_NESTED, attribute, list, number, push_attribute, text};

/// linux/genetlink.h
const GENL_ID_CTRL: u16 = 16;
const CTRL_CMD_GETFAMILY: u8 = 3;
const CTRL_ATTR_FAMILY_ID: u16 = 1;
const CTRL_ATTR_FAMILY_NAME: u16 = 2;
/// Length of `struct genlmsghdr`.
const GENLMSG: usize = 4;
/// linux/ethtool_netlink.h
const FEATURES_GET: u8 = 11;
const CHANNELS_GET: u8 = 17;
/// In every answer: which device.
const HEADER: u16 = 1;
const HEADER_DEV_INDEX: u16 = 1;
const FEATURES_HW: u16 = 2;
const FEATURES_ACTIVE: u16 = 4;
const FEATURES_NOCHANGE: u16 = 5;
const BITSET_NOMASK: u16 = 1;
const BITSET_BITS: u16 = 3;
const BIT_NAME: u16 = 2;
const BIT_VALUE: u16 = 3;
const CHANNELS_RX_MAX: u16 = 2;
const CHANNELS_COMBINED_MAX: u16 = 5;
const CHANNELS_RX_COUNT: u16 = 6;
const CHANNELS_COMBINED_COUNT: u16 = 9;

/// What a driver says of its device.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Offloads {
    /// Features that are on, by the names that `ethtool -k` has for them.
    pub active: Vec<String>,
    /// Features that can be switched.
    pub changeable: Vec<String>,
    /// Receive queues in use; 0 if the driver does not tell.
    pub queues: u32,
    /// Receive queues that there can be.
    pub most_queues: u32,
}

/// All devices by index, those that do not answer left out.
pub(in crate::kernel) fn offloads() -> io::Result<BTreeMap<u32, Offloads>> {
    let family = family("ethtool")?;
    let mut found: BTreeMap<u32, Offloads> = BTreeMap::new();
    for (device, attributes) in dump(family, FEATURES_GET)? {
        let entry = found.entry(device).or_default();
        let fixed = names(&attributes, FEATURES_NOCHANGE);
        entry.active = names(&attributes, FEATURES_ACTIVE);
        entry.changeable = names(&attributes, FEATURES_HW);
        entry.changeable.retain(|name| !fixed.contains(name));
    }
    // A kernel or driver without queues to speak of is no reason to keep quiet about the rest.
    for (device, attributes) in dump(family, CHANNELS_GET).unwrap_or_default() {
        let entry = found.entry(device).or_default();
        let sum = |one, other| {
            let count = |kind| number::<u32>(&attributes, kind).unwrap_or(0);
            count(one) + count(other)
        };
        entry.queues = sum(CHANNELS_RX_COUNT, CHANNELS_COMBINED_COUNT);
        entry.most_queues = sum(CHANNELS_RX_MAX, CHANNELS_COMBINED_MAX);
    }
    Ok(found)
}

/// Number of a family of generic netlink.
fn family(wanted: &str) -> io::Result<u16> {
    let families = list(libc::NETLINK_GENERIC, GENL_ID_CTRL, &[CTRL_CMD_GETFAMILY, 1, 0, 0])?;
    let found = families.iter().filter_map(|message| message.get(GENLMSG..)).find(|attributes| {
        attribute(attributes, CTRL_ATTR_FAMILY_NAME).is_some_and(|name| text(name) == wanted)
    });
    found
        .and_then(|attributes| number(attributes, CTRL_ATTR_FAMILY_ID))
        .ok_or_else(|| io::Error::other("this kernel has no ethtool over netlink (Linux 5.6)"))
}

/// Asks for all devices; answers with the attributes of each.
fn dump(family: u16, command: u8) -> io::Result<Vec<(u32, Vec<u8>)>> {
    let mut request = vec![command, 1, 0, 0];
    push_attribute(&mut request, HEADER | NLA_F_NESTED, &[]);
    let messages = list(libc::NETLINK_GENERIC, family, &request)?;
    let with_device = messages.iter().filter_map(|message| {
        let attributes = message.get(GENLMSG..)?;
        let device = number(attribute(attributes, HEADER)?, HEADER_DEV_INDEX)?;
        Some((device, attributes.to_vec()))
    });
    Ok(with_device.collect())
}

/// Names of the bits that are set. A set with a mask lists those as well that are not.
fn names(attributes: &[u8], kind: u16) -> Vec<String> {
    let Some(set) = attribute(attributes, kind) else { return Vec::new() };
    let lists_all = attribute(set, BITSET_NOMASK).is_none();
    let bits = attribute(set, BITSET_BITS).unwrap_or_default();
    NlasIterator::new(bits)
        .map_while(Result::ok)
        .filter(|bit| !lists_all || attribute(bit.value(), BIT_VALUE).is_some())
        .filter_map(|bit| attribute(bit.value(), BIT_NAME).map(text))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_are_read_with_a_mask_and_without() {
        let bit = |name: &[u8], is_set: bool| {
            let mut bit = Vec::new();
            push_attribute(&mut bit, BIT_NAME, name);
            if is_set {
                push_attribute(&mut bit, BIT_VALUE, &[]);
            }
            bit
        };
        let set = |mask: bool, bits: &[Vec<u8>]| {
            let (mut list, mut set, mut message) = (Vec::new(), Vec::new(), Vec::new());
            bits.iter().for_each(|bit| push_attribute(&mut list, 1 | NLA_F_NESTED, bit));
            if !mask {
                push_attribute(&mut set, BITSET_NOMASK, &[]);
            }
            push_attribute(&mut set, BITSET_BITS | NLA_F_NESTED, &list);
            push_attribute(&mut message, FEATURES_HW | NLA_F_NESTED, &set);
            message
        };
        let masked = set(true, &[bit(b"rx-lro\0", true), bit(b"rx-gro-hw\0", false)]);
        assert_eq!(names(&masked, FEATURES_HW), ["rx-lro"]);
        let listed = set(false, &[bit(b"rx-lro\0", false), bit(b"rx-gro\0", false)]);
        assert_eq!(names(&listed, FEATURES_HW), ["rx-lro", "rx-gro"]);
        assert_eq!(names(&listed, FEATURES_ACTIVE), [""; 0]);
    }

    #[test]
    fn loopback_has_features() {
        let lo = netlink_index("lo");
        let all = offloads().unwrap();
        assert!(
            all[&lo].active.iter().any(|name| name == "rx-checksum" || name == "loopback"),
            "{:?}",
            all[&lo]
        );
    }

    fn netlink_index(name: &str) -> u32 {
        let all = super::super::interfaces().unwrap();
        all.into_iter().find(|interface| interface.name == name).unwrap().index
    }
}
