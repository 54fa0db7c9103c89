//! What an optimizer does to every weight, each in one pass over memory.

use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::flex::FlexTensor;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, AutodiffBackend, Backend, Flex, backend_extension};
use rayon::prelude::*;

use crate::cpu::array::CHUNK;
use crate::cpu::array::{dense, tensor, values, values_mut, whole};
use crate::cpu::vector::{dot, vectorised};
use crate::optimizer::Factors;
use crate::timing::operation;

/// The operation on the CPU, on the gradient tape and off it. Every tensor is `f32`; [`crate::place`] sees to it.
#[backend_extension(Autodiff, Flex)]
pub(crate) trait OptimizerCpu: Backend {
    /// See [`crate::adamw`]; weight and moments in, weight and moments out.
    fn adamw(
        weight: FloatTensor<Self>,
        first: FloatTensor<Self>,
        second: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        factors: Factors,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>);
    /// `kept · x + new · y`, in `x`'s place when nobody else holds it.
    fn combine(x: FloatTensor<Self>, y: FloatTensor<Self>, kept: f32, new: f32) -> FloatTensor<Self>;
    /// `Σ x²`. `[1]`
    fn squared_norm(x: FloatTensor<Self>) -> FloatTensor<Self>;
}

impl OptimizerCpu for Flex {
    fn adamw(
        weight: FlexTensor,
        first: FlexTensor,
        second: FlexTensor,
        gradient: FlexTensor,
        factors: Factors,
    ) -> (FlexTensor, FlexTensor, FlexTensor) {
        let _running = operation("AdamW");
        let [mut weight, mut first, mut second] = [weight, first, second].map(whole);
        let gradient = dense(gradient);
        adamw([values_mut(&mut weight), values_mut(&mut first), values_mut(&mut second)], values(&gradient), factors);
        (weight, first, second)
    }

    fn combine(x: FlexTensor, y: FlexTensor, kept: f32, new: f32) -> FlexTensor {
        let _running = operation("moving averages and sums");
        let (mut x, y) = (whole(x), dense(y));
        combine(values_mut(&mut x), values(&y), kept, new);
        x
    }

    fn squared_norm(x: FlexTensor) -> FlexTensor {
        let _running = operation("norms of gradients");
        tensor(vec![squared_norm(values(&dense(x)))], [1])
    }
}

impl<C: CheckpointStrategy> OptimizerCpu for Autodiff<Flex, C> {
    fn adamw(
        weight: FloatTensor<Self>,
        first: FloatTensor<Self>,
        second: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        factors: Factors,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        let [weight, first, second, gradient] = [weight, first, second, gradient].map(|x| x.into_primitive());
        let (weight, first, second) = Flex::adamw(weight, first, second, gradient, factors);
        (Self::from_inner(weight), Self::from_inner(first), Self::from_inner(second))
    }

    fn combine(x: FloatTensor<Self>, y: FloatTensor<Self>, kept: f32, new: f32) -> FloatTensor<Self> {
        Self::from_inner(Flex::combine(x.into_primitive(), y.into_primitive(), kept, new))
    }

    fn squared_norm(x: FloatTensor<Self>) -> FloatTensor<Self> {
        Self::from_inner(Flex::squared_norm(x.into_primitive()))
    }
}

/// One step on a weight and its moments.
pub(crate) fn adamw([weight, first, second]: [&mut [f32]; 3], gradient: &[f32], f: Factors) {
    let arrays = weight.par_chunks_mut(CHUNK).zip(first.par_chunks_mut(CHUNK));
    let arrays = arrays.zip(second.par_chunks_mut(CHUNK)).zip(gradient.par_chunks(CHUNK));
    arrays.for_each(|(((weight, first), second), gradient)| {
        vectorised(
            #[inline(always)]
            || {
                for (((weight, first), second), gradient) in weight.iter_mut().zip(first).zip(second).zip(gradient) {
                    let gradient = gradient * f.gradient_scale;
                    *first = *first * f.beta_1 + gradient * (1.0 - f.beta_1);
                    *second = *second * f.beta_2 + gradient * gradient * (1.0 - f.beta_2);
                    let direction = *first * f.first_correction / (second.sqrt() * f.second_correction + f.epsilon);
                    *weight = *weight * f.kept - direction * f.learning_rate;
                }
            },
        );
    });
}

/// `x ← kept · x + new · y`
pub(crate) fn combine(x: &mut [f32], y: &[f32], kept: f32, new: f32) {
    x.par_chunks_mut(CHUNK).zip(y.par_chunks(CHUNK)).for_each(|(x, y)| {
        vectorised(
            #[inline(always)]
            || {
                for (x, y) in x.iter_mut().zip(y) {
                    *x = *x * kept + y * new;
                }
            },
        );
    });
}

/// `Σ x²`, chunk by chunk in order, whatever the number of threads.
pub(crate) fn squared_norm(x: &[f32]) -> f32 {
    let parts: Vec<f32> = x
        .par_chunks(CHUNK)
        .map(|x| {
            vectorised(
                #[inline(always)]
                || dot(x, x),
            )
        })
        .collect();
    parts.into_iter().map(f64::from).sum::<f64>() as f32
}
