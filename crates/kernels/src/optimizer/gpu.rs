//! What an optimizer does to all weights, as many of them in a launch as the device binds buffers for: AdamW, weighted sums,
//! squared norms.
//!
//! Each cube of a launch works on one weight, which it finds by its place in the grid. So a model of three hundred weights
//! takes a handful of launches instead of three hundred, most of which would be shorter than a launch costs.

#![allow(unsafe_code)] // Launches; see [`crate::gpu`].

use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, backend_extension};
use burn::tensor::DType;
use burn_cubecl::CubeBackend;
use burn_cubecl::tensor::CubeTensor;
use cubecl::prelude::*;

use crate::gpu::launch::{UNITS, dense, dims, has_planes, output, owned, vector_size};
use crate::gpu::reduce::{cube_sum, row_sums};
use crate::optimizer::Factors;
use crate::tape::list::TensorList;

/// The most weights of a launch: each is a branch of the kernel.
const MOST_WEIGHTS: usize = 32;

/// Vectors of each unit: enough loads under way to keep the memory busy, for one search of the cube's weight.
const VECTORS: usize = 4;

/// Cubes that add up the squares of one weight.
const PARTS: usize = 64;

/// The operations on GPUs, off the gradient tape.
#[backend_extension(Cube, Fusion: cfg(feature = "fusion"))]
pub(crate) trait OptimizerKernels: Backend {
    /// Weight, first and second moment of every weight after a step, from the same before it and all gradients.
    #[fusion(meta = |states, _gradients, _factors| states.clone())]
    fn adamw(
        #[extension_type] states: TensorList<Self>,
        #[extension_type] gradients: TensorList<Self>,
        factors: Vec<Factors>,
    ) -> TensorList<Self>;
    /// `kept · x + new · y` of every pair.
    #[fusion(meta = |xs, _ys, _kept, _new| xs.clone())]
    fn combine(
        #[extension_type] xs: TensorList<Self>,
        #[extension_type] ys: TensorList<Self>,
        kept: f32,
        new: f32,
    ) -> TensorList<Self>;
    /// `Σ x²` of each. `[n]`
    #[fusion(dtype = DType::F32, shape = [xs.len()].into())]
    fn squared_norms(#[extension_type] xs: TensorList<Self>) -> FloatTensor<Self>;
}

impl OptimizerKernels for CubeBackend {
    fn adamw(states: TensorList<Self>, gradients: TensorList<Self>, factors: Vec<Factors>) -> TensorList<Self> {
        TensorList(adamw(states.0, gradients.0, &factors))
    }

    fn combine(xs: TensorList<Self>, ys: TensorList<Self>, kept: f32, new: f32) -> TensorList<Self> {
        TensorList(combine(xs.0, ys.0, kept, new))
    }

