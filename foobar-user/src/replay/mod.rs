//! A capture through the real programs: verdicts before a policy is put in force.
//!
//! ```text
//! capture file ─ capture ─► Frame ─ direction ─► ingress or egress ─ judge ─► Finding ─ record ─► a line, the summary
//!                             └──── clock ─────► jiffies ──────────────┘
//! ```
//!
//! - [`capture`]: frames of a pcap or pcapng file, as Ethernet frames of their original length.
//! - [`clock`]: the capture's time as the kernel's, so that limits and flows age as they would have.
//! - [`direction`]: which frames the server sent itself.
//! - [`judge`]: a configuration in a fresh instance of the programs, which nothing is attached to.
//! - [`run`]: all of it, frame by frame.
//! - [`record`]: what is told of a frame; [`tally`]: what is told in the end.
//! - [`endpoints`]: who talks to whom, for people.

pub mod capture;
pub mod clock;
pub mod direction;
pub mod endpoints;
pub mod judge;
pub mod record;
pub mod run;
pub mod tally;
