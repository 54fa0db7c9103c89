//! What an optimiser does to every weight in every step: AdamW (1711.05101, algorithm 2) and a moving average.
//!
//! Both only stream through memory, so on the CPU each is one pass over all its arrays, spread over the cores, where
//! primitives would make a dozen.

use burn::tensor::{Device, Tensor, TensorData};
use rayon::prelude::*;

/// Elements that one task works on: small enough to share out, large enough to be worth a task.
const CHUNK: usize = 1 << 14;

/// A weight and its moments, flattened.
#[derive(Clone, Debug)]
pub struct AdamWState {
    /// The weight. `[n]`
    pub weight: Tensor<1>,
    /// Moving average of the gradient. `[n]`
    pub first: Tensor<1>,
    /// Moving average of its square. `[n]`
    pub second: Tensor<1>,
}

/// Numbers of one step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamWStep {
    /// Learning rate.
    pub learning_rate: f64,
    /// Decay rates of the moments.
    pub betas: [f64; 2],
    /// Added to the root of the second moment.
    pub epsilon: f64,
    /// Decoupled weight decay.
    pub weight_decay: f64,
    /// What the gradient is multiplied by first.
    pub gradient_scale: f64,
    /// Number of this step, from 1.
    pub number: u64,
}

/// The same numbers as factors in `f32`.
#[derive(Clone, Copy)]
struct Factors {
    gradient_scale: f32,
    beta_1: f32,
    beta_2: f32,
    first_correction: f32,
    second_correction: f32,
    epsilon: f32,
    kept: f32,
    learning_rate: f32,
}

impl AdamWStep {
    fn factors(&self) -> Factors {
        let correction = |beta: f64| 1.0 - beta.powf(self.number as f64);
        let [beta_1, beta_2] = self.betas;
        Factors {
            gradient_scale: self.gradient_scale as f32,
            beta_1: beta_1 as f32,
            beta_2: beta_2 as f32,
            first_correction: (1.0 / correction(beta_1)) as f32,
            second_correction: (1.0 / correction(beta_2).sqrt()) as f32,
            epsilon: self.epsilon as f32,
            kept: (1.0 - self.learning_rate * self.weight_decay) as f32,
            learning_rate: self.learning_rate as f32,
        }
    }
}

/// One step of AdamW on one weight. All tensors lie off the gradient tape.
///
/// # Shapes
/// - `gradient`: `[n]`, as everything in `state`
pub fn adamw(state: AdamWState, gradient: Tensor<1>, step: AdamWStep) -> AdamWState {
    if gradient.device() == Device::flex() {
        match adamw_cpu(state, gradient, step.factors()) {
            Ok(state) => state,
            Err((state, gradient)) => adamw_portable(state, gradient, step.factors()),
        }
    } else {
        adamw_portable(state, gradient, step.factors())
    }
}

/// `decay · average + (1 − decay) · value`, off the gradient tape.
///
/// # Shapes
/// - `average`, `value`: `[n]`
pub fn moving_average(average: Tensor<1>, value: Tensor<1>, decay: f64) -> Tensor<1> {
    let (kept, new) = (decay as f32, (1.0 - decay) as f32);
    if average.device() != Device::flex() {
        return average.mul_scalar(kept) + value.mul_scalar(new);
    }
    let device = average.device();
    let (mut average, value) = (average.into_data(), value.into_data());
    let averaged = match (average.as_mut_slice::<f32>(), value.as_slice::<f32>()) {
        (Ok(average), Ok(value)) => {
            average.par_chunks_mut(CHUNK).zip(value.par_chunks(CHUNK)).for_each(|(average, value)| {
                for (average, value) in average.iter_mut().zip(value) {
                    *average = *average * kept + value * new;
                }
            });
            true
        }
        _ => false,
    };
    let average = Tensor::<1>::from_data(average, &device);
    if averaged { average } else { average.mul_scalar(kept) + Tensor::from_data(value, &device).mul_scalar(new) }
}

/// The definition.
fn adamw_portable(state: AdamWState, gradient: Tensor<1>, f: Factors) -> AdamWState {
    let gradient = gradient.mul_scalar(f.gradient_scale);
    let first = state.first.mul_scalar(f.beta_1) + gradient.clone().mul_scalar(1.0 - f.beta_1);
    let second = state.second.mul_scalar(f.beta_2) + gradient.square().mul_scalar(1.0 - f.beta_2);
    let root = second.clone().sqrt().mul_scalar(f.second_correction).add_scalar(f.epsilon);
    let direction = first.clone().mul_scalar(f.first_correction) / root;
    let weight = state.weight.mul_scalar(f.kept) - direction.mul_scalar(f.learning_rate);
    AdamWState { weight, first, second }
}

