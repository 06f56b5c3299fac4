//! What cannot be measured on a machine is told, and does not keep the rest from being measured.

use std::panic::{AssertUnwindSafe, catch_unwind};

use anyhow::{Result, anyhow};

/// Does some work; what the harness of the tests panics with becomes an error.
pub fn attempt<T>(work: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let text = panic
            .downcast_ref::<String>()
            .cloned()
            .or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        Err(anyhow!(text.unwrap_or_else(|| "it panicked".into())))
    })
}

/// As [`attempt`]; an error is noted under this name.
pub fn or_missing<T>(
    missing: &mut Vec<String>,
    name: &str,
    work: impl FnOnce() -> Result<T>,
) -> Option<T> {
    match attempt(work) {
        Ok(value) => Some(value),
        Err(error) => {
            missing.push(format!("{name}: {error:#}"));
            None
        }
    }
}
