//! Namespaces, links, servers and clients for the tests, each of which removes itself.
//!
//! Everything that a test makes carries the test's own [`Tag`], so tests run side by side, and what a killed test left
//! behind can be told from what a running one still needs.

mod chromium;
mod classifier;
mod clients;
mod command;
mod control;
mod daemon;
mod debian;
mod echo;
mod lan;
mod leaks;
mod link;
mod netns;
mod nginx;
mod pins;
mod process;
mod prometheus;
mod scrape;
mod tag;
mod wait;

pub use chromium::Chromium;
pub use classifier::CLASSIFIER;
pub use clients::{Curl, Fetched, curl, fetch, python, tcp_connects};
pub use command::{Output, foobar_binary, run, try_run};
pub use control::Control;
pub use daemon::Daemon;
pub use debian::Debian;
pub use echo::{UdpEcho, ask, ping};
pub use lan::Lan;
pub use leaks::Leaks;
pub use link::{add_address, bridge, veth};
pub use netns::Netns;
pub use nginx::{Nginx, nginx_folders};
pub use pins::link_ids;
pub use process::Process;
pub use prometheus::Prometheus;
pub use scrape::Scrape;
pub use tag::Tag;
pub use wait::{eventually, holds_for};