    fn squared_norms(xs: TensorList<Self>) -> CubeTensor {
        squared_norms(xs.0)
    }
}

/// A buffer of a launch that takes several.
type Buffers<N> = Sequence<Box<[Vector<f32, N>]>>;

#[cube(launch_unchecked)]
fn adamw_step<N: Size>(
    weights: &mut Buffers<N>,
    firsts: &mut Buffers<N>,
    seconds: &mut Buffers<N>,
    gradients: &Buffers<N>,
    gradient_scale: f32,
    beta_1: f32,
    beta_2: f32,
    first_correction: f32,
    second_correction: f32,
    epsilon: f32,
    kept: f32,
    learning_rate: f32,
    #[comptime] count: usize,
    #[comptime] units: usize,
) {
    // Counted from the first cube of a weight; it wraps around once the cube's own weight lies behind.
    let mut cube = CUBE_POS;
    #[unroll]
    for index in 0..count {
        let length = weights.index(index).len();
        let cubes = length.div_ceil(comptime!(VECTORS * units));
        if cube < cubes {
            let weight = weights.index_mut(index);
            let first = firsts.index_mut(index);
            let second = seconds.index_mut(index);
            #[unroll]
            for part in 0..VECTORS {
                let at = (cube * VECTORS + part) * units + UNIT_POS as usize;
                if at < length {
                    let g = gradients.index(index)[at] * Vector::new(gradient_scale);
                    let m = first[at] * Vector::new(beta_1) + g * Vector::new(1f32 - beta_1);
                    let v = second[at] * Vector::new(beta_2) + g * g * Vector::new(1f32 - beta_2);
                    let root = v.sqrt() * Vector::new(second_correction) + Vector::new(epsilon);
                    let step = m * Vector::new(first_correction * learning_rate) / root;
                    weight[at] = weight[at] * Vector::new(kept) - step;
                    first[at] = m;
                    second[at] = v;
                }
            }
        }
        cube -= cubes;
    }
}

#[cube(launch_unchecked)]
fn weighted_sum<N: Size>(
    xs: &mut Buffers<N>,
    ys: &Buffers<N>,
    kept: f32,
    new: f32,
    #[comptime] count: usize,
    #[comptime] units: usize,
) {
    let mut cube = CUBE_POS;
    #[unroll]
    for index in 0..count {
        let length = xs.index(index).len();
        let cubes = length.div_ceil(comptime!(VECTORS * units));
        if cube < cubes {
            let x = xs.index_mut(index);
            #[unroll]
            for part in 0..VECTORS {
                let at = (cube * VECTORS + part) * units + UNIT_POS as usize;
                if at < length {
                    x[at] = x[at] * Vector::new(kept) + ys.index(index)[at] * Vector::new(new);
                }
            }
        }
        cube -= cubes;
    }
}

/// `parts` cubes for each of `count` tensors, whose sums go to `rows` of `[all tensors, parts]`.
#[cube(launch_unchecked)]
fn squares<N: Size>(
    xs: &Buffers<N>,
    sums: &mut [f32],
    rows: &Sequence<u32>,
    #[comptime] count: usize,
    #[comptime] parts: usize,
    #[comptime] units: usize,
    #[comptime] planes: bool,
) {
    let mut shared = Shared::<[f32]>::new_slice(units);
    let (tensor, part) = (CUBE_POS / parts, CUBE_POS % parts);
    let mut sum = 0f32;
    let mut row = 0u32;
    #[unroll]
    for index in 0..count {
        if tensor == index {
            row = *rows.index(index);
            let x = xs.index(index);
            let mut at = part * units + UNIT_POS as usize;
            while at < x.len() {
                let value = x[at];
                sum += (value * value).vector_sum();
                at += comptime!(parts * units);
            }
        }
    }
    let total = cube_sum(sum, &mut shared, units, planes);
    if UNIT_POS == 0 {
        sums[row as usize * parts + part] = total;
    }
}

/// The same kind of tensors in each place, for one launch.
struct Launch<'a> {
    client: Client,
    vector: usize,
    places: &'a [usize],
}

impl Launch<'_> {
    /// Those of `tensors` that take part.
    fn of<'t>(&self, tensors: &'t [CubeTensor]) -> impl Iterator<Item = &'t CubeTensor> {
        self.places.iter().map(|place| &tensors[*place])
    }

    fn buffers<N: Size>(&self, tensors: &[CubeTensor]) -> SequenceArg<Box<[Vector<f32, N>]>> {
        self.of(tensors).map(|x| x.clone().into_buffer_arg()).collect()
    }

    /// As many cubes as the vectors of each tensor take.
    fn grid(&self, tensors: &[CubeTensor]) -> (CubeCount, CubeDim) {
        let of_cube = VECTORS * UNITS as usize;
        let cubes: usize = self.of(tensors).map(|x| (length(x) / self.vector).div_ceil(of_cube)).sum();
        let dim = CubeDim::new_1d(UNITS);
        (cubecl::calculate_cube_count_elemwise(&self.client, cubes * UNITS as usize, dim), dim)
    }
}

/// Elements of a tensor.
fn length(x: &CubeTensor) -> usize {
    dims(x).iter().product()
}

