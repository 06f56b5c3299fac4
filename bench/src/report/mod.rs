//! How results are shown.

mod text;

pub use text::print;
