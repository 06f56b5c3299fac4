//! Measures foobar beside its peers: `cargo xtask bench`.
//!
//! Every figure is a ratio of medians from one run, in which the subjects take turns, so that a noisy machine is noisy for all
//! of them alike.

mod cli; // what is asked for
mod machine; // what it ran on
mod statistics; // medians, spread, ratios

mod changes; // changes of a policy
mod live; // live packets, dropped
mod observer; // a web server that is observed
mod packet; // the packet path, by BPF_PROG_TEST_RUN
mod scale; // curves over prefixes and rules
mod scrape;
mod service; // a web server under a flood // the page /metrics

mod attempt; // what cannot be measured is told
mod clock; // CPU time of this thread, on one CPU
mod lane; // a link with a generator of packets
mod peers; // other firewalls
mod policies; // policies of any size
mod prefixes; // lists of any size
mod processes; // CPU time and memory of processes
mod web; // nginx and wrk

mod goals; // what is to be reached
mod report; // tables, pictures, the document
mod results; // what came out, and JSON

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::run()
}
