//! A table of frames: what the reference policy does with each, and why.
//!
//! - [`packet`]: frames are built here, well-formed ones and such that lie.
//! - [`hosts`]: the server, and who talks to it.
//! - [`row`]: a frame with its set-up, verdict and reason.
//! - [`sample`]: frames that came from outside.
//! - one file a family of frames; [`all`] has all of them.

pub mod hosts;
pub mod packet;
pub mod row;
pub mod sample;

mod egress;
mod extensions;
mod fragments;
mod icmp;
mod icmp_errors;
mod ipv4;
mod ipv6;
mod liveness;
mod martians;
mod replies;
mod rules;
mod tcp_flags;
mod tunnels;
mod vlan;

pub use row::{Direction, Moment, Row, Step};

/// The policy that every row is judged by.
pub const REFERENCE: &str = include_str!("reference.toml");

/// All rows.
pub fn all() -> Vec<Row> {
    [
        rules::rows,
        ipv4::rows,
        ipv6::rows,
        extensions::rows,
        vlan::rows,
        fragments::rows,
        icmp::rows,
        icmp_errors::rows,
        tcp_flags::rows,
        replies::rows,
        martians::rows,
        tunnels::rows,
        liveness::rows,
        egress::rows,
    ]
    .into_iter()
    .flat_map(|family| family())
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn rows_have_names_of_their_own_and_frames_of_their_own() {
        let rows = all();
        let mut names = BTreeMap::new();
        let mut frames = BTreeMap::new();
        let mut twins = Vec::new();
        for row in &rows {
            twins.extend(
                names.insert(&row.name, row).map(|_| format!("two rows are called {}", row.name)),
            );
            let other = frames.insert((&row.setup, &row.step, row.time), row);
            twins.extend(
                other.map(|other| format!("{} and {} are the same frames", other.name, row.name)),
            );
            assert!(
                row.step.frame.len() >= 14,
                "{}: BPF_PROG_TEST_RUN takes no shorter frame",
                row.name
            );
        }
        assert!(twins.is_empty(), "{}", twins.join("\n"));
        assert!(rows.len() >= 300, "only {} rows", rows.len());
    }
}
