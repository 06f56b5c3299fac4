//! A moment that a restarted daemon understands, whatever the wall clock was set to meanwhile: time since boot, and which boot.

use std::{fs, time::Duration};

use nix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

/// A moment of one boot of this machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deadline {
    /// `/proc/sys/kernel/random/boot_id`.
    boot: String,
    /// Milliseconds on `CLOCK_BOOTTIME`, which goes on while the machine sleeps.
    at_ms: u64,
}

impl Deadline {
    /// So far from now.
    pub fn after(time: Duration) -> Self {
        let at = since_boot() + time;
        Self { boot: boot(), at_ms: u64::try_from(at.as_millis()).unwrap_or(u64::MAX) }
    }

    /// How far it is away; nothing once it has passed. One of an earlier boot has.
    pub fn remaining(&self) -> Duration {
        self.remaining_at(&boot(), since_boot())
    }

    fn remaining_at(&self, boot: &str, now: Duration) -> Duration {
        if self.boot == boot {
            Duration::from_millis(self.at_ms).saturating_sub(now)
        } else {
            Duration::ZERO
        }
    }
}

/// Which boot this is; without /proc there is only one.
fn boot() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned()
}

fn since_boot() -> Duration {
    clock_gettime(ClockId::CLOCK_BOOTTIME).map(Duration::from).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_passes_with_time_or_with_the_boot() {
        let deadline = Deadline { boot: "a".into(), at_ms: 5_000 };
        let at = |boot, seconds| deadline.remaining_at(boot, Duration::from_secs(seconds));
        assert_eq!(at("a", 2), Duration::from_secs(3));
        assert_eq!(at("a", 6), Duration::ZERO);
        assert_eq!(at("b", 2), Duration::ZERO, "the machine was started anew");
        let soon = Deadline::after(Duration::from_secs(60)).remaining();
        assert!(soon > Duration::from_secs(59) && soon <= Duration::from_secs(60), "{soon:?}");
    }
}