/// Launches for all of `tensors`: those that go together have the same vectors and the same `traits`, and are no more than
/// the device binds `buffers` each for.
fn launch_all<T: PartialEq>(
    tensors: &[CubeTensor],
    traits: impl Fn(usize) -> T,
    buffers: usize,
    mut launch: impl FnMut(Launch<'_>),
) {
    let Some(client) = tensors.first().map(|x| x.client.clone()) else { return };
    let bound = client.properties().hardware.max_bindings as usize;
    // A launch has buffers of its own, for scalars and lengths.
    let most = (bound.saturating_sub(2) / buffers).clamp(1, MOST_WEIGHTS);
    let kind = |place: usize| (vector_size(length(&tensors[place])), traits(place));
    let mut groups: Vec<Vec<usize>> = vec![];
    for place in (0..tensors.len()).filter(|place| length(&tensors[*place]) > 0) {
        match groups.iter_mut().find(|group| group.len() < most && kind(group[0]) == kind(place)) {
            Some(group) => group.push(place),
            None => groups.push(vec![place]),
        }
    }
    for places in &groups {
        launch(Launch { client: client.clone(), vector: kind(places[0]).0, places });
    }
}

/// Weights and moments after a step, in their places where nobody else holds them.
fn adamw(states: Vec<CubeTensor>, gradients: Vec<CubeTensor>, factors: &[Factors]) -> Vec<CubeTensor> {
    let states: Vec<CubeTensor> = states.into_iter().map(owned).collect();
    let gradients: Vec<CubeTensor> = gradients.into_iter().map(dense).collect();
    let part = |which: usize| -> Vec<CubeTensor> { states.iter().skip(which).step_by(3).cloned().collect() };
    let [weights, firsts, seconds] = [part(0), part(1), part(2)];
    launch_all(
        &weights,
        |place| factors[place],
        4,
        |launch| {
            let f = factors[launch.places[0]];
            let (cubes, dim) = launch.grid(&weights);
            // SAFETY: see [`crate::gpu`].
            unsafe {
                adamw_step::launch_unchecked(
                    &launch.client,
                    cubes,
                    dim,
                    launch.vector,
                    launch.buffers(&weights),
                    launch.buffers(&firsts),
                    launch.buffers(&seconds),
                    launch.buffers(&gradients),
                    f.gradient_scale,
                    f.beta_1,
                    f.beta_2,
                    f.first_correction,
                    f.second_correction,
                    f.epsilon,
                    f.kept,
                    f.learning_rate,
                    launch.places.len(),
                    UNITS as usize,
                )
            }
        },
    );
    states
}

/// `kept · x + new · y` of every pair, in `x`'s place where nobody else holds it.
fn combine(xs: Vec<CubeTensor>, ys: Vec<CubeTensor>, kept: f32, new: f32) -> Vec<CubeTensor> {
    let xs: Vec<CubeTensor> = xs.into_iter().map(owned).collect();
    let ys: Vec<CubeTensor> = ys.into_iter().map(dense).collect();
    launch_all(
        &xs,
        |_| (),
        2,
        |launch| {
            let (cubes, dim) = launch.grid(&xs);
            // SAFETY: see [`crate::gpu`].
            unsafe {
                weighted_sum::launch_unchecked(
                    &launch.client,
                    cubes,
                    dim,
                    launch.vector,
                    launch.buffers(&xs),
                    launch.buffers(&ys),
                    kept,
                    new,
                    launch.places.len(),
                    UNITS as usize,
                )
            }
        },
    );
    xs
}

/// `Σ x²` of each. `[n]`
fn squared_norms(xs: Vec<CubeTensor>) -> CubeTensor {
    let xs: Vec<CubeTensor> = xs.into_iter().map(dense).collect();
    let sums = output(&xs[0], [xs.len(), PARTS], DType::F32);
    let planes = has_planes(&sums);
    launch_all(
        &xs,
        |_| (),
        1,
        |launch| {
            let cubes = launch.places.len() * PARTS;
            // The rows of a launch lie where its weights do among all of them.
            let rows: SequenceArg<u32> = launch.places.iter().map(|place| *place as u32).collect();
            // SAFETY: see [`crate::gpu`].
            unsafe {
                squares::launch_unchecked(
                    &launch.client,
                    CubeCount::Static(cubes as u32, 1, 1),
                    CubeDim::new_1d(UNITS),
                    launch.vector,
                    launch.buffers(&xs),
                    sums.clone().into_buffer_arg(),
                    rows,
                    launch.places.len(),
                    PARTS,
                    UNITS as usize,
                    planes,
                )
            }
        },
    );
    row_sums(sums)
}
