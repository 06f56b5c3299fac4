//! File descriptors: every map takes one, and a flood of scrapes must leave enough for commands and for a new instance.

use std::fs;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tracing::warn;

use crate::metrics::ListenerLimits;

/// Kept free: a new instance of the programs opens its maps beside the old ones, and commands come in.
const RESERVE: usize = 120;
/// Scrapes at a time, however few descriptors are left.
const FEWEST: usize = 4;

/// Takes as many as the hard limit allows: the soft one is for programs that use select(2).
pub fn raise() {
    let raised = getrlimit(Resource::RLIMIT_NOFILE)
        .and_then(|(_, hard)| setrlimit(Resource::RLIMIT_NOFILE, hard, hard));
    if let Err(error) = raised {
        warn!("cannot raise the limit of open files: {error}");
    }
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
