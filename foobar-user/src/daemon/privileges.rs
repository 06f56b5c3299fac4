//! Least privilege: which of root's rights (capabilities(7)) a daemon keeps once the filter is in force.
//!
//! They are dropped while the process has one thread, so that every later one starts without them. Its files are root's own, for
//! which no right over other people's files is needed.

use std::{fs, io};

use anyhow::{Context, Result};
use caps::{CapSet, Capability, CapsHashSet};
use nix::sys::prctl;
use tracing::info;

/// What it takes to load, attach and read the programs, the tracing ones included: a new instance when a table grows or an
/// interface appears needs all of it again.
pub const KEPT: [Capability; 3] =
    [Capability::CAP_NET_ADMIN, Capability::CAP_PERFMON, Capability::CAP_BPF];

/// What a process may do, over all its threads.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Privileges {
    /// Capabilities that at least one thread has or can give itself, in the order of their numbers.
    pub capabilities: Vec<String>,
    /// Whether no program that it runs can ever get more, in none of its threads.
    pub no_new_privileges: bool,
}

/// Gives up everything but [`KEPT`], for good: permitted, effective, inheritable, ambient and bounding set.
///
/// # Errors
/// The kernel refuses. Then the process has more rights than it needs, and should not go on.
pub fn drop_all_but_kept() -> Result<()> {
    let kept: CapsHashSet = KEPT.into_iter().collect();
    drop_from_bounding(&kept)?;
    prctl::set_no_new_privs().context("cannot set no_new_privs")?;
    caps::clear(None, CapSet::Ambient).context("cannot clear the ambient capabilities")?;
    // Effective before permitted, which must hold all of it.
    for (set, wanted) in [
        (CapSet::Effective, &kept),
        (CapSet::Permitted, &kept),
        (CapSet::Inheritable, &CapsHashSet::new()),
    ] {
        caps::set(None, set, wanted)
            .with_context(|| format!("cannot drop capabilities from the set {set:?}"))?;
    }
    let left = privileges().context("cannot tell which capabilities are left")?;
    info!("capabilities kept: {}", left.capabilities.join(", "));
    Ok(())
}

/// The bounding set limits what programs run later could get; where it may not be changed, no_new_privs does the same.
fn drop_from_bounding(kept: &CapsHashSet) -> Result<()> {
    let bounding = caps::read(None, CapSet::Bounding).context("cannot read the bounding set")?;
    let more: Vec<_> = bounding.difference(kept).copied().collect();
    if more.is_empty() {
        return Ok(());
    }
    if !caps::has_cap(None, CapSet::Effective, Capability::CAP_SETPCAP)? {
        info!("the bounding set stays as it is: changing it takes CAP_SETPCAP");
        return Ok(());
    }
    for capability in more {
        caps::drop(None, CapSet::Bounding, capability)
            .with_context(|| format!("cannot drop {capability} from the bounding set"))?;
    }
    Ok(())
}

/// What this process may do, asked of the kernel for each of its threads.
///
/// # Errors
/// Those of reading /proc/self/task.
pub fn privileges() -> io::Result<Privileges> {
    let mut held = 0u64;
    let mut no_new_privileges = true;
    for task in fs::read_dir("/proc/self/task")? {
        // A thread that has just ended has no rights.
        let Ok(status) = fs::read_to_string(task?.path().join("status")) else { continue };
        let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name));
        let set = |name| field(name).and_then(|set| u64::from_str_radix(set.trim(), 16).ok());
        held |= set("CapPrm:").unwrap_or(u64::MAX) | set("CapEff:").unwrap_or(u64::MAX);
        no_new_privileges &= field("NoNewPrivs:").is_some_and(|value| value.trim() == "1");
    }
    let mut all: Vec<_> = caps::all().into_iter().collect();
    all.sort_by_key(Capability::index);
    let capabilities = all.into_iter().filter(|capability| held & capability.bitmask() != 0);
    Ok(Privileges {
        capabilities: capabilities.map(|capability| capability.to_string()).collect(),
        no_new_privileges,
    })
}
