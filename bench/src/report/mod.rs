//! How results are shown.

pub mod document;
mod markdown;
mod picture;
mod text;

pub use text::{print, print_goals};
