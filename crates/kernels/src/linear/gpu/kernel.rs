//! A tiled product on tensor cores.
//!
//! A cube makes one tile of the product. Its units load the next tiles of both factors into registers while its
//! planes multiply those in shared memory; the two halves of shared memory take turns. A factor may lie row by row or column
//! by column, so no product of the backward pass needs a transposed copy.

use burn::tensor::DType;
use burn_cubecl::tensor::CubeTensor;
use cubecl::cmma::{self, Matrix, MatrixIdent, MatrixLayout};
use cubecl::ir::ElemType;
use cubecl::prelude::*;

use super::plan::{MatmulPlan, Order, Side};
use crate::gpu::launch::{dims, elem, grid, output};

/// A stretch of a matrix, by lines: where it begins, and where the matrix ends.
#[derive(CubeType, Clone, Copy)]
struct Window {
    line: usize,
    place: usize,
    last_line: usize,
    last_place: usize,
    /// From line to line.
    pitch: usize,
}

/// Loads a unit's vectors of a tile into registers; what lies beyond the matrix is zero.
#[cube]
fn fetch<G: Float, F: Float, N: Size>(
    source: &[Vector<G, N>],
    window: &Window,
    target: &mut Array<Vector<F, N>>,
    #[comptime] side: Side,
    #[comptime] units: usize,
) {
    let width = comptime!(side.length / side.vector);
    #[unroll]
    for index in 0..comptime!(side.loads(units)) {
        let at = UNIT_POS as usize + comptime!(index * units);
        let line = window.line + at / width;
        let place = window.place + at % width * comptime!(side.vector);
        let mut value = Vector::<F, N>::new(F::new(0.0));
        if line < window.last_line && place < window.last_place {
            value = Vector::cast_from(source[(line * window.pitch + place) / comptime!(side.vector)]);
        }
        target[index] = value;
    }
}

/// Puts them into one half of shared memory.
#[cube]
fn put<F: Float, N: Size>(
    source: &Array<Vector<F, N>>,
    target: &mut Shared<[Vector<F, N>]>,
    half: usize,
    #[comptime] side: Side,
    #[comptime] units: usize,
) {
    let width = comptime!(side.length / side.vector);
    #[unroll]
    for index in 0..comptime!(side.loads(units)) {
        let at = UNIT_POS as usize + comptime!(index * units);
        let place = half * comptime!(side.vectors()) + at / width * comptime!(side.stride() / side.vector) + at % width;
        target[place] = source[index];
    }
}

#[cube]
fn fragment<F: Float, N: Size>(
    tile: &Shared<[Vector<F, N>]>,
    half: usize,
    row: usize,
    column: usize,
    #[comptime] ident: MatrixIdent,
    #[comptime] side: Side,
    #[comptime] plan: MatmulPlan,
) -> Matrix<F> {
    let layout = comptime!(match side.order {
        Order::Rows => MatrixLayout::RowMajor,
        Order::Columns => MatrixLayout::ColMajor,
    });
    let mut fragment =
        unsafe { Matrix::<F>::uninitialized(ident, comptime!(plan.m), comptime!(plan.n), comptime!(plan.k), layout) };
    let mut place = row * comptime!(side.stride()) + column;
    if comptime!(side.order == Order::Columns) {
        place = column * comptime!(side.stride()) + row;
    }
    let first = half * comptime!(side.vectors()) + place / comptime!(side.vector);
    cmma::load(&mut fragment, &tile[first..comptime!(2 * side.vectors())], comptime!(side.stride() as u32));
    fragment
}

/// `sums ← sums + a · b` over the depth of a tile.
#[cube]
fn multiply_tile<F: Float, NA: Size, NB: Size>(
    a: &Shared<[Vector<F, NA>]>,
    b: &Shared<[Vector<F, NB>]>,
    half: usize,
    sums: &Sequence<Matrix<f32>>,
    #[comptime] plan: MatmulPlan,
) {
    let down = comptime!(plan.fragments()[0]);
    let across = comptime!(plan.fragments()[1]);
    let plane = PLANE_POS as usize;
    let row = plane / comptime!(plan.planes[1]) * comptime!(down * plan.m);
    let column = plane % comptime!(plan.planes[1]) * comptime!(across * plan.n);
    #[unroll]
    for step in 0..comptime!(plan.depth / plan.k) {
        let depth = comptime!(step * plan.k).runtime();
        let mut rights = Sequence::<Matrix<F>>::new();
        #[unroll]
        for index in 0..across {
            let at = column + comptime!(index * plan.n);
            rights.push(fragment(b, half, depth, at, MatrixIdent::B, comptime!(plan.b), plan));
        }
        #[unroll]
        for index in 0..down {
            let left =
                fragment(a, half, row + comptime!(index * plan.m), depth, MatrixIdent::A, comptime!(plan.a), plan);
            #[unroll]
            for other in 0..across {
                let sum = sums.index(comptime!(index * across + other));
                cmma::execute(&left, rights.index(other), sum, sum);
            }
        }
    }
}

