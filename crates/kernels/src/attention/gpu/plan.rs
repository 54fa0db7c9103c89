//! Tile and fragment sizes of attention on a device.

use std::sync::OnceLock;

use burn::tensor::Tensor;
use cubecl::features::MmaConfig;
use cubecl::ir::ElemType;
use cubecl::prelude::*;

use crate::gpu::cube_device;
use crate::gpu::launch::{elem, fragment_sizes};

/// Elements of a vector in shared memory where scores lie there too.
pub(super) const VECTOR: usize = 4;

/// Where the scores of two tiles are, and so which kernels there are for them.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq)]
pub(super) enum Scores {
    /// See [`super::cooperative`].
    InSharedMemory,
    /// See [`super::registers`].
    InRegisters,
}

/// What a row of a tile is longer than its elements, so that the units of a plane meet different banks.
const PADDING: usize = 8;

/// Everything that a kernel of attention is compiled for.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq)]
pub(crate) struct FlashPlan {
    pub(super) scores: Scores,
    /// Elements of a vector of a tile of heads.
    pub(super) vector: usize,
    /// Rows of a tile.
    pub(super) rows: usize,
    /// Width of a head.
    pub(super) head_dim: usize,
    /// Query heads.
    pub(super) heads: usize,
    /// Query heads that share a key head.
    pub(super) group: usize,
    /// A product of fragments is `[m, k] · [k, n]`.
    pub(super) m: usize,
    pub(super) n: usize,
    pub(super) k: usize,
    /// Planes of a cube; each has as many blocks of `m` rows.
    pub(super) planes: usize,
    /// Units of a cube.
    pub(super) units: usize,
    /// Bytes of a factor.
    pub(super) factor_bytes: usize,
    /// Whether keys are hidden, as [`super::hidden`] has it.
    pub(super) hides: bool,
}

impl FlashPlan {
    /// `None` where the device has no tensor cores that fit queries `[B, Sq, H, Dh]` and keys `[B, Sk, G, Dh]`, of which some may
    /// be hidden.
    pub(crate) fn new(q: &Tensor<4>, k: &Tensor<4>, hides: bool) -> Option<Self> {
        let ([_, _, heads, head_dim], [_, _, kv_heads, _]) = (q.dims(), k.dims());
        let group = heads / kv_heads.max(1);
        let client = cube_device(&q.device())?.client();
        let device = client.properties();
        let (element, shape) = (elem(q.dtype()), HeadShape { head_dim, heads, group, hides });
        // Those kernels know of no hidden keys.
        let in_registers = (registers_are_asked_for() && !hides).then(|| shape.in_registers(device, element)).flatten();
        in_registers.or_else(|| shape.in_shared_memory(device, element))
    }

    /// The most that a kernel of this plan takes: three tiles of heads, one of scores, and what belongs to its rows.
    fn shared_bytes(&self) -> usize {
        let numbers = 5 + usize::from(self.hides);
        self.rows * (3 * self.factor_bytes * self.wide_stride() + 4 * self.wide_stride() + 4 * numbers) + 64
    }

    /// Rows of a tile.
    pub(crate) fn tile_rows(&self) -> usize {
        self.rows
    }

    /// From row to row of a tile of heads.
    pub(super) fn head_stride(&self) -> usize {
        self.head_dim + PADDING
    }

    /// From row to row of a tile of weights.
    pub(super) fn weight_stride(&self) -> usize {
        self.rows + PADDING
    }

    /// From row to row of a tile that serves for both in turn.
    pub(super) fn wide_stride(&self) -> usize {
        self.head_stride().max(self.weight_stride())
    }

    /// Vectors of a tile of heads that each unit loads.
    pub(super) fn loads(&self) -> usize {
        self.rows * self.head_dim / self.vector / self.units
    }

    /// Blocks of `m` rows of each plane.
    pub(super) fn blocks(&self) -> usize {
        self.rows / self.m / self.planes
    }

    /// Units that share a row of scores.
    pub(super) fn units_per_row(&self) -> usize {
        (self.units / self.rows).max(1)
    }

    /// Rows of scores of each unit.
    pub(super) fn rows_per_unit(&self) -> usize {
        (self.rows / self.units).max(1)
    }

