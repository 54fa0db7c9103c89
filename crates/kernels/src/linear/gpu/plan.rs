//! Tile and fragment sizes of a product on a device.

use burn::tensor::DType;
use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::tensor::CubeTensor;
use cubecl::ir::ElemType;
use cubecl::prelude::*;

use crate::gpu::launch::{dims, elem, fragment_sizes};

/// What a row of a tile is longer than its elements, so that neighbouring rows lie in different banks.
const PADDING: usize = 8;

/// Depth of a tile.
const DEPTH: usize = 32;

/// Planes of a cube along rows and columns: each has a square of the tile, so that it loads least for what it multiplies.
const PLANES: [usize; 2] = [2, 2];

/// Whether the rows or the columns of a matrix lie side by side in memory.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq)]
pub(super) enum Order {
    Rows,
    Columns,
}

/// One factor's tile as it lies in memory: lines that are contiguous.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq)]
pub(super) struct Side {
    pub(super) order: Order,
    /// Lines of a tile.
    pub(super) lines: usize,
    /// Elements of a line.
    pub(super) length: usize,
    /// Elements that are loaded at once.
    pub(super) vector: usize,
}

impl Side {
    /// `rows`, `columns` of a tile.
    fn new(order: Order, rows: usize, columns: usize, vector: usize) -> Self {
        let (lines, length) = match order {
            Order::Rows => (rows, columns),
            Order::Columns => (columns, rows),
        };
        Self { order, lines, length, vector }
    }

    /// From line to line in shared memory.
    pub(super) fn stride(&self) -> usize {
        self.length + PADDING
    }

    /// Vectors of a tile in shared memory.
    pub(super) fn vectors(&self) -> usize {
        self.lines * self.stride() / self.vector
    }

    /// Vectors that each of `units` loads.
    pub(super) fn loads(&self, units: usize) -> usize {
        self.lines * self.length / self.vector / units
    }
}

/// Everything that the kernel is compiled for.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq)]
pub(super) struct MatmulPlan {
    /// The tile of the product that a cube makes, `[rows, columns]`, `depth` of the factors at a time.
    pub(super) rows: usize,
    pub(super) columns: usize,
    pub(super) depth: usize,
    /// Planes of a cube along rows and columns of its tile.
    pub(super) planes: [usize; 2],
    /// A product of fragments is `[m, k] · [k, n]`.
    pub(super) m: usize,
    pub(super) n: usize,
    pub(super) k: usize,
    pub(super) units: usize,
    pub(super) a: Side,
    pub(super) b: Side,
    /// Elements of the product that are written at once.
    pub(super) vector: usize,
    pub(super) factor: ElemType,
    /// Parts into which the depth is cut, to be added up.
    pub(super) parts: usize,
}

impl MatmulPlan {
    /// `None` where the device has no tensor cores for factors of `compute`, or the matrices are too small for tiles.
    pub(super) fn new(a: &CubeTensor, b: &CubeTensor, compute: DType) -> Option<Self> {
        let ([m, k], n) = ([dims(a)[0], dims(a)[1]], dims(b)[1]);
        if compute == DType::F32 || m.min(n).min(k) == 0 {
            return None;
        }
        let factor = elem(compute);
        let properties = a.client.properties();
        let hardware = &properties.hardware;
        let sizes = fragment_sizes(properties, factor).into_iter();
        // Square ones where there are any: their rows lie as shared memory likes best.
        let fragment = sizes.max_by_key(|size| (size[0] == size[1], *size))?;
        let wide = a.client.io_optimized_vector_sizes(2).any(|size| size == 8);
        let side = |size: usize| if size > 64 { 128 } else { 64 };
        // Small fragments are those of software and of small devices: many of them make a long program.
        let largest = if fragment[0] < 16 { [32, 32] } else { [side(m), side(n)] };
        let candidates = [largest, [64, 64], [32, 32]];
        candidates.into_iter().find_map(|[rows, columns]| {
            let plan = Self::of_tile([rows, columns], fragment, hardware.plane_size_max as usize);
            let line = |order, rows: usize, columns: usize| if order == Order::Rows { columns } else { rows };
            let (order_a, order_b) = (order(a)?, order(b)?);
            let widest = |x: &CubeTensor| if wide && x.dtype.size() == 2 { 8 } else { 4 };
            let (vector_a, vector_b) = (vector(line(order_a, m, k), widest(a)), vector(line(order_b, k, n), widest(b)));
            let plan = Self {
                a: Side::new(order_a, rows, plan.depth, vector_a),
                b: Side::new(order_b, plan.depth, columns, vector_b),
                vector: vector(n, 4),
                factor,
                ..plan
            };
            let fits = plan.shared_bytes() <= hardware.max_shared_memory_size
                && plan.units <= hardware.max_units_per_cube as usize
                && rows.is_multiple_of(plan.planes[0] * plan.m)
                && columns.is_multiple_of(plan.planes[1] * plan.n)
                && plan.depth.is_multiple_of(plan.k)
                && plan.a.loads(plan.units) > 0
                && plan.b.loads(plan.units) > 0;
            let cubes = m.div_ceil(rows) * n.div_ceil(columns);
            let processors = hardware.num_streaming_multiprocessors.unwrap_or(32) as usize;
            // Too few tiles to fill the device: several cubes share one, each a part of the depth.
            let parts = (2 * processors / cubes).clamp(1, (k / 512).max(1));
            fits.then_some(Self { parts, ..plan })
        })
    }

    fn of_tile([rows, columns]: [usize; 2], [m, n, k]: [usize; 3], plane: usize) -> Self {
        let none = Side { order: Order::Rows, lines: 0, length: 0, vector: 1 };
        Self {
            rows,
            columns,
            depth: DEPTH,
            planes: PLANES,
            m,
            n,
            k,
            units: PLANES[0] * PLANES[1] * plane,
            a: none,
            b: none,
            vector: 1,
            factor: f32::elem_type_native(),
            parts: 1,
        }
    }

    /// Two stages of both factors' tiles, and a fragment of each plane on its way out.
    fn shared_bytes(&self) -> usize {
        let tile = |side: &Side| self.factor.size() * side.lines * side.stride();
        2 * (tile(&self.a) + tile(&self.b)) + 4 * self.patch() * self.planes[0] * self.planes[1]
    }

    /// Elements of a fragment on its way out.
    pub(super) fn patch(&self) -> usize {
        self.m * self.patch_stride()
    }

    pub(super) fn patch_stride(&self) -> usize {
        self.n + 4
    }

    /// Fragments of a plane along rows and columns.
    pub(super) fn fragments(&self) -> [usize; 2] {
        [self.rows / self.planes[0] / self.m, self.columns / self.planes[1] / self.n]
    }
}

/// The largest power of two up to `most` that divides `length`.
fn vector(length: usize, most: usize) -> usize {
    (0..4).map(|power| 1 << power).filter(|size| *size <= most && length.is_multiple_of(*size)).max().unwrap_or(1)
}

/// How a matrix without gaps lies in memory.
pub(super) fn order(x: &CubeTensor) -> Option<Order> {
    let (shape, strides) = (dims(x), x.meta.strides());
    if strides[1] == 1 && strides[0] == shape[1] {
        Some(Order::Rows)
    } else if strides[0] == 1 && strides[1] == shape[0] {
        Some(Order::Columns)
    } else {
        None
    }
}

/// The same matrix without gaps.
pub(super) fn dense(x: CubeTensor) -> CubeTensor {
    if order(&x).is_some() { x } else { into_contiguous(x) }
}
