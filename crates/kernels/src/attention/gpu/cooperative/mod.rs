//! Scores in shared memory: for tensor cores whose fragments no one may look into, which every device with cooperative
//! matrices has.
//!
//! Each unit masks and weighs its part of a row of scores on its way from one product to the next. A fragment cannot be
//! rescaled row by row, so the forward pass subtracts from the scores of a row the largest of its first tile, and takes the
//! detour through shared memory only where a later score exceeds that by so much that its weight could overflow.
//!
//! | file | what |
//! |---|---|
//! | [`tile`] | multiplying and storing tiles |
//! | [`weigh`] | from scores to weights |
//! | [`forward`], [`backward`] | the kernels |

pub(super) mod backward;
pub(super) mod forward;
mod tile;
mod weigh;
