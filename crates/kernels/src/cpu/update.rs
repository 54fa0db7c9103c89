//! What an optimizer does to every weight, each in one pass over memory.

use rayon::prelude::*;

use super::array::CHUNK;
use super::vector::{dot, vectorised};
use crate::optimizer::Factors;

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
