//! Measures foobar beside its peers: `cargo xtask bench`.
//!
//! Every figure is a ratio of medians from one run, in which the subjects take turns, so that a noisy machine is noisy for all
//! of them alike.

mod cli; // what is asked for
mod clock; // CPU time of this thread, on one CPU
mod machine; // what it ran on
mod policies; // policies of any size
mod prefixes; // lists of any size
mod statistics; // medians, spread, ratios

mod packet; // the packet path, by BPF_PROG_TEST_RUN

mod report; // tables, pictures, JSON
mod results; // what came out

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::run()
}
