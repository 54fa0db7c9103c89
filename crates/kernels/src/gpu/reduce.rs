//! Sums over the units of a cube, and over the rows of partial results.

use burn::tensor::DType;
use burn_cubecl::tensor::CubeTensor;
use cubecl::prelude::*;

use super::launch::{UNITS, dims, has_planes, output};

/// The sum of `value` over all units of the cube, for every one of them. `shared` has an element for each unit.
#[cube]
pub(crate) fn cube_sum(
    value: f32,
    shared: &mut Shared<[f32]>,
    #[comptime] units: usize,
    #[comptime] planes: bool,
) -> f32 {
    // Whoever still reads the sum before is done first.
    sync_cube();
    let mut sum = 0f32;
    if comptime!(planes) {
        let part = plane_sum(value);
        if UNIT_POS_PLANE == 0 {
            shared[PLANE_POS as usize] = part;
        }
        sync_cube();
        let count = CUBE_DIM.div_ceil(PLANE_DIM);
        for plane in 0..count {
            sum += shared[plane as usize];
        }
    } else {
        shared[UNIT_POS as usize] = value;
        sync_cube();
        for unit in 0..units {
            sum += shared[unit];
        }
    }
    sum
}

/// As [`cube_sum`], the largest value.
#[cube]
pub(crate) fn cube_max(
    value: f32,
    shared: &mut Shared<[f32]>,
    #[comptime] units: usize,
    #[comptime] planes: bool,
) -> f32 {
    sync_cube();
    let mut peak = value;
    if comptime!(planes) {
        let part = plane_max(value);
        if UNIT_POS_PLANE == 0 {
            shared[PLANE_POS as usize] = part;
        }
        sync_cube();
        let count = CUBE_DIM.div_ceil(PLANE_DIM);
        for plane in 0..count {
            peak = max(peak, shared[plane as usize]);
        }
    } else {
        shared[UNIT_POS as usize] = value;
        sync_cube();
        for unit in 0..units {
            peak = max(peak, shared[unit]);
        }
    }
    peak
}

const COLUMNS: usize = 32;
const RUNS: usize = 8;

/// Each cube adds up 32 columns, in 8 runs of rows.
#[cube(launch_unchecked)]
fn sum_columns(parts: &[f32], sums: &mut [f32], #[comptime] columns: usize, #[comptime] runs: usize) {
    let mut shared = Shared::<[f32]>::new_slice(columns * runs);
    let (x, y) = (UNIT_POS_X as usize, UNIT_POS_Y as usize);
    let width = sums.len();
    let column = CUBE_POS * columns + x;
    let rows = parts.len() / width;
    let mut sum = 0f32;
    if column < width {
        let mut row = y;
        while row < rows {
            sum += parts[row * width + column];
            row += runs;
        }
    }
    shared[y * columns + x] = sum;
    sync_cube();
    if y == 0 && column < width {
        let mut total = 0f32;
        #[unroll]
        for run in 0..runs {
            total += shared[run * columns + x];
        }
        sums[column] = total;
    }
}

/// `[P, D]` → `[D]`, in an order that does not change from run to run.
pub(crate) fn column_sums(parts: CubeTensor) -> CubeTensor {
    let width = dims(&parts)[1];
    let sums = output(&parts, [width], DType::F32);
    // SAFETY: see [`crate::gpu`].
    unsafe {
        sum_columns::launch_unchecked(
            &parts.client.clone(),
            CubeCount::Static(width.div_ceil(COLUMNS) as u32, 1, 1),
            CubeDim::new_2d(COLUMNS as u32, RUNS as u32),
            parts.into_buffer_arg(),
            sums.clone().into_buffer_arg(),
            COLUMNS,
            RUNS,
        )
    }
    sums
}

/// One cube for each row.
#[cube(launch_unchecked)]
fn sum_rows(parts: &[f32], sums: &mut [f32], #[comptime] units: usize, #[comptime] planes: bool) {
    let mut shared = Shared::<[f32]>::new_slice(units);
    let width = parts.len() / sums.len();
    let mut at = UNIT_POS as usize;
    let mut sum = 0f32;
    while at < width {
        sum += parts[CUBE_POS * width + at];
        at += units;
    }
    let total = cube_sum(sum, &mut shared, units, planes);
    if UNIT_POS == 0 {
        sums[CUBE_POS] = total;
    }
}

/// `[R, P]` → `[R]`, for few rows.
pub(crate) fn row_sums(parts: CubeTensor) -> CubeTensor {
    let rows = dims(&parts)[0];
    let sums = output(&parts, [rows], DType::F32);
    let planes = has_planes(&parts);
    // SAFETY: see [`crate::gpu`].
    unsafe {
        sum_rows::launch_unchecked(
            &parts.client.clone(),
            CubeCount::Static(rows as u32, 1, 1),
            CubeDim::new_1d(UNITS),
            parts.into_buffer_arg(),
            sums.clone().into_buffer_arg(),
            UNITS as usize,
            planes,
        )
    }
    sums
}