    /// Vectors of a row of scores of each unit.
    pub(super) fn vectors_per_unit(&self) -> usize {
        self.rows / VECTOR / self.units_per_row()
    }

    /// Numbers of a tile's keys, or of its queries where there are two arrays for them: one each, and where keys are hidden the
    /// second of each behind the first of all.
    pub(super) fn row_numbers(&self) -> usize {
        if self.hides { 2 * self.rows } else { self.rows }
    }

    /// Scores that a unit holds.
    pub(super) fn scores_per_unit(&self) -> usize {
        self.rows_per_unit() * self.vectors_per_unit()
    }

    /// What scores are multiplied by, `1 / √Dh`.
    pub(super) fn scale(&self) -> f32 {
        1.0 / (self.head_dim as f32).sqrt()
    }

    /// Tiles of `rows` rows.
    pub(super) fn tiles(&self, rows: usize) -> usize {
        rows.div_ceil(self.rows)
    }

    pub(super) fn cube_dim(&self) -> CubeDim {
        CubeDim::new_1d(self.units as u32)
    }
}

/// Whether `INTERFUSE_ATTENTION` says `registers`. Not the default as long as those kernels have met no device: they compile
/// for one, and that is all that is known of them.
fn registers_are_asked_for() -> bool {
    static ASKED: OnceLock<bool> = OnceLock::new();
    *ASKED.get_or_init(|| std::env::var("INTERFUSE_ATTENTION").is_ok_and(|kind| kind == "registers"))
}

/// What a plan is made for.
#[derive(Clone, Copy)]
struct HeadShape {
    head_dim: usize,
    heads: usize,
    group: usize,
    hides: bool,
}

impl HeadShape {
    /// Where it is known what element of a fragment each unit holds; 16 rows for each of four planes.
    fn in_registers(self, device: &DeviceProperties, element: ElemType) -> Option<FlashPlan> {
        let [m, n, k] = [16, 8, 16];
        let sum = f32::elem_type_native();
        let config = MmaConfig { a_type: element, b_type: element, cd_type: sum, m: 16, n: 8, k: 16 };
        let matmul = &device.features.matmul;
        let plane = device.hardware.plane_size_max as usize;
        // Wider heads would need more registers than a unit has.
        let fits = self.head_dim.is_multiple_of(k) && self.head_dim <= 64;
        let plan = FlashPlan {
            scores: Scores::InRegisters,
            vector: 8,
            rows: 64,
            head_dim: self.head_dim,
            heads: self.heads,
            group: self.group,
            m,
            n,
            k,
            planes: 4,
            units: 4 * plane,
            factor_bytes: element.size(),
            hides: self.hides,
        };
        let is_known = plane == 32 && matmul.mma.contains(&config) && matmul.ldmatrix.contains(&element);
        (fits && is_known).then_some(plan)
    }

    /// The largest tiles, and of these the fragments that every tensor core is best at.
    fn in_shared_memory(self, device: &DeviceProperties, element: ElemType) -> Option<FlashPlan> {
        let plane = device.hardware.plane_size_max as usize;
        let sizes = fragment_sizes(device, element);
        let plan = |rows: usize, [m, n, k]: [usize; 3]| {
            let planes = (rows / m.max(1)).min(4);
            let fits = [m, n, k].iter().all(|size| rows.is_multiple_of(*size))
                && [n, k].iter().all(|size| self.head_dim.is_multiple_of(*size))
                && (rows * self.head_dim / VECTOR).is_multiple_of(planes * plane);
            let plan = FlashPlan {
                scores: Scores::InSharedMemory,
                vector: VECTOR,
                rows,
                head_dim: self.head_dim,
                heads: self.heads,
                group: self.group,
                m,
                n,
                k,
                planes,
                units: planes * plane,
                factor_bytes: element.size(),
                hides: self.hides,
            };
            (fits && plan.shared_bytes() <= device.hardware.max_shared_memory_size).then_some(plan)
        };
        let plans = [64, 32, 16].into_iter().flat_map(|rows| sizes.iter().map(move |size| (rows, *size)));
        plans.filter_map(|(rows, size)| plan(rows, size)).max_by_key(|plan| (plan.rows, plan.m == plan.n, plan.m))
    }
}
