//! What a host's own kernel counted: datagrams that reached its UDP, whether or not somebody listens.
//!
//! These counters know nothing of foobar, so they tell what got past it.

use std::fs;

use anyhow::{Context as _, Result};

use crate::{instance::Instance, plan::Host, run::enter};

/// UDP datagrams that a host's kernel was given, IPv4 and IPv6.
///
/// # Errors
/// If the counters cannot be read.
pub fn datagrams_received(instance: &Instance, host: Host) -> Result<u64> {
    enter(&instance.namespace(host), || {
        // /proc/net is that of the thread that asks.
        let read = |name: &str| {
            let path = format!("/proc/thread-self/net/{name}");
            fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))
        };
        let four = udp4(&read("snmp")?).context("no line Udp in snmp")?;
        Ok(four + udp6(&read("snmp6")?))
    })
}

/// `InDatagrams` and `NoPorts` of the table `snmp`: a line of names, and a line of values.
fn udp4(snmp: &str) -> Option<u64> {
    let mut lines = snmp.lines().filter_map(|line| line.strip_prefix("Udp: "));
    let (names, values) = (lines.next()?, lines.next()?);
    let pairs = names.split_whitespace().zip(values.split_whitespace());
    pairs
        .filter(|(name, _)| ["InDatagrams", "NoPorts", "InErrors"].contains(name))
        .map(|(_, value)| value.parse::<u64>().ok())
        .sum()
}

fn udp6(snmp6: &str) -> u64 {
    let lines = snmp6.lines().filter_map(|line| {
        let (name, value) = line.split_once(char::is_whitespace)?;
        let counts = ["Udp6InDatagrams", "Udp6NoPorts", "Udp6InErrors"].contains(&name);
        counts.then(|| value.trim().parse::<u64>().ok())?
    });
    lines.sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn datagrams_with_and_without_a_listener_count() {
        let snmp = "Udp: InDatagrams NoPorts InErrors OutDatagrams\nUdp: 3 4 1 99\nUdpLite: InDatagrams\nUdpLite: 7\n";
        assert_eq!(udp4(snmp), Some(8));
        assert_eq!(udp6("Udp6InDatagrams  2\nUdp6NoPorts\t5\nUdp6OutDatagrams 1\n"), 7);
    }
}
