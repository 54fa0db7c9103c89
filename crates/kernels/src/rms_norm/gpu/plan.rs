//! How rows are shared out.

use burn_cubecl::tensor::CubeTensor;
use cubecl::prelude::*;

use crate::gpu::launch::{UNITS, has_planes, vector_size};

/// Rows that are normed at once.
pub(super) const MOST_CUBES: usize = 1 << 14;

/// Elements of the last axis.
pub(super) fn width(x: &CubeTensor) -> usize {
    x.meta.shape().iter().last().copied().unwrap_or(1)
}

/// How the units of a cube share out a row.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq)]
pub(super) struct RowPlan {
    /// Elements of a row.
    pub(super) width: usize,
    /// Vectors of a row.
    pub(super) vectors: usize,
    /// Units of the cube.
    pub(super) units: usize,
    /// Vectors of each unit; the last may lie beyond the row.
    pub(super) per_unit: usize,
    /// See [`has_planes`].
    pub(super) planes: bool,
}

impl RowPlan {
    pub(super) fn new(x: &CubeTensor, width: usize) -> Self {
        let vectors = width / vector_size(width);
        let units = (vectors.div_ceil(4).next_power_of_two()).clamp(32, UNITS as usize);
        Self { width, vectors, units, per_unit: vectors.div_ceil(units), planes: has_planes(x) }
    }

    pub(super) fn cube_dim(&self) -> CubeDim {
        CubeDim::new_1d(self.units as u32)
    }
}

/// A grid of at most `most` cubes over `rows` rows, which they take in turn.
pub(super) fn row_grid(rows: usize, most: usize) -> (usize, CubeCount) {
    let cubes = rows.clamp(1, most);
    (cubes, CubeCount::Static(cubes as u32, 1, 1))
}
