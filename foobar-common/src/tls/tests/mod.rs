//! Conversations made of records, read in every way that they may be cut.

mod conversation;
mod cut;
mod failures;
mod hellos;
mod mistakes;
mod names;
mod quic;
mod turns;
