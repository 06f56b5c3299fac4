//! The servers' own statistics: how many requests they counted.
//!
//! - [`page`]: what each server writes, and which server it is.
//! - [`ask`]: how it is asked, over HTTP or on HAProxy's socket.
//! - [`count`]: from totals that start anew and processes that come and go to a count that only grows.
//! - [`ratio`]: how the count of another source compares with it.

mod ask;
mod count;
mod page;
mod ratio;

pub use ask::{AskError, Asked, Asker};
pub use count::Count;
pub use page::{Classes, OwnPolls, Page, PageError, Server};
pub use ratio::Ratio;
