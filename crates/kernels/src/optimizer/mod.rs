//! What an optimizer does to every weight in every step: AdamW (1711.05101, algorithm 2) and a moving average.
//!
//! Both only stream through memory, so on the CPU each is one pass over all its arrays, spread over the cores, where
//! primitives would make a dozen.

mod cpu;
#[cfg(feature = "gpu")]
mod gpu;
mod muon;
mod reference;

use burn::backend::Dispatch;
use burn::tensor::Tensor;

use self::cpu::OptimizerCpu;
pub use self::muon::{MuonStep, MuonUpdate, muon};
use self::reference::adamw_reference;
use crate::place::{Place, place_of};
#[cfg(feature = "gpu")]
use crate::tape::list::TensorList;

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
#[derive(Clone, Copy, Debug, PartialEq)]
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

/// What one weight brings to a step.
#[derive(Clone, Debug)]
pub struct AdamWUpdate {
    /// The weight and its moments before the step.
    pub state: AdamWState,
    /// Of the weight. `[n]`
    pub gradient: Tensor<1>,
    /// The numbers of its step.
    pub step: AdamWStep,
}

/// One step of AdamW on every weight; all lie on one device, off the gradient tape. Weights and moments are changed in place
/// where nobody else holds them.
pub fn adamw(updates: Vec<AdamWUpdate>) -> Vec<AdamWState> {
    let Some(first) = updates.first() else { return vec![] };
    match place_of(&first.gradient) {
        #[cfg(feature = "gpu")]
        Place::Gpu => adamw_on_gpu(updates),
        place => updates.into_iter().map(|update| adamw_of_one(update, place)).collect(),
    }
}

fn adamw_of_one(AdamWUpdate { state, gradient, step }: AdamWUpdate, place: Place) -> AdamWState {
    if place == Place::Reference {
        return adamw_reference(state, gradient, step.factors());
    }
    let [weight, first, second] = [state.weight, state.first, state.second].map(Tensor::into_dispatch);
    let (weight, first, second) =
        <Dispatch as OptimizerCpu>::adamw(weight, first, second, gradient.into_dispatch(), step.factors());
    let [weight, first, second] = [weight, first, second].map(Tensor::from_dispatch);
    AdamWState { weight, first, second }
}

#[cfg(feature = "gpu")]
fn adamw_on_gpu(updates: Vec<AdamWUpdate>) -> Vec<AdamWState> {
    let factors = updates.iter().map(|update| update.step.factors()).collect();
    let (mut states, mut gradients) = (vec![], vec![]);
    for AdamWUpdate { state: AdamWState { weight, first, second }, gradient, .. } in updates {
        states.extend([weight, first, second].map(Tensor::into_dispatch));
        gradients.push(gradient.into_dispatch());
    }
    let states = <Dispatch as gpu::OptimizerKernels>::adamw(TensorList(states), TensorList(gradients), factors);
    let mut states = states.0.into_iter().map(Tensor::from_dispatch);
    let next = || Some(AdamWState { weight: states.next()?, first: states.next()?, second: states.next()? });
    std::iter::from_fn(next).collect()
}

/// `decay · average + (1 − decay) · value` of every pair, off the gradient tape, in the average's place where nobody else
/// holds it.
///
/// # Shapes
/// - each of `averages` and its value: `[n]`
pub fn moving_averages(averages: Vec<Tensor<1>>, values: Vec<Tensor<1>>, decay: f64) -> Vec<Tensor<1>> {
    combine(averages, values, decay as f32, (1.0 - decay) as f32)
}

/// `sum + part` of every pair, off the gradient tape, in the sum's place where nobody else holds it.
///
/// # Shapes
/// - each of `sums` and its part: `[n]`
pub fn accumulate(sums: Vec<Tensor<1>>, parts: Vec<Tensor<1>>) -> Vec<Tensor<1>> {
    combine(sums, parts, 1.0, 1.0)
}

/// `Σ x²` of each, which lie on one device. `[number of tensors]`; at least one is given.
///
/// # Shapes
/// - each of `xs`: `[n]`
pub fn squared_norms(xs: &[Tensor<1>]) -> Tensor<1> {
    let norm = |x: &Tensor<1>| match place_of(x) {
        Place::Reference => x.clone().square().sum(),
        _ => Tensor::from_dispatch(<Dispatch as OptimizerCpu>::squared_norm(x.clone().into_dispatch())),
    };
    match place_of(&xs[0]) {
        #[cfg(feature = "gpu")]
        Place::Gpu => {
            let xs = xs.iter().map(|x| x.clone().into_dispatch()).collect();
            Tensor::from_dispatch(<Dispatch as gpu::OptimizerKernels>::squared_norms(TensorList(xs)))
        }
        _ => Tensor::cat(xs.iter().map(norm).collect(), 0),
    }
}

fn combine(xs: Vec<Tensor<1>>, ys: Vec<Tensor<1>>, kept: f32, new: f32) -> Vec<Tensor<1>> {
    let Some(first) = xs.first() else { return vec![] };
    let place = place_of(first);
    #[cfg(feature = "gpu")]
    if place == Place::Gpu {
        let [xs, ys] = [xs, ys].map(|list| TensorList(list.into_iter().map(Tensor::into_dispatch).collect()));
        let sums = <Dispatch as gpu::OptimizerKernels>::combine(xs, ys, kept, new);
        return sums.0.into_iter().map(Tensor::from_dispatch).collect();
    }
    let of_pair = |(x, y): (Tensor<1>, Tensor<1>)| match place {
        Place::Reference => x.mul_scalar(kept) + y.mul_scalar(new),
        _ => {
            let (x, y) = (x.into_dispatch(), y.into_dispatch());
            Tensor::from_dispatch(<Dispatch as OptimizerCpu>::combine(x, y, kept, new))
        }
    };
    xs.into_iter().zip(ys).map(of_pair).collect()
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

    fn one_step(state: AdamWState, gradient: Tensor<1>, step: AdamWStep) -> AdamWState {
        adamw(vec![AdamWUpdate { state, gradient, step }]).remove(0)
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
                fast = one_step(fast, gradient.clone(), step);
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
        let after = one_step(state, wave(5, 0.9), STEP);
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
            state = one_step(state, one(g as f32), AdamWStep { number, gradient_scale: 1.0, ..STEP });
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
        assert!(gap(&moving_averages(vec![a], vec![b], 0.75)[0], &expected) < 1e-7);
    }

    #[test]
    fn sums_and_norms_are_those_of_primitives() {
        let (a, b) = (wave(2 * CHUNK + 5, 0.3), wave(2 * CHUNK + 5, 0.8));
        assert!(gap(&accumulate(vec![a.clone()], vec![b.clone()])[0], &(a.clone() + b)) < 1e-7);
        let exact: f32 = values(&a).iter().map(|x| x * x).sum();
        assert!((values(&squared_norms(&[a]))[0] / exact - 1.0).abs() < 1e-5);
    }
}
