//! What is shown live, by `foobar top` and by the status page: one model, filled once a second; pure.
//!
//! - [`reading`]: what the daemon reads, as plain data.
//! - [`recorder`]: from readings to rates, quantiles and a history of some minutes; [`quantile`], [`track`].
//! - [`facts`]: what does not come from counters: what is attached, lists, warnings.
//! - [`board`]: where readings come in and views go out, without waiting for the kernel.
//! - [`view`]: the answer, as it crosses the socket or the listener.
//! - [`blocked`]: who is dropped most, from sampled packets. In memory only, and only while somebody looks.

pub mod blocked;
pub mod board;
pub mod facts;
pub mod quantile;
pub mod reading;
pub mod recorder;
#[cfg(test)]
mod tests;
pub mod track;
pub mod view;

pub use blocked::Dropped;
pub use board::{Audience, Board, Since};
pub use facts::{AttachmentStatus, Facts, ListStatus, Warning, Warnings};
pub use reading::{PortReading, Reading, Times};
pub use view::Live;
