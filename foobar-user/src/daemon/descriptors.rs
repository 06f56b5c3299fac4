//! File descriptors: every map takes one, and a flood of scrapes must leave enough for commands and for a new instance.

use std::fs;

use anyhow::Result;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tracing::warn;

use crate::{control::Refusal, metrics::ListenerLimits};

/// Below this many nothing is begun. The daemon holds some 70, and for a moment twice that where a change needs a new instance of the
/// programs; the rest is for commands and scrapes. With fewer it would start, and refuse such changes later.
const LEAST: u64 = 192;
/// Kept free: a new instance of the programs opens its maps beside the old ones, and commands come in.
const RESERVE: usize = 100;
/// Scrapes at a time, however few descriptors are left.
const FEWEST: usize = 4;

/// Takes as many as the hard limit allows: the soft one is for programs that use select(2).
///
/// # Errors
/// They are too few.
pub fn raise() -> Result<()> {
    let raised = getrlimit(Resource::RLIMIT_NOFILE)
        .and_then(|(_, hard)| setrlimit(Resource::RLIMIT_NOFILE, hard, hard));
    if let Err(error) = raised {
        warn!("cannot raise the limit of open files: {error}");
    }
    let limit = getrlimit(Resource::RLIMIT_NOFILE).map_or(u64::MAX, |(soft, _)| soft);
    if limit >= LEAST {
        return Ok(());
    }
    let refusal = Refusal::failed(format!(
        "at most {limit} files may be open, and foobar run needs {LEAST}: each table and each program in the kernel is one"
    ));
    Err(refusal
        .help("raise the hard limit: LimitNOFILE= in the unit, `ulimit -Hn` in a shell, --ulimit nofile= of a container")
        .into())
}

/// Bounds of the listener for metrics, by the descriptors that are left.
pub fn listener_limits() -> ListenerLimits {
    let mut limits = ListenerLimits::default();
    let hard = getrlimit(Resource::RLIMIT_NOFILE).map_or(u64::MAX, |(soft, _)| soft);
    let open = fs::read_dir("/proc/self/fd").map_or(0, Iterator::count);
    limits.connections = connections(limits.connections, hard, open);
    limits
}

fn connections(wanted: usize, limit: u64, open: usize) -> usize {
    let spare = usize::try_from(limit).unwrap_or(usize::MAX).saturating_sub(open + RESERVE);
    if spare < wanted {
        warn!(
            "at most {limit} files may be open, so fewer scrapes are answered at a time; raise it (LimitNOFILE=)"
        );
    }
    spare.clamp(FEWEST.min(wanted), wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn enough_is_left_for_commands() {
        assert_eq!(connections(64, 4096, 70), 64);
        assert_eq!(connections(64, u64::MAX, 70), 64);
        assert_eq!(connections(64, 90 + RESERVE as u64, 70), 20);
        assert_eq!(connections(64, 100, 70), FEWEST);
    }
}
