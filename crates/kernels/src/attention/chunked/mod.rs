//! Attention a few query rows at a time, for every device but the CPU: what is in memory at once, and what is kept for the
//! backward pass, grows with the rows and not with their square.
//!
//! The formulas are those of `attention/cpu/kernel.rs`, written in primitives of Burn's backends. A chunk is as many query rows as
//! give a set number of scores, so short sequences pass in one.

mod blocks;
mod ops;

pub(crate) use ops::ChunkedAttention;
