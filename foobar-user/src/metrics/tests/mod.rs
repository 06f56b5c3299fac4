//! The page as a whole: what is on it, how much, and whether others can read it.

mod bounds;
mod catalogue;
mod connections;
mod filter;
mod program;
mod promtool;
mod reference;
mod sampler;
pub mod site;
pub mod text;
mod tls;
