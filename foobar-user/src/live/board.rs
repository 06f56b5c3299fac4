//! Where readings come in and views go out. Who looks takes a copy of what is in memory, and never waits for the kernel.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant, SystemTime},
};

use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use super::{
    facts::{Facts, Warnings},
    reading::Reading,
    recorder::Recorder,
    view::Live,
};

/// While nobody looks, facts are gathered this often: they cost questions to the kernel.
const UNWATCHED: Duration = Duration::from_secs(10);

/// What who looks has already: `?after=N&id=N`, both from [`super::view::Span`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Since {
    /// Number of the last point.
    pub after: u64,
    /// Of which history.
    pub id: u64,
}

/// Who looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Audience {
    /// Whoever reaches the metrics listener: no address, nothing of the configuration file.
    Public,
    /// Whom the control socket trusts.
    Trusted,
}

/// What is shown live.
#[derive(Debug)]
pub struct Board {
    recorder: Mutex<Recorder>,
    facts: Mutex<Known>,
    /// When somebody looked last.
    looked: Mutex<Option<Instant>>,
    /// Counts readings.
    readings: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Known {
    gathered: Option<Instant>,
    facts: Arc<Facts>,
    warnings: Warnings,
}

impl Default for Board {
    fn default() -> Self {
        Self {
            recorder: Mutex::default(),
            facts: Mutex::default(),
            looked: Mutex::default(),
            readings: watch::channel(0).0,
        }
    }
}

impl Board {
    /// Whether [`Self::tell`] is due at `now`.
    pub fn wants_facts(&self, now: Instant) -> bool {
        let recent = |moment: &Option<Instant>| {
            moment.is_some_and(|moment| now.saturating_duration_since(moment) < UNWATCHED)
        };
        recent(&lock(&self.looked)) || !recent(&lock(&self.facts).gathered)
    }

    /// Facts as of `now`; the `warnings` of the facts themselves are not looked at.
    pub fn tell(&self, now: Instant, facts: Facts, warnings: Warnings) {
        *lock(&self.facts) = Known { gathered: Some(now), facts: Arc::new(facts), warnings };
    }

    /// Counters as they were read at `now`; wakes everybody who waits for a reading.
    pub fn record(&self, now: Instant, reading: Reading) {
        lock(&self.recorder).record(now, SystemTime::now(), reading);
        self.readings.send_modify(|count| *count += 1);
    }

    /// What there is to see.
    pub fn view(&self, since: Since, audience: Audience) -> Live {
        let now = Instant::now();
        *lock(&self.looked) = Some(now);
        let mut live = lock(&self.recorder).view(since.id, since.after, now);
        let known = lock(&self.facts);
        live.facts = Facts::clone(&known.facts);
        live.facts.warnings = match audience {
            Audience::Public => known.warnings.public(),
            Audience::Trusted => known.warnings.full(),
        };
        live
    }

    /// Changes with each reading.
    pub fn readings(&self) -> watch::Receiver<u64> {
        self.readings.subscribe()
    }
}

/// The data stay consistent whatever panics: a reading that was not recorded is one that never came.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
