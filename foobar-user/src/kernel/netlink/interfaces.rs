//! Interfaces, their addresses, and which of them lead to the rest of the world.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use super::wire::{attribute, list, number, text};
use crate::kernel::{
    error::{ErrorKind, KernelError},
    sys::plain::read,
};

/// linux/if_link.h
const IFLA_IFNAME: u16 = 3;
const IFLA_MTU: u16 = 4;
/// linux/if_addr.h
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
/// linux/rtnetlink.h
const RTA_OIF: u16 = 4;
const RTA_MULTIPATH: u16 = 9;
const RTA_TABLE: u16 = 15;
const RTN_UNICAST: u8 = 1;
/// Lengths of `struct ifinfomsg`, `ifaddrmsg`, `rtmsg` and `rtnexthop`.
const IFINFOMSG: usize = 16;
const IFADDRMSG: usize = 8;
const RTMSG: usize = 12;
const RTNEXTHOP: usize = 8;

/// A network interface of the network namespace that the calling thread is in.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Interface {
    /// Interface index.
    pub index: u32,
    /// Its name at the time of asking.
    pub name: String,
}

/// All interfaces, by index.
///
/// # Errors
/// If the kernel does not answer.
pub fn interfaces() -> Result<Vec<Interface>, KernelError> {
    let messages = list(libc::NETLINK_ROUTE, libc::RTM_GETLINK, &[0; IFINFOMSG])
        .map_err(|error| unreadable("interfaces", error))?;
    let mut found: Vec<Interface> = messages
        .iter()
        .filter_map(|message| {
            let name = attribute(message.get(IFINFOMSG..)?, IFLA_IFNAME).map(text)?;
            Some(Interface { index: read(&message[4..])?, name })
        })
        .collect();
    found.sort();
    Ok(found)
}

/// Largest packets in bytes, by index of the interface.
pub(in crate::kernel) fn mtus() -> io::Result<BTreeMap<u32, u32>> {
    let messages = list(libc::NETLINK_ROUTE, libc::RTM_GETLINK, &[0; IFINFOMSG])?;
    let of_one = |message: &Vec<u8>| {
        Some((read(message.get(4..)?)?, number(message.get(IFINFOMSG..)?, IFLA_MTU)?))
    };
    Ok(messages.iter().filter_map(of_one).collect())
}

/// The interfaces that a configuration names: names, `default` (those with a default route) and globs with `*` and `?`. A glob
/// may match none; loopback is matched by its name alone.
///
/// # Errors
/// [`ErrorKind::NoSuchInterface`] for a name that does not exist, and for `default` without a default route.
pub fn select_interfaces(patterns: &[String]) -> Result<Vec<Interface>, KernelError> {
    let all = interfaces()?;
    let mut chosen = BTreeSet::new();
    for pattern in patterns {
        if pattern == "default" {
            let outward = default_routes().map_err(|error| unreadable("routes", error))?;
            let found: Vec<_> = all
                .iter()
                .filter(|interface| outward.contains(&interface.index))
                .cloned()
                .collect();
            if found.is_empty() {
                return Err(KernelError::new(
                    ErrorKind::NoSuchInterface,
                    "interfaces = \"default\", but no interface has a default route",
                )
                .advise(format!(
                    "name them in the configuration, as in interfaces = [\"eth0\"]; {}",
                    there_are(&all)
                )));
            }
            chosen.extend(found);
        } else if pattern.contains(['*', '?']) {
            chosen.extend(
                all.iter()
                    .filter(|interface| interface.name != "lo" && matches(pattern, &interface.name))
                    .cloned(),
            );
        } else {
            let found = all
                .iter()
                .find(|interface| interface.name == *pattern)
                .ok_or_else(|| unknown(pattern, &all))?;
            chosen.insert(found.clone());
        }
    }
    Ok(chosen.into_iter().collect())
}

fn unknown(name: &str, all: &[Interface]) -> KernelError {
    KernelError::new(ErrorKind::NoSuchInterface, format!("there is no interface {name}"))
        .advise(there_are(all))
}

fn there_are(all: &[Interface]) -> String {
    let names: Vec<_> = all.iter().map(|interface| interface.name.as_str()).collect();
    format!("this machine (or network namespace) has: {}", names.join(", "))
}

/// What messages call the interface with this index; `known` are those that are there.
pub(in crate::kernel) fn name_of(ifindex: u32, known: &[Interface]) -> String {
    let found = known.iter().find(|interface| interface.index == ifindex);
    found.map_or_else(|| format!("interface {ifindex}"), |interface| interface.name.clone())
}

