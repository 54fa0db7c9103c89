//! Cross-entropy and z-loss over the rows that have a weight, without a second array of logits forward.
//!
//! ```text
//! ∂logit_j = w · ( ∂next_token · (p_j − [j = target]) + ∂z · 2 log Z · p_j )
//! ```

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::flex::FlexTensor;
use burn::backend::tensor::{FloatTensor, IntTensor};
use burn::backend::{Autodiff, Backend, Flex, backend_extension};
use burn::tensor::DType;
use rayon::prelude::*;

use crate::cpu::array::{dense, shape, tensor, values};
use crate::cpu::tape::register;
use crate::cpu::vector::{exp, max, sum_with, vectorised};
use crate::timing::operation;

/// The operation on the CPU, on the gradient tape and off it. Every tensor is `f32`; [`crate::place`] sees to it.
#[backend_extension(Autodiff, Flex)]
pub(crate) trait CrossEntropyCpu: Backend {
    /// See [`crate::cross_entropy()`]; the two sums as `[2]`.
    fn cross_entropy(
        logits: FloatTensor<Self>,
        targets: IntTensor<Self>,
        weights: FloatTensor<Self>,
    ) -> FloatTensor<Self>;
}

impl CrossEntropyCpu for Flex {
    fn cross_entropy(logits: FlexTensor, targets: FlexTensor, weights: FlexTensor) -> FlexTensor {
        cross_entropy_forward(&Arguments::new(logits, targets, weights)).0
    }
}

impl<C: CheckpointStrategy> CrossEntropyCpu for Autodiff<Flex, C> {
    fn cross_entropy(
        logits: FloatTensor<Self>,
        targets: IntTensor<Self>,
        weights: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        let weights = weights.into_primitive();
        match CrossEntropyBackward.prepare::<C>([logits.node()]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => {
                let arguments = Arguments::new(logits.into_primitive(), targets, weights);
                let (sums, log_z) = cross_entropy_forward(&arguments);
                prep.finish((arguments, log_z), sums)
            }
            OpsKind::UnTracked(prep) => prep.finish(Flex::cross_entropy(logits.into_primitive(), targets, weights)),
        }
    }
}

#[derive(Debug)]
struct CrossEntropyBackward;

impl Backward<Flex, 1> for CrossEntropyBackward {
    /// The arguments, and `log Z` of every row.
    type State = (Arguments, Vec<f32>);

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let _running = operation("cross-entropy");
        let [node] = ops.parents.map(|parent| parent.map(|node| node.id));
        let (arguments, log_z) = ops.state;
        let dy = dense(grads.consume::<Flex>(&ops.node));
        let [d_next_token, d_z] = [values(&dy)[0], values(&dy)[1]];
        let gradient = backward(&arguments.rows(), &log_z, d_next_token, d_z);
        register(grads, node, gradient, arguments.shape());
    }
}

/// The arguments of cross-entropy in the form that the kernel takes.
#[derive(Clone, Debug)]
pub(crate) struct Arguments {
    logits: FlexTensor,
    targets: Vec<usize>,
    weights: FlexTensor,
}

impl Arguments {
    pub(crate) fn new(logits: FlexTensor, targets: FlexTensor, weights: FlexTensor) -> Self {
        Self { logits: dense(logits), targets: indices(dense(targets)), weights: dense(weights) }
    }

    pub(crate) fn rows(&self) -> Rows<'_> {
        Rows { logits: values(&self.logits), targets: &self.targets, weights: values(&self.weights) }
    }

    pub(crate) fn shape(&self) -> Vec<usize> {
        shape(&self.logits)
    }
}

/// The two sums as `[2]`, and `log Z` of every row.
fn cross_entropy_forward(arguments: &Arguments) -> (FlexTensor, Vec<f32>) {
    let _running = operation("cross-entropy");
    let sums = forward(&arguments.rows());
    (tensor(vec![sums.next_token, sums.z], [2]), sums.log_z)
}

fn indices(x: FlexTensor) -> Vec<usize> {
    match x.dtype() {
        DType::I32 => x.as_slice::<i32>().unwrap_or_default().iter().map(|&index| index as usize).collect(),
        DType::I64 => x.as_slice::<i64>().unwrap_or_default().iter().map(|&index| index as usize).collect(),
        _ => x.into_data().convert::<i64>().iter::<i64>().map(|index| index as usize).collect(),
    }
}

/// Arguments rows of the logits.
pub(crate) struct Rows<'a> {
    pub(crate) logits: &'a [f32],
    pub(crate) targets: &'a [usize],
    pub(crate) weights: &'a [f32],
}

/// What [`forward`] finds.
pub(crate) struct Sums {
    /// `Σ w · (log Z − logit of the target)`
    pub(crate) next_token: f32,
    /// `Σ w · log² Z`
    pub(crate) z: f32,
    /// `log Z` of every row; 0 for a row without weight.
    pub(crate) log_z: Vec<f32>,
}

impl Rows<'_> {
    fn width(&self) -> usize {
        self.logits.len() / self.targets.len().max(1)
    }
}

/// The two sums, added up in the order of the rows.
pub(crate) fn forward(rows: &Rows<'_>) -> Sums {
    let width = rows.width();
    let log_z: Vec<f32> = rows
        .logits
        .par_chunks(width.max(1))
        .zip(rows.weights)
        .map(|(logits, &weight)| if weight == 0.0 { 0.0 } else { log_sum_exp(logits) })
        .collect();
    let (mut next_token, mut z) = (0.0f64, 0.0f64);
    for (row, (&log_z, &weight)) in log_z.iter().zip(rows.weights).enumerate() {
        if weight != 0.0 {
            let target = rows.logits[row * width + rows.targets[row]];
            next_token += f64::from(weight) * f64::from(log_z - target);
            z += f64::from(weight) * f64::from(log_z) * f64::from(log_z);
        }
    }
    Sums { next_token: next_token as f32, z: z as f32, log_z }
}

/// The gradient of the logits; zero for rows without weight.
pub(crate) fn backward(rows: &Rows<'_>, log_z: &[f32], d_next_token: f32, d_z: f32) -> Vec<f32> {
    let width = rows.width().max(1);
    let mut gradient = vec![0.0; rows.logits.len()];
    let numbers = rows.targets.par_iter().zip(rows.weights).zip(log_z);
    let chunks = gradient.par_chunks_mut(width).zip(rows.logits.par_chunks(width)).zip(numbers);
    chunks.for_each(|((gradient, logits), ((&target, &weight), &log_z))| {
        if weight == 0.0 {
            return;
        }
        let of_probability = weight * (d_next_token + 2.0 * d_z * log_z);
        vectorised(
            #[inline(always)]
            || {
                for (gradient, &logit) in gradient.iter_mut().zip(logits) {
                    *gradient = of_probability * exp(logit - log_z);
                }
            },
        );
        gradient[target] -= weight * d_next_token;
    });
    gradient
}

fn log_sum_exp(logits: &[f32]) -> f32 {
    vectorised(
        #[inline(always)]
        || {
            let peak = max(logits);
            peak + sum_with(logits, logits, |x, _| exp(x - peak)).ln()
        },
    )
}
