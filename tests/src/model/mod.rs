//! A second opinion: what the filter has to do with a frame, written from its description, with no code of the product. It is
//! slow and plain: headers by etherparse, lists by scanning them, flows and fragments in hash maps.
//!
//! - [`policy`]: a policy, and its text in the product's configuration language.
//! - [`read`]: a frame, down to the transport header.
//! - [`memory`]: flows and fragments.
//! - [`judge`], [`icmp`]: the verdict.

pub mod judge;
pub mod memory;
pub mod policy;

mod icmp;
mod read;

pub use judge::{Model, Opinion};
pub use policy::{Choices, IcmpErrors, Policy, Rule};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frames::{self, Direction, Moment};

    /// The table of frames was written by hand; the model has to agree with it, or one of the two is wrong.
    #[test]
    fn the_model_agrees_with_the_table() {
        // Rates are not modelled.
        let rows = frames::all().into_iter().filter(|row| !row.name.contains("echo-limit"));
        let mut disagreements = Vec::new();
        for row in rows {
            let mut model = Model::new(Policy::reference());
            for Moment { time, step } in &row.setup {
                model.judge(step.direction, &step.frame, 1_000 + time);
            }
            let opinion = model.judge(row.step.direction, &row.step.frame, 1_000 + row.time);
            let passes = row.verdict == foobar_common::reason::Verdict::Pass;
            let agrees = match (row.step.direction, opinion) {
                (Direction::Egress, Opinion::Pass(_)) => passes,
                (_, Opinion::Pass(reason)) => passes && reason == row.reason.name(),
                (_, Opinion::Drop(reason)) => !passes && reason == row.reason.name(),
                (_, Opinion::Either(_)) => false,
            };
            if !agrees {
                disagreements.push(format!(
                    "{}: the table says {}, the model {opinion:?}",
                    row.name,
                    row.reason.name()
                ));
            }
        }
        assert!(disagreements.is_empty(), "{}", disagreements.join("\n"));
    }
}
