//! Waiting for something to become true, instead of sleeping and hoping.

use std::{
    fmt::Debug,
    thread,
    time::{Duration, Instant},
};

/// How often a condition is tried.
const STEP: Duration = Duration::from_millis(10);

/// Tries `condition` until it gives a value.
///
/// # Panics
/// After `limit`, with what was awaited and what the last try said.
pub fn eventually<T, E: Debug>(
    what: &str,
    limit: Duration,
    mut condition: impl FnMut() -> Result<T, E>,
) -> T {
    let deadline = Instant::now() + limit;
    loop {
        match condition() {
            Ok(value) => return value,
            Err(last) if Instant::now() >= deadline => {
                panic!("waited {limit:?} in vain for {what}: {last:?}")
            }
            Err(_) => thread::sleep(STEP),
        }
    }
}

/// Tries `condition` again and again for the whole of `period`.
///
/// # Panics
/// As soon as it does not hold.
pub fn holds_for<E: Debug>(
    what: &str,
    period: Duration,
    mut condition: impl FnMut() -> Result<(), E>,
) {
    let end = Instant::now() + period;
    while Instant::now() < end {
        if let Err(reason) = condition() {
            panic!("{what} did not hold: {reason:?}");
        }
        thread::sleep(STEP);
    }
}