/// Writes a plane's part of the tile, fragment by fragment, by way of shared memory.
#[cube]
fn write<O: Float, NO: Size>(
    sums: &Sequence<Matrix<f32>>,
    out: &mut [Vector<O, NO>],
    start: usize,
    rows: usize,
    columns: usize,
    #[comptime] plan: MatmulPlan,
) {
    let down = comptime!(plan.fragments()[0]);
    let across = comptime!(plan.fragments()[1]);
    let plane = PLANE_POS as usize;
    let row = CUBE_POS_Y as usize * comptime!(plan.rows) + plane / comptime!(plan.planes[1]) * comptime!(down * plan.m);
    let column =
        CUBE_POS_X as usize * comptime!(plan.columns) + plane % comptime!(plan.planes[1]) * comptime!(across * plan.n);
    let mut patches =
        Shared::<[Vector<f32, NO>]>::new_slice(comptime!(plan.patch() * plan.planes[0] * plan.planes[1] / plan.vector));
    let first = plane * comptime!(plan.patch() / plan.vector);
    let width = comptime!(plan.n / plan.vector);
    #[unroll]
    for index in 0..down {
        #[unroll]
        for other in 0..across {
            let sum = sums.index(comptime!(index * across + other));
            let last = first + comptime!(plan.patch() / plan.vector);
            cmma::store(&mut patches[first..last], sum, comptime!(plan.patch_stride() as u32), MatrixLayout::RowMajor);
            sync_plane();
            let mut at = UNIT_POS_PLANE as usize;
            while at < comptime!(plan.m) * width {
                let (y, x) = (row + comptime!(index * plan.m) + at / width, column + comptime!(other * plan.n));
                let x = x + at % width * comptime!(plan.vector);
                if y < rows && x < columns {
                    let value = patches[first + at / width * comptime!(plan.patch_stride() / plan.vector) + at % width];
                    out[(start + y * columns + x) / comptime!(plan.vector)] = Vector::cast_from(value);
                }
                at += PLANE_DIM as usize;
            }
            sync_plane();
        }
    }
}

#[cube(launch_unchecked)]
fn multiply<GA: Float, GB: Float, F: Float, O: Float, NA: Size, NB: Size, NO: Size>(
    a: &[Vector<GA, NA>],
    b: &[Vector<GB, NB>],
    out: &mut [Vector<O, NO>],
    rows: u32,
    columns: u32,
    depth: u32,
    #[comptime] plan: MatmulPlan,
    #[define(GA, GB, F, O)] _dtypes: [ElemType; 4],
) {
    let (rows, columns, depth) = (rows as usize, columns as usize, depth as usize);
    // This cube's part of the depth, in tiles.
    let tiles = (depth + comptime!(plan.depth - 1)) / comptime!(plan.depth);
    let share = (tiles + comptime!(plan.parts - 1)) / comptime!(plan.parts);
    let first = min(CUBE_POS_Z as usize * share, tiles);
    let last = min(first + share, tiles);

    let mut tile_a = Shared::<[Vector<F, NA>]>::new_slice(comptime!(2 * plan.a.vectors()));
    let mut tile_b = Shared::<[Vector<F, NB>]>::new_slice(comptime!(2 * plan.b.vectors()));
    let mut next_a = Array::<Vector<F, NA>>::new(comptime!(plan.a.loads(plan.units)));
    let mut next_b = Array::<Vector<F, NB>>::new(comptime!(plan.b.loads(plan.units)));
    let mut sums = Sequence::<Matrix<f32>>::new();
    #[unroll]
    for _index in 0..comptime!(plan.fragments()[0] * plan.fragments()[1]) {
        sums.push(Matrix::<f32>::from_value(
            MatrixIdent::Accumulator,
            comptime!(plan.m),
            comptime!(plan.n),
            comptime!(plan.k),
            MatrixLayout::Undefined,
            0f32,
        ));
    }

    let (row, column) = (CUBE_POS_Y as usize * comptime!(plan.rows), CUBE_POS_X as usize * comptime!(plan.columns));
    if first < last {
        let start = first * comptime!(plan.depth);
        fetch(
            a,
            &window(row, start, rows, depth, comptime!(plan.a)),
            &mut next_a,
            comptime!(plan.a),
            comptime!(plan.units),
        );
        fetch(
            b,
            &window(start, column, depth, columns, comptime!(plan.b)),
            &mut next_b,
            comptime!(plan.b),
            comptime!(plan.units),
        );
        put(&next_a, &mut tile_a, 0usize, comptime!(plan.a), comptime!(plan.units));
        put(&next_b, &mut tile_b, 0usize, comptime!(plan.b), comptime!(plan.units));
        sync_cube();
    }
    for tile in first..last {
        let half = (tile - first) % 2;
        let start = (tile + 1) * comptime!(plan.depth);
        if tile + 1 < last {
            fetch(
                a,
                &window(row, start, rows, depth, comptime!(plan.a)),
                &mut next_a,
                comptime!(plan.a),
                comptime!(plan.units),
            );
            fetch(
                b,
                &window(start, column, depth, columns, comptime!(plan.b)),
                &mut next_b,
                comptime!(plan.b),
                comptime!(plan.units),
            );
        }
        multiply_tile(&tile_a, &tile_b, half, &sums, plan);
        if tile + 1 < last {
            put(&next_a, &mut tile_a, 1 - half, comptime!(plan.a), comptime!(plan.units));
            put(&next_b, &mut tile_b, 1 - half, comptime!(plan.b), comptime!(plan.units));
        }
        sync_cube();
    }
    write(&sums, out, CUBE_POS_Z as usize * rows * columns, rows, columns, plan);
}

