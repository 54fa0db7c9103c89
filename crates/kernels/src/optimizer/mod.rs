//! What an optimizer does to every weight in every step: AdamW (1711.05101, algorithm 2) and a moving average.
//!
//! Both only stream through memory, so on the CPU each is one pass over all its arrays, spread over the cores, where
//! primitives would make a dozen.

mod cpu;
#[cfg(feature = "gpu")]
mod gpu;
mod reference;

use burn::backend::Dispatch;
use burn::tensor::Tensor;

use self::cpu::OptimizerCpu;
use self::reference::adamw_reference;
use crate::place::{Place, place_of};

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

/// The numbers of a step of AdamW as factors.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Factors {
    pub(crate) gradient_scale: f32,
    pub(crate) beta_1: f32,
    pub(crate) beta_2: f32,
    pub(crate) first_correction: f32,
    pub(crate) second_correction: f32,
    pub(crate) epsilon: f32,
    pub(crate) kept: f32,
    pub(crate) learning_rate: f32,
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

/// One step of AdamW on one weight. All tensors lie off the gradient tape; weight and moments are changed in place where
/// nobody else holds them.
///
/// # Shapes
/// - `gradient`: `[n]`, as everything in `state`
pub fn adamw(state: AdamWState, gradient: Tensor<1>, step: AdamWStep) -> AdamWState {
    let place = place_of(&gradient);
    if place == Place::Reference {
        return adamw_reference(state, gradient, step.factors());
    }
    let [weight, first, second] = [state.weight, state.first, state.second].map(Tensor::into_dispatch);
    let (gradient, factors) = (gradient.into_dispatch(), step.factors());
    let (weight, first, second) = match place {
        #[cfg(feature = "gpu")]
        Place::Gpu => <Dispatch as gpu::OptimizerKernels>::adamw(weight, first, second, gradient, factors),
        _ => <Dispatch as OptimizerCpu>::adamw(weight, first, second, gradient, factors),
    };
    let [weight, first, second] = [weight, first, second].map(Tensor::from_dispatch);
    AdamWState { weight, first, second }
}

/// `decay · average + (1 − decay) · value`, off the gradient tape, in the average's place where nobody else holds it.
///
/// # Shapes
/// - `average`, `value`: `[n]`
pub fn moving_average(average: Tensor<1>, value: Tensor<1>, decay: f64) -> Tensor<1> {
    combine(average, value, decay as f32, (1.0 - decay) as f32)
}

/// `sum + part`, off the gradient tape, in the sum's place where nobody else holds it.
///
/// # Shapes
/// - `sum`, `part`: `[n]`
pub fn accumulate(sum: Tensor<1>, part: Tensor<1>) -> Tensor<1> {
    combine(sum, part, 1.0, 1.0)
}

/// `Σ x²`. `[1]`
///
/// # Shapes
/// - `x`: `[n]`
pub fn squared_norm(x: &Tensor<1>) -> Tensor<1> {
    let place = place_of(x);
    if place == Place::Reference {
        return x.clone().square().sum();
    }
    let x = x.clone().into_dispatch();
    Tensor::from_dispatch(match place {
        #[cfg(feature = "gpu")]
        Place::Gpu => <Dispatch as gpu::OptimizerKernels>::squared_norm(x),
        _ => <Dispatch as OptimizerCpu>::squared_norm(x),
    })
}

fn combine(x: Tensor<1>, y: Tensor<1>, kept: f32, new: f32) -> Tensor<1> {
    let place = place_of(&x);
    if place == Place::Reference {
        return x.mul_scalar(kept) + y.mul_scalar(new);
    }
    let (x, y) = (x.into_dispatch(), y.into_dispatch());
    Tensor::from_dispatch(match place {
        #[cfg(feature = "gpu")]
        Place::Gpu => <Dispatch as gpu::OptimizerKernels>::combine(x, y, kept, new),
        _ => <Dispatch as OptimizerCpu>::combine(x, y, kept, new),
    })
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, TensorData};

    use super::*;
    use crate::cpu::array::CHUNK;

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
    fn the_pass_on_the_cpu_is_the_reference() {
        for count in [1, 7, CHUNK - 1, CHUNK, 2 * CHUNK + 3] {
            let zeros = || Tensor::<1>::zeros([count], &Device::flex());
            let start = || AdamWState { weight: wave(count, 0.3), first: zeros(), second: zeros() };
            let (mut fast, mut plain) = (start(), start());
            for number in 1..4 {
                let step = AdamWStep { number, ..STEP };
                let gradient = wave(count, 0.7 * number as f32);
                fast = adamw(fast, gradient.clone(), step);
                plain = adamw_reference(plain, gradient, step.factors());
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

    #[test]
    fn sums_and_norms_are_those_of_primitives() {
        let (a, b) = (wave(2 * CHUNK + 5, 0.3), wave(2 * CHUNK + 5, 0.8));
        assert!(gap(&accumulate(a.clone(), b.clone()), &(a.clone() + b)) < 1e-7);
        let exact: f32 = values(&a).iter().map(|x| x * x).sum();
        assert!((values(&squared_norm(&a))[0] / exact - 1.0).abs() < 1e-5);
    }
}
