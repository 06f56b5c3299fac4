//! xdp-filter, configured as near as it can: addresses are allowed one by one, for it knows no prefixes.

use std::{fmt::Write as _, fs, net::IpAddr, path::Path, process::Command};

use anyhow::{Context as _, Result, bail};
use foobar_tests::harness::Netns;
use foobar_user::kernel::measure::Subject;
use serde_json::Value;

use super::subjects::Lists;

/// Addresses that xdp-filter takes of each family.
const MOST: usize = 10_000;
/// Its mark for "as a source" (`MAP_FLAG_SRC`), as bytes of the map's value.
const AS_SOURCE: &str = "1 0 0 0 0 0 0 0";
/// The interface that it is loaded on.
const INTERFACE: &str = "veth0";

/// What keeps the peer loaded.
pub struct Peer {
    _namespace: Netns,
}

/// Loads xdp-filter in a namespace of its own, and finds its program. It pins its maps at a fixed place, so it gets a BPF file
/// system of its own as well.
pub fn xdp_filter(lists: &Lists) -> Result<(Subject, Peer)> {
    let namespace = Netns::new();
    namespace.ip("link add veth0 type veth peer name veth1");
    namespace.ip("link set veth0 up");
    namespace.ip("link set veth1 up");
    let folder = tempfile::tempdir()?;
    let batch = folder.path().join("addresses");
    fs::write(&batch, addresses(lists))?;
    load(&namespace, &batch)?;
    let links: Value =
        serde_json::from_str(&namespace.ip(&format!("-j -d link show {INTERFACE}")))?;
    let id = links[0]["xdp"]["prog"]["id"]
        .as_u64()
        .context("xdp-filter is not attached after it was loaded")?;
    Ok((Subject::by_id(u32::try_from(id)?)?, Peer { _namespace: namespace }))
}

fn load(namespace: &Netns, batch: &Path) -> Result<()> {
    let script = format!(
        "set -e
        mount -t bpf bpf /sys/fs/bpf
        xdp-filter load --policy deny --features tcp,udp,ipv4,ipv6 {INTERFACE}
        bpftool batch file {} >/dev/null",
        batch.display()
    );
    for program in ["xdp-filter", "bpftool"] {
        if Command::new(program).arg("help").output().is_err() {
            bail!("{program} is not installed; `cargo xtask bench --peers` brings it");
        }
    }
    let output = namespace.command("unshare").args(["--mount", "sh", "-c", &script]).output()?;
    if !output.status.success() {
        bail!("it does not load: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}

/// Commands for bpftool: the first address of each prefix.
fn addresses(lists: &Lists) -> String {
    let mut text = String::new();
    for prefix in lists.first(MOST) {
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
