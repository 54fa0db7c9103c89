//! Ranged attention in tiles on tensor cores: no score leaves a cube, and tiles in which nobody sees anybody are skipped.
//!
//! Dimensions: `B` batch, `Sq` query rows, `Sk` key rows, `H` query heads, `G` key/value heads, `Dh` width of a head, `T` rows
//! of a tile.
//!
//! A cube owns the rows of one tile and streams the tiles of the other side past them. Scores pass through shared memory,
//! where each unit masks and weighs its part of a row; fragments of the tensor cores are never taken apart, so every device
//! with cooperative matrices serves. Such a fragment cannot be rescaled row by row, so the forward pass subtracts from the
//! scores of a row the largest of its first tile, and takes the detour through shared memory only where a later score
//! exceeds that by so much that its weight could overflow.
//!
//! | file | what |
//! |---|---|
//! | [`plan`] | tile and fragment sizes on a device |
//! | [`ranges`] | the three integers of each row, and the bounds of each tile |
//! | [`tile`] | loading, multiplying and storing tiles |
//! | [`weigh`] | from scores to weights |
//! | [`forward`], [`backward`] | the passes |

#![allow(unsafe_code)] // Launches; see [`crate::gpu`].

pub(crate) mod backward;
pub(crate) mod forward;
pub(crate) mod plan;
pub(crate) mod ranges;
mod tile;
mod weigh;