/// The stretch of a factor `[rows, columns]` that begins at `row` and `column`.
#[cube]
fn window(row: usize, column: usize, rows: usize, columns: usize, #[comptime] side: Side) -> Window {
    if comptime!(side.order == Order::Rows) {
        Window { line: row, place: column, last_line: rows, last_place: columns, pitch: columns }
    } else {
        Window { line: column, place: row, last_line: columns, last_place: rows, pitch: rows }
    }
}

#[cube(launch_unchecked)]
fn add_parts<O: Float, N: Size>(
    parts: &[Vector<f32, N>],
    sums: &mut [Vector<O, N>],
    #[comptime] count: usize,
    #[define(O)] _dtype: ElemType,
) {
    let length = sums.len();
    if ABSOLUTE_POS < length {
        let mut sum = parts[ABSOLUTE_POS];
        #[unroll]
        for part in 1..count {
            sum += parts[part * length + ABSOLUTE_POS];
        }
        sums[ABSOLUTE_POS] = Vector::cast_from(sum);
    }
}

/// The parts of a product added up, always in the same order.
fn sum_of_parts(parts: CubeTensor, shape: [usize; 2], out: DType, plan: MatmulPlan) -> CubeTensor {
    let sums = output(&parts, shape, out);
    let (cubes, dim) = grid(&parts, shape[0] * shape[1] / plan.vector);
    // SAFETY: see [`crate::gpu`].
    unsafe {
        add_parts::launch_unchecked(
            &parts.client.clone(),
            cubes,
            dim,
            plan.vector,
            parts.into_buffer_arg(),
            sums.clone().into_buffer_arg(),
            plan.parts,
            elem(out),
        );
    }
    sums
}

/// `a · b` as `out`.
pub(super) fn product(a: CubeTensor, b: CubeTensor, out: DType, plan: MatmulPlan) -> CubeTensor {
    let (a, b) = (super::plan::dense(a), super::plan::dense(b));
    let ([rows, depth], columns) = ([dims(&a)[0], dims(&a)[1]], dims(&b)[1]);
    let dtype = if plan.parts > 1 { DType::F32 } else { out };
    let result = output(&a, [plan.parts * rows, columns], dtype);
    let cubes =
        CubeCount::Static(columns.div_ceil(plan.columns) as u32, rows.div_ceil(plan.rows) as u32, plan.parts as u32);
    let dtypes = [elem(a.dtype), elem(b.dtype), plan.factor, elem(dtype)];
    // SAFETY: every unit compares its places with the ends of the matrices before it reads or writes.
    unsafe {
        multiply::launch_unchecked(
            &a.client.clone(),
            cubes,
            CubeDim::new_1d(plan.units as u32),
            plan.a.vector,
            plan.b.vector,
            plan.vector,
            a.into_buffer_arg(),
            b.into_buffer_arg(),
            result.clone().into_buffer_arg(),
            rows as u32,
            columns as u32,
            depth as u32,
            plan,
            dtypes,
        );
    }
    if plan.parts == 1 {
        return result;
    }
    sum_of_parts(result, [rows, columns], out, plan)
}
