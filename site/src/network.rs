//! Namespaces, bridges and the router between them.
//!
//! The router forwards everything: what does not get through is held back by the servers' own foobar. Addresses that nobody
//! has, such as those of spoofed packets, lead nowhere: their answers end in the router.

use std::{fs, path::Path, process::Command};

use anyhow::{Context as _, Result};

use crate::{
    instance::Instance,
    plan::{Host, Network},
    run::{enter, inside, output},
};

/// The number of the router in each network.
const ROUTER: u8 = 1;

/// Makes all namespaces and joins them.
///
/// # Errors
/// If one is there already, or without root.
pub fn make(instance: &Instance) -> Result<()> {
    let router = instance.router();
    add(&router)?;
    for network in Network::ALL {
        let bridge = network.bridge();
        ip(&router, &format!("link add {bridge} type bridge forward_delay 0 mcast_snooping 0"))?;
        ip(&router, &format!("link set {bridge} up"))?;
        ip(&router, &format!("address add {}/24 dev {bridge}", network.ipv4(ROUTER)))?;
        ip(&router, &format!("address add {}/64 dev {bridge} nodad", network.ipv6(ROUTER)))?;
    }
    for host in Host::ALL {
        join(instance, host).with_context(|| format!("cannot make {}", host.name()))?;
    }
    sysctl(&router, "net/ipv4/ip_forward", "1")?;
    sysctl(&router, "net/ipv6/conf/all/forwarding", "1")?;
    ip(&router, "route add blackhole default")?;
    ip(&router, "-6 route add blackhole default")
}

fn join(instance: &Instance, host: Host) -> Result<()> {
    let (router, namespace) = (instance.router(), instance.namespace(host));
    let (network, port) = (host.network(), host.name());
    add(&namespace)?;
    ip(&router, &format!("link add {port} type veth peer name eth0 netns {namespace}"))?;
    ip(&router, &format!("link set {port} up master {}", network.bridge()))?;
    ip(&namespace, "link set eth0 up")?;
    ip(&namespace, &format!("address add {}/24 dev eth0", host.ipv4()))?;
    ip(&namespace, &format!("address add {}/64 dev eth0 nodad", host.ipv6()))?;
    ip(&namespace, &format!("route add default via {}", network.ipv4(ROUTER)))?;
    ip(&namespace, &format!("-6 route add default via {}", network.ipv6(ROUTER)))
}

fn add(namespace: &str) -> Result<()> {
    output(Command::new("ip").args(["netns", "add", namespace]))?;
    ip(namespace, "link set lo up")?;
    // Else an address is tentative for a second, and nobody answers from it.
    sysctl(namespace, "net/ipv6/conf/all/accept_dad", "0")?;
    sysctl(namespace, "net/ipv6/conf/default/accept_dad", "0")
}

/// Removes all namespaces of the site.
///
/// # Errors
/// If one cannot be removed.
pub fn remove(instance: &Instance) -> Result<()> {
    for name in instance.namespaces() {
        output(Command::new("ip").args(["netns", "delete", &name]))?;
    }
    Ok(())
}

/// Runs `ip ARGUMENTS` in a namespace.
///
/// # Errors
/// What `ip` said.
pub fn ip(namespace: &str, arguments: &str) -> Result<()> {
    output(inside(namespace, "ip").args(arguments.split_whitespace())).map(drop)
}

/// Writes a setting below `/proc/sys` in a namespace.
///
/// # Errors
/// If there is no such setting or it does not take the value.
pub fn sysctl(namespace: &str, key: &str, value: &str) -> Result<()> {
    let path = Path::new("/proc/sys").join(key);
    enter(namespace, || {
        fs::write(&path, value)
            .with_context(|| format!("cannot write {value} to {}", path.display()))
    })
}
