//! Rotation of heads by their row's angles, with or without a norm of each head before it.
//!
//! Dimensions: `half` pairs of channels of a head. A cube holds some heads side by side, a unit for each pair.
//!
//! ```text
//! (y_a, y_b) = (n_a cos − n_b sin, n_b cos + n_a sin)        n = x · r · w, or x
//! ```

use burn::tensor::DType;
use burn_cubecl::tensor::CubeTensor;
use cubecl::ir::ElemType;
use cubecl::prelude::*;

use crate::gpu::launch::{MOST_PARTS, UNITS, dense, dims, elem, output};
use crate::gpu::reduce::column_sums;

/// Cubes at once.
const MOST_CUBES: usize = 1 << 14;

/// How the units of a cube share out heads.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq)]
struct HeadPlan {
    /// Pairs of channels of a head.
    half: usize,
    /// Heads that the cube holds at once.
    slots: usize,
    /// Heads of a row.
    heads: usize,
    /// Whether heads are normed before.
    normed: bool,
}

impl HeadPlan {
    fn new(x: &CubeTensor, normed: bool) -> Self {
        let dims = dims(x);
        let half = dims[3] / 2;
        Self { half, slots: (UNITS as usize / half).max(1), heads: dims[2], normed }
    }

    fn cube_dim(&self) -> CubeDim {
        CubeDim::new_2d(self.half as u32, self.slots as u32)
    }

    /// Cubes for `count` heads, at most `most`.
    fn cubes(&self, count: usize, most: usize) -> usize {
        count.div_ceil(self.slots).clamp(1, most)
    }
}

/// The sum of `value` over the units of one head.
#[cube]
fn head_sum(value: f32, shared: &mut Shared<[f32]>, #[comptime] plan: HeadPlan) -> f32 {
    let (pair, slot) = (UNIT_POS_X as usize, UNIT_POS_Y as usize);
    sync_cube();
    shared[slot * comptime!(plan.half) + pair] = value;
    sync_cube();
    let mut sum = 0f32;
    for other in 0..comptime!(plan.half) {
        sum += shared[slot * comptime!(plan.half) + other];
    }
    sum
}

#[cube(launch_unchecked)]
fn rotate_heads<F: Float>(
    x: &[F],
    weight: &[f32],
    cos: &[f32],
    sin: &[f32],
    out: &mut [F],
    epsilon: f32,
    direction: f32,
    #[comptime] plan: HeadPlan,
    #[define(F)] _dtype: ElemType,
) {
    let (pair, slot) = (UNIT_POS_X as usize, UNIT_POS_Y as usize);
    let half = comptime!(plan.half);
    let count = out.len() / comptime!(2 * plan.half);
    let mut shared = Shared::<[f32]>::new_slice(comptime!(plan.half * plan.slots));
    let mut first = CUBE_POS * comptime!(plan.slots);
    while first < count {
        let head = first + slot;
        let mut a = 0f32;
        let mut b = 0f32;
        if head < count {
            a = f32::cast_from(x[head * 2 * half + pair]);
            b = f32::cast_from(x[head * 2 * half + half + pair]);
        }
        if comptime!(plan.normed) {
            let sum = head_sum(a * a + b * b, &mut shared, plan);
            let scale = (sum / comptime!(2.0 * plan.half as f32) + epsilon).inverse_sqrt();
            a = a * scale * weight[pair];
            b = b * scale * weight[half + pair];
        }
        if head < count {
            let angle = head / comptime!(plan.heads) * half + pair;
            let (c, s) = (cos[angle], sin[angle] * direction);
            out[head * 2 * half + pair] = F::cast_from(a * c - b * s);
            out[head * 2 * half + half + pair] = F::cast_from(b * c + a * s);
        }
        first += CUBE_COUNT * comptime!(plan.slots);
    }
}

/// What every rotation has: cosines and sines of the rows' angles, `[B, S, 1, Dh/2]`.
pub(super) struct Angles {
    pub(super) cos: CubeTensor,
    pub(super) sin: CubeTensor,
}

/// A norm of each head before its rotation.
pub(super) struct HeadNorm {
    /// `[Dh]`
    pub(super) weight: CubeTensor,
    pub(super) epsilon: f64,
}

/// `x`: `[B, S, H, Dh]`; `direction` is 1, or −1 for the way back.
pub(super) fn forward(x: CubeTensor, norm: Option<HeadNorm>, angles: Angles, direction: f32) -> CubeTensor {
    let [x, cos, sin] = [x, angles.cos, angles.sin].map(dense);
    let plan = HeadPlan::new(&x, norm.is_some());
    let (weight, epsilon) = match norm {
        Some(norm) => (dense(norm.weight), norm.epsilon as f32),
        // Not read.
        None => (cos.clone(), 0.0),
    };
    let shape = dims(&x);
    let count = shape[..3].iter().product::<usize>();
    let out = output(&x, shape, x.dtype);
    // SAFETY: see [`crate::gpu`].
    unsafe {
        rotate_heads::launch_unchecked(
            &x.client.clone(),
            CubeCount::Static(plan.cubes(count, MOST_CUBES) as u32, 1, 1),
            plan.cube_dim(),
            x.clone().into_buffer_arg(),
            weight.into_buffer_arg(),
            cos.into_buffer_arg(),
            sin.into_buffer_arg(),
            out.clone().into_buffer_arg(),
            epsilon,
            direction,
            plan,
            elem(x.dtype),
        )
    }
    out
}