/// One pass over the arrays, in place where nobody else holds them. Gives the arguments back when they are not `f32`.
#[allow(clippy::result_large_err)] // Both sides are the arguments.
fn adamw_cpu(state: AdamWState, gradient: Tensor<1>, f: Factors) -> Result<AdamWState, (AdamWState, Tensor<1>)> {
    let device = gradient.device();
    let back = |data: TensorData| Tensor::from_data(data, &device);
    let (mut weight, mut first, mut second) =
        (state.weight.into_data(), state.first.into_data(), state.second.into_data());
    let gradient = gradient.into_data();
    let updated = match (weight.as_mut_slice(), first.as_mut_slice(), second.as_mut_slice(), gradient.as_slice()) {
        (Ok(weight), Ok(first), Ok(second), Ok(gradient)) => {
            let arrays = weight.par_chunks_mut(CHUNK).zip(first.par_chunks_mut(CHUNK));
            let arrays = arrays.zip(second.par_chunks_mut(CHUNK)).zip(gradient.par_chunks(CHUNK));
            arrays.for_each(|(((weight, first), second), gradient)| update(weight, first, second, gradient, f));
            true
        }
        _ => false,
    };
    let state = AdamWState { weight: back(weight), first: back(first), second: back(second) };
    if updated { Ok(state) } else { Err((state, back(gradient))) }
}

fn update(weight: &mut [f32], first: &mut [f32], second: &mut [f32], gradient: &[f32], f: Factors) {
    for (((weight, first), second), gradient) in weight.iter_mut().zip(first).zip(second).zip(gradient) {
        let gradient = gradient * f.gradient_scale;
        *first = *first * f.beta_1 + gradient * (1.0 - f.beta_1);
        *second = *second * f.beta_2 + gradient * gradient * (1.0 - f.beta_2);
        let direction = *first * f.first_correction / (second.sqrt() * f.second_correction + f.epsilon);
        *weight = *weight * f.kept - direction * f.learning_rate;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEP: AdamWStep = AdamWStep {
        learning_rate: 1e-2,
        betas: [0.9, 0.95],
        epsilon: 1e-8,
        weight_decay: 0.1,
        gradient_scale: 0.5,
        number: 1,
    };

    fn wave(count: usize, speed: f32) -> Tensor<1> {
        let values: Vec<f32> = (0..count).map(|i| (i as f32 * speed).sin()).collect();
        Tensor::from_data(TensorData::new(values, [count]), &Device::flex())
    }

    fn values(x: &Tensor<1>) -> Vec<f32> {
        x.to_data().try_to_vec().unwrap()
    }

    fn gap(a: &Tensor<1>, b: &Tensor<1>) -> f32 {
        values(a).iter().zip(values(b)).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
    }

    #[test]
    fn the_pass_on_the_cpu_is_the_definition() {
        for count in [1, 7, CHUNK - 1, CHUNK, 2 * CHUNK + 3] {
            let zeros = || Tensor::<1>::zeros([count], &Device::flex());
            let start = || AdamWState { weight: wave(count, 0.3), first: zeros(), second: zeros() };
            let (mut fast, mut plain) = (start(), start());
            for number in 1..4 {
                let step = AdamWStep { number, ..STEP };
                let gradient = wave(count, 0.7 * number as f32);
                fast = adamw(fast, gradient.clone(), step);
                plain = adamw_portable(plain, gradient, step.factors());
            }
            assert!(gap(&fast.weight, &plain.weight) < 1e-6, "{count}");
            assert!(gap(&fast.first, &plain.first) < 1e-7 && gap(&fast.second, &plain.second) < 1e-7);
        }
    }

    #[test]
    fn whoever_else_holds_a_weight_keeps_it() {
        let weight = wave(5, 0.3);
        let before = values(&weight);
        let state = AdamWState { weight: weight.clone(), first: wave(5, 0.1), second: wave(5, 0.0) };
        let after = adamw(state, wave(5, 0.9), STEP);
        assert_eq!(values(&weight), before);
        assert!(gap(&after.weight, &weight) > 1e-4);
    }

    /// `torch.optim.AdamW` on one weight 0.5 with gradients 0.3, −0.1, 0.2, written out in f64.
    #[test]
    fn three_steps_are_those_of_the_textbook() {
        let one = |x: f32| Tensor::<1>::from_floats([x], &Device::flex());
        let mut state = AdamWState { weight: one(0.5), first: one(0.0), second: one(0.0) };
        let (mut w, mut m, mut v) = (0.5f64, 0.0f64, 0.0f64);
        for (index, g) in [0.3f64, -0.1, 0.2].into_iter().enumerate() {
            let number = index as u64 + 1;
            state = adamw(state, one(g as f32), AdamWStep { number, gradient_scale: 1.0, ..STEP });
            m = 0.9 * m + 0.1 * g;
            v = 0.95 * v + 0.05 * g * g;
            let (m_hat, v_hat) = (m / (1.0 - 0.9f64.powi(number as i32)), v / (1.0 - 0.95f64.powi(number as i32)));
            w = w * (1.0 - 1e-2 * 0.1) - 1e-2 * m_hat / (v_hat.sqrt() + 1e-8);
            assert!((f64::from(values(&state.weight)[0]) - w).abs() < 1e-6, "step {number}");
        }
    }

    #[test]
    fn the_average_moves_by_its_share() {
        let (a, b) = (wave(CHUNK + 5, 0.3), wave(CHUNK + 5, 0.8));
        let expected = a.clone().mul_scalar(0.75) + b.clone().mul_scalar(0.25);
        assert!(gap(&moving_average(a, b, 0.75), &expected) < 1e-7);
    }
}
