//! What becomes of a packet, and why: the packet is built, run through the programs, and the verdict is explained.
//!
//! - [`packet`]: the question, and the frame that asks it.
//! - [`answer`]: the verdict with its reason, rule, list and entry.

pub mod answer;
pub mod packet;

pub use answer::Answer;
pub use packet::{Packet, Question};