#[cube(launch_unchecked)]
fn rotate_normed_backward<F: Float>(
    x: &[F],
    weight: &[f32],
    cos: &[f32],
    sin: &[f32],
    dy: &[F],
    dx: &mut [F],
    d_weight: &mut [f32],
    epsilon: f32,
    #[comptime] plan: HeadPlan,
    #[define(F)] _dtype: ElemType,
) {
    let (pair, slot) = (UNIT_POS_X as usize, UNIT_POS_Y as usize);
    let half = comptime!(plan.half);
    let count = dx.len() / comptime!(2 * plan.half);
    let mut shared = Shared::<[f32]>::new_slice(comptime!(plan.half * plan.slots));
    let mut part_a = 0f32;
    let mut part_b = 0f32;
    let mut first = CUBE_POS * comptime!(plan.slots);
    while first < count {
        let head = first + slot;
        let mut a = 0f32;
        let mut b = 0f32;
        let mut na = 0f32;
        let mut nb = 0f32;
        if head < count {
            a = f32::cast_from(x[head * 2 * half + pair]);
            b = f32::cast_from(x[head * 2 * half + half + pair]);
            let da = f32::cast_from(dy[head * 2 * half + pair]);
            let db = f32::cast_from(dy[head * 2 * half + half + pair]);
            let angle = head / comptime!(plan.heads) * half + pair;
            na = da * cos[angle] + db * sin[angle];
            nb = db * cos[angle] - da * sin[angle];
        }
        let width = comptime!(2.0 * plan.half as f32);
        let scale = (head_sum(a * a + b * b, &mut shared, plan) / width + epsilon).inverse_sqrt();
        part_a += na * a * scale;
        part_b += nb * b * scale;
        na *= weight[pair];
        nb *= weight[half + pair];
        let pull = head_sum(na * a + nb * b, &mut shared, plan) / width * scale * scale;
        if head < count {
            dx[head * 2 * half + pair] = F::cast_from((na - a * pull) * scale);
            dx[head * 2 * half + half + pair] = F::cast_from((nb - b * pull) * scale);
        }
        first += CUBE_COUNT * comptime!(plan.slots);
    }
    // The weight's gradient of all slots of this cube.
    let d_a = slot_sum(part_a, &mut shared, plan);
    let d_b = slot_sum(part_b, &mut shared, plan);
    if slot == 0 {
        d_weight[CUBE_POS * 2 * half + pair] = d_a;
        d_weight[CUBE_POS * 2 * half + half + pair] = d_b;
    }
}

/// The sum of `value` over the heads that the cube holds side by side.
#[cube]
fn slot_sum(value: f32, shared: &mut Shared<[f32]>, #[comptime] plan: HeadPlan) -> f32 {
    let (pair, slot) = (UNIT_POS_X as usize, UNIT_POS_Y as usize);
    sync_cube();
    shared[slot * comptime!(plan.half) + pair] = value;
    sync_cube();
    let mut sum = 0f32;
    for other in 0..comptime!(plan.slots) {
        sum += shared[other * comptime!(plan.half) + pair];
    }
    sum
}

/// Gradients of the heads and of the norm's weight.
pub(super) fn backward(x: CubeTensor, norm: HeadNorm, angles: Angles, dy: CubeTensor) -> (CubeTensor, CubeTensor) {
    let [x, weight, cos, sin, dy] = [x, norm.weight, angles.cos, angles.sin, dy].map(dense);
    let plan = HeadPlan::new(&x, true);
    let shape = dims(&x);
    let cubes = plan.cubes(shape[..3].iter().product(), MOST_PARTS);
    let d_weight = output(&x, [cubes, shape[3]], DType::F32);
    let dx = output(&x, shape, x.dtype);
    // SAFETY: see [`crate::gpu`].
    unsafe {
        rotate_normed_backward::launch_unchecked(
            &x.client.clone(),
            CubeCount::Static(cubes as u32, 1, 1),
            plan.cube_dim(),
            x.clone().into_buffer_arg(),
            weight.into_buffer_arg(),
            cos.into_buffer_arg(),
            sin.into_buffer_arg(),
            dy.into_buffer_arg(),
            dx.clone().into_buffer_arg(),
            d_weight.clone().into_buffer_arg(),
            norm.epsilon as f32,
            plan,
            elem(x.dtype),
        )
    }
    (dx, column_sums(d_weight))
}
