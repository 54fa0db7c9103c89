//! Scores in registers: for tensor cores of which it is known what element each unit holds (`mma.sync` of NVIDIA's).
//!
//! What a product leaves in the registers of a plane is masked and weighed there, and is in the right place to be a factor of
//! the next: the way of FlashAttention-2 (Dao, 2307.08691). Each of the cube's planes owns 16 rows of the tile.
//!
//! | file | what |
//! |---|---|
//! | [`fragments`] | who holds what, and the two products |
//! | [`forward`], [`backward`] | the kernels |

pub(super) mod backward;
pub(super) mod forward;
mod fragments;

/// Elements that a unit holds side by side.
pub(super) const PAIR: usize = 2;