fn unreadable(what: &str, error: io::Error) -> KernelError {
    KernelError::call(format!("cannot list the {what} of this network namespace"), error)
}

/// Shell-like match of a whole name.
fn matches(pattern: &str, name: &str) -> bool {
    match pattern.chars().next() {
        None => name.is_empty(),
        Some('*') => {
            let rest = &pattern[1..];
            name.char_indices()
                .map(|(at, _)| at)
                .chain([name.len()])
                .any(|at| matches(rest, &name[at..]))
        }
        Some(first) => name.chars().next().is_some_and(|other| {
            (first == '?' || first == other)
                && matches(&pattern[first.len_utf8()..], &name[other.len_utf8()..])
        }),
    }
}

/// Indexes of the interfaces that a default route of the main table leads through, IPv4 or IPv6.
fn default_routes() -> io::Result<BTreeSet<u32>> {
    let mut found = BTreeSet::new();
    for message in list(libc::NETLINK_ROUTE, libc::RTM_GETROUTE, &[0; RTMSG])? {
        let Some(attributes) = message.get(RTMSG..) else { continue };
        let (length, table, kind) = (message[1], message[4], message[7]);
        let table = number(attributes, RTA_TABLE).unwrap_or(u32::from(table));
        if length != 0 || kind != RTN_UNICAST || table != u32::from(libc::RT_TABLE_MAIN) {
            continue;
        }
        found.extend(number::<u32>(attributes, RTA_OIF));
        let mut hops = attribute(attributes, RTA_MULTIPATH).unwrap_or_default();
        while let (Some(length), Some(index)) =
            (read::<u16>(hops), hops.get(4..).and_then(read::<u32>))
        {
            found.insert(index);
            hops = hops
                .get(usize::from(length).max(RTNEXTHOP).next_multiple_of(4)..)
                .unwrap_or_default();
        }
    }
    Ok(found)
}

/// The addresses of this host that others could pretend to have: all but loopback and link-local ones. Sorted.
///
/// # Errors
/// If the kernel does not answer.
pub fn own_addresses() -> Result<Vec<IpAddr>, KernelError> {
    let messages = list(libc::NETLINK_ROUTE, libc::RTM_GETADDR, &[0; IFADDRMSG])
        .map_err(|error| unreadable("addresses", error))?;
    let mut found = BTreeSet::new();
    for message in messages {
        let Some(attributes) = message.get(IFADDRMSG..) else { continue };
        // On a point-to-point interface IFA_ADDRESS is the peer's; IFA_LOCAL is ours wherever it is there.
        let Some(value) =
            attribute(attributes, IFA_LOCAL).or_else(|| attribute(attributes, IFA_ADDRESS))
        else {
            continue;
        };
        let address = if let Ok(bytes) = <[u8; 4]>::try_from(value) {
            let address = Ipv4Addr::from(bytes);
            (!address.is_loopback() && !address.is_link_local()).then_some(IpAddr::V4(address))
        } else if let Ok(bytes) = <[u8; 16]>::try_from(value) {
            let address = Ipv6Addr::from(bytes);
            (!address.is_loopback() && !address.is_unicast_link_local())
                .then_some(IpAddr::V6(address))
        } else {
            None
        };
        found.extend(address);
    }
    Ok(found.into_iter().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs_match_whole_names() {
        for (pattern, name, expected) in [
            ("eth*", "eth0", true),
            ("eth*", "eth", true),
            ("eth*", "veth0", false),
            ("*", "anything", true),
            ("en?s*0", "ens10", false),
            ("en?s*0", "en1s10", true),
            ("eth?", "eth10", false),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn loopback_is_there_and_is_not_an_own_address() {
        let all = interfaces().unwrap();
        assert!(all.iter().any(|interface| interface.name == "lo" && interface.index == 1));
        assert_eq!(select_interfaces(&["lo".into()]).unwrap()[0].index, 1);
        assert!(
            select_interfaces(&["l*".into()])
                .unwrap()
                .iter()
                .all(|interface| interface.name != "lo")
        );
        assert!(own_addresses().unwrap().iter().all(|address| !address.is_loopback()));
    }

    #[test]
    fn an_unknown_interface_is_named_with_those_that_exist() {
        let error = select_interfaces(&["nosuch9".into()]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NoSuchInterface);
        assert!(error.to_string().contains("nosuch9"));
        assert!(error.help().unwrap().contains("lo"));
    }
}
