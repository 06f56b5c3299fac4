//! Other firewalls, configured as near to foobar's policy as they can be: those on a list reach port 8443, everybody 80 and 443.

use std::{fmt::Write as _, fs, net::IpAddr, path::Path, process::Command};

use anyhow::{Context as _, Result, bail, ensure};
use foobar_tests::harness::Netns;
use foobar_user::kernel::measure::Subject;
use ipnet::IpNet;
use serde_json::Value;

/// xdp-filter's mark for "as a source" (`MAP_FLAG_SRC`), as bytes of the map's value.
const AS_SOURCE: &str = "1 0 0 0 0 0 0 0";

/// Whether a program is there.
pub fn wants(program: &str) -> Result<()> {
    let found = Command::new("sh").args(["-c", &format!("command -v {program}")]).output()?;
    ensure!(
        found.status.success(),
        "{program} is not installed; `cargo xtask bench --peers` brings it"
    );
    Ok(())
}

/// Loads xdp-filter on an interface and finds its program. It knows no prefixes, so the first address of each is allowed. It pins
/// its maps at a fixed place, so it gets a BPF file system of its own.
pub fn xdp_filter(namespace: &Netns, interface: &str, list: &[IpNet]) -> Result<Subject> {
    for program in ["xdp-filter", "bpftool"] {
        wants(program)?;
    }
    let folder = tempfile::tempdir()?;
    let batch = folder.path().join("addresses");
    fs::write(&batch, addresses(list))?;
    let script = format!(
        "set -e
        mount -t bpf bpf /sys/fs/bpf
        xdp-filter load --policy deny --features tcp,udp,ipv4,ipv6 {interface}
        bpftool batch file {} >/dev/null",
        batch.display()
    );
    succeed(namespace.command("unshare").args(["--mount", "sh", "-c", &script]))?;
    let links: Value =
        serde_json::from_str(&namespace.ip(&format!("-j -d link show {interface}")))?;
    let id = links[0]["xdp"]["prog"]["id"]
        .as_u64()
        .context("xdp-filter is not attached after it was loaded")?;
    Ok(Subject::by_id(u32::try_from(id)?)?)
}

/// Commands for bpftool: the first address of each prefix.
fn addresses(list: &[IpNet]) -> String {
    let mut text = String::new();
    for prefix in list {
        let (map, bytes) = match prefix.network() {
            IpAddr::V4(address) => ("filter_ipv4", address.octets().to_vec()),
            IpAddr::V6(address) => ("filter_ipv6", address.octets().to_vec()),
        };
        let key: String = bytes.iter().map(|byte| format!("{byte} ")).collect();
        let _ = writeln!(
            text,
            "map update pinned /sys/fs/bpf/xdp-filter/{map} key {key} value {AS_SOURCE}"
        );
    }
    text
}

/// Where nftables looks at packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nftables<'a> {
    /// As soon as an interface has them, without connection tracking.
    Ingress(&'a str),
    /// On the way to a socket, after connection tracking, as most servers have it.
    Stateful,
}

/// Loads rules of nftables with a set.
pub fn nftables(namespace: &Netns, place: Nftables<'_>, list: &[IpNet]) -> Result<()> {
    wants("nft")?;
    let (family, hook, replies, default) = match place {
        Nftables::Ingress(interface) => (
            "netdev",
            format!("type filter hook ingress device {interface} priority 0; policy accept;"),
            "",
            "drop",
        ),
        Nftables::Stateful => (
            "inet",
            "type filter hook input priority 0; policy drop;".to_owned(),
            "ct state established,related accept",
            "",
        ),
    };
    let rules = format!(
        "table {family} bench {{
            {}
            chain input {{
                {hook}
                {replies}
                tcp dport {{ 80, 443 }} accept
                ip saddr @listed tcp dport 8443 accept
                {default}
            }}
        }}",
        nft_set(list)
    );
    load_nft(namespace, &rules)
}

/// A set of nftables with these IPv4 prefixes.
pub fn nft_set(list: &[IpNet]) -> String {
    let mut text = "set listed { type ipv4_addr; flags interval; auto-merge;".to_owned();
    if !list.is_empty() {
        let elements: Vec<String> = v4(list).map(ToString::to_string).collect();
        let _ = write!(text, " elements = {{ {} }}", elements.join(",\n"));
    }
    text + " }"
}

/// Loads what nftables shall do.
pub fn load_nft(namespace: &Netns, rules: &str) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("rules.nft");
    fs::write(&file, rules)?;
    succeed(namespace.command("nft").arg("-f").arg(file))
}

/// Loads rules of iptables in the table `raw`, in front of connection tracking, with a set of ipset.
pub fn iptables(namespace: &Netns, list: &[IpNet]) -> Result<()> {
    for program in ["iptables", "ipset"] {
        wants(program)?;
    }
    restore_ipset(namespace, "listed", list)?;
    for rule in [
        "-p tcp -m multiport --dports 80,443 -j ACCEPT",
        "-p tcp --dport 8443 -m set --match-set listed src -j ACCEPT",
        "-j DROP",
    ] {
        succeed(
            namespace
                .command("iptables")
                .args(["-t", "raw", "-A", "PREROUTING"])
                .args(rule.split(' ')),
        )?;
    }
    Ok(())
}

/// What `ipset restore` reads to make a set of these IPv4 prefixes.
pub fn ipset_text(name: &str, list: &[IpNet]) -> String {
    let mut text = format!("create {name} hash:net family inet hashsize 1024 maxelem 4000000\n");
    for prefix in v4(list) {
        let _ = writeln!(text, "add {name} {prefix}");
    }
    text
}

fn restore_ipset(namespace: &Netns, name: &str, list: &[IpNet]) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("set");
    fs::write(&file, ipset_text(name, list))?;
    succeed(namespace.command("ipset").arg("restore").arg("-file").arg(file))
}

/// Where a network has no program of its own, its packets are handed over as they are by the driver's NAPI if GRO is on.
pub fn receive_by_napi(namespace: &Netns, interface: &str) -> Result<()> {
    wants("ethtool")?;
    succeed(namespace.command("ethtool").args(["-K", interface, "gro", "on"]))
}

fn v4(list: &[IpNet]) -> impl Iterator<Item = &IpNet> {
    list.iter().filter(|prefix| matches!(prefix, IpNet::V4(_)))
}

/// Runs a command that has to succeed.
pub fn succeed(command: &mut Command) -> Result<()> {
    let output = command
        .output()
        .with_context(|| format!("cannot start {}", command.get_program().display()))?;
    if !output.status.success() {
        let message = String::from_utf8_lossy(&output.stderr).into_owned();
        bail!("{}", message.trim().lines().take(3).collect::<Vec<_>>().join("; "));
    }
    Ok(())
}

/// A list, one prefix a line.
pub fn write_list(file: &Path, list: &[IpNet]) -> Result<()> {
    let mut text = String::new();
    for prefix in list {
        let _ = writeln!(text, "{prefix}");
    }
    fs::write(file, text).with_context(|| format!("cannot write {}", file.display()))
}
