//! One step of each solver, as plain arithmetic on tensors.
//!
//! Every solver asks the network through one function, `(x_t, t) ↦ prediction`, and follows the times that [`times`] gives.

use burn::tensor::{Tensor, TensorData};
use interfuse_image_tower::noise_schedule::DDPM_STEPS;
use interfuse_image_tower::{NoiseProcess, PredictionTarget, TimestepSpacing, shift_timestep, standard_normal};
use interfuse_vae::LatentRange;
use rand_chacha::ChaCha8Rng;

use crate::config::Solver;

/// How the solver goes.
#[derive(Clone, Debug)]
pub struct Integration {
    /// How a step is taken.
    pub solver: Solver,
    /// What the network puts out.
    pub prediction: PredictionTarget,
    /// How images become noise.
    pub process: NoiseProcess,
    /// From noise down to 0, one more than there are steps.
    pub times: Vec<f32>,
    /// Between what clean latents lie; `None` bounds nothing.
    pub bounds: Option<Bounds>,
}

/// Between what clean latents lie. The DDPM solvers clip their estimate of the clean image to it, and take for the noise what
/// is left then: so an error of the predicted noise, which is multiplied by sigma / alpha in the estimate, stays bounded
/// near t = 1 (2006.11239's `clip_denoised`; 2205.11487, section 2.3, "static thresholding", on measured bounds).
#[derive(Clone, Debug)]
pub struct Bounds {
    /// `[1, C, 1, 1]`
    min: Tensor<4>,
    /// `[1, C, 1, 1]`
    max: Tensor<4>,
}

impl Bounds {
    /// The bounds on the device of `like`.
    pub fn new(range: &LatentRange, like: &Tensor<4>) -> Self {
        let tensor = |values: &[f32]| {
            Tensor::from_data(TensorData::new(values.to_vec(), [1, values.len(), 1, 1]), &like.device())
        };
        Self { min: tensor(&range.min), max: tensor(&range.max) }
    }

    /// # Shapes
    /// - `clean`: `[B, C, H, W]`
    fn clip(&self, clean: Tensor<4>) -> Tensor<4> {
        let shape = clean.dims();
        clean.max_pair(self.min.clone().expand(shape)).min_pair(self.max.clone().expand(shape))
    }
}

/// Times, falling, at which the network is asked, and the 0 at the end.
///
/// The shift is that of training ([`shift_timestep`]). The discrete process takes the steps nearest to the shifted times; two
/// that fall on the same one are asked once, so there may be fewer than `steps`.
pub fn times(process: NoiseProcess, steps: usize, spacing: TimestepSpacing, shift: f64) -> Vec<f32> {
    let mut times: Vec<f32> = match process {
        NoiseProcess::RectifiedFlow => {
            (0..steps).map(|i| shift_timestep(1.0 - i as f64 / steps as f64, shift) as f32).collect()
        }
        NoiseProcess::Ddpm => spacing
            .steps(steps)
            .into_iter()
            .map(|n| process.nearest_time(shift_timestep(n as f64 / DDPM_STEPS as f64, shift) as f32))
            .collect(),
    };
    times.dedup();
    times.push(0.0);
    times
}

/// Walks from noise to an image.
///
/// # Shapes
/// - `x`: `[B, C, H, W]`, standard normal; `predict` takes and gives the same; `generators`: one for each of `B`
pub fn integrate(
    integrate: &Integration,
    mut x: Tensor<4>,
    generators: &mut [ChaCha8Rng],
    predict: &dyn Fn(Tensor<4>, f32) -> Tensor<4>,
) -> Tensor<4> {
    for pair in integrate.times.windows(2) {
        let (t, next) = (pair[0], pair[1]);
        x = match integrate.solver {
            Solver::Euler => integrate.euler(x, t, next, predict),
            Solver::Heun => integrate.heun(x, t, next, predict),
            Solver::Ddim => integrate.ddim(x, t, next, predict),
            Solver::Ancestral => integrate.ancestral(x, t, next, generators, predict),
        };
    }
    x
}

type Predict<'a> = &'a dyn Fn(Tensor<4>, f32) -> Tensor<4>;

impl Integration {
    fn velocity(&self, x: &Tensor<4>, t: f32, predict: Predict<'_>) -> Tensor<4> {
        let (c, d) = self.prediction.to_velocity(self.process.coefficients(t));
        combine(x, c, predict(x.clone(), t), d)
    }

    /// `x + (t' − t) v(x, t)`
    fn euler(&self, x: Tensor<4>, t: f32, next: f32, predict: Predict<'_>) -> Tensor<4> {
        let velocity = self.velocity(&x, t, predict);
        x + velocity.mul_scalar(next - t)
    }

    /// `x + (t' − t) (v(x, t) + v(x', t')) / 2`, and Euler for the last step, where no time is left to ask at.
    fn heun(&self, x: Tensor<4>, t: f32, next: f32, predict: Predict<'_>) -> Tensor<4> {
        let first = self.velocity(&x, t, predict);
        let guess = x.clone() + first.clone().mul_scalar(next - t);
        if next <= 0.0 {
            return guess;
        }
        let second = self.velocity(&guess, next, predict);
        x + (first + second).mul_scalar(0.5 * (next - t))
    }

    /// The clean image and the noise that the prediction implies.
    fn clean_and_noise(&self, x: &Tensor<4>, t: f32, predict: Predict<'_>) -> (Tensor<4>, Tensor<4>) {
        let (alpha, sigma) = self.process.coefficients(t);
        let (c, d) = self.prediction.to_clean((alpha, sigma));
        let clean = combine(x, c, predict(x.clone(), t), d);
        let clean = match &self.bounds {
            Some(bounds) => bounds.clip(clean),
            None => clean,
        };
        let noise = (x.clone() - clean.clone().mul_scalar(alpha)).div_scalar(sigma.max(1e-4));
        (clean, noise)
    }

    /// `alpha' x̂_0 + sigma' ε̂` (2010.02502, equation 12 with σ = 0)
    fn ddim(&self, x: Tensor<4>, t: f32, next: f32, predict: Predict<'_>) -> Tensor<4> {
        let (clean, noise) = self.clean_and_noise(&x, t, predict);
        let (alpha, sigma) = self.process.coefficients(next);
        clean.mul_scalar(alpha) + noise.mul_scalar(sigma)
    }

    /// Mean and variance of `q(x_{t'} | x_t, x̂_0)` (2006.11239, equations 6 and 7), on the times that are asked at.
    fn ancestral(
        &self,
        x: Tensor<4>,
        t: f32,
        next: f32,
        generators: &mut [ChaCha8Rng],
        predict: Predict<'_>,
    ) -> Tensor<4> {
        let (clean, _) = self.clean_and_noise(&x, t, predict);
        let alpha_bar = |t: f32| f64::from(self.process.coefficients(t).0).powi(2);
        let (now, then) = (alpha_bar(t), alpha_bar(next));
        let beta = 1.0 - now / then;
        let of_clean = then.sqrt() * beta / (1.0 - now);
        let of_x = (now / then).sqrt() * (1.0 - then) / (1.0 - now);
        let mean = combine(&x, of_x as f32, clean, of_clean as f32);
        if next <= 0.0 {
            return mean;
        }
        let std = (beta * (1.0 - then) / (1.0 - now)).sqrt();
        let noise = fresh_noise(mean.dims(), generators, &mean);
        mean + noise.mul_scalar(std)
    }
}

/// `c · x + d · y`
fn combine(x: &Tensor<4>, c: f32, y: Tensor<4>, d: f32) -> Tensor<4> {
    match c {
        0.0 => y.mul_scalar(d),
        _ => x.clone().mul_scalar(c) + y.mul_scalar(d),
    }
}

/// Standard normal values, each image's from a generator of its own.
fn fresh_noise(shape: [usize; 4], generators: &mut [ChaCha8Rng], like: &Tensor<4>) -> Tensor<4> {
    let size = shape[1..].iter().product();
    let values: Vec<f32> = generators.iter_mut().flat_map(|rng| standard_normal(size, rng)).collect();
    Tensor::from_data(TensorData::new(values, shape), &like.device())
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::Device;
    use rand_chacha::rand_core::SeedableRng;

    fn tensor(values: &[f32]) -> Tensor<4> {
        Tensor::from_data(TensorData::new(values.to_vec(), [1, 1, 1, values.len()]), &Device::flex())
    }

    fn values(x: Tensor<4>) -> Vec<f32> {
        x.to_data().try_to_vec().unwrap()
    }

    /// A network that knows the one image of the data set.
    fn oracle(integrate: &Integration, clean: &[f32], x: Tensor<4>, t: f32) -> Tensor<4> {
        let (alpha, sigma) = integrate.process.coefficients(t);
        let noise = (x - tensor(clean).mul_scalar(alpha)).div_scalar(sigma);
        let (a, b) = integrate.prediction.coefficients();
        tensor(clean).mul_scalar(a) + noise.mul_scalar(b)
    }

    /// Bounds of one channel.
    fn bounds(limit: f32) -> Option<Bounds> {
        Some(Bounds::new(&LatentRange { min: vec![-limit], max: vec![limit] }, &tensor(&[0.0])))
    }

    #[test]
    fn every_solver_finds_the_only_image_there_is() {
        let clean = [0.5, -0.25, 0.9];
        for (solver, process) in [
            (Solver::Euler, NoiseProcess::RectifiedFlow),
            (Solver::Heun, NoiseProcess::RectifiedFlow),
            (Solver::Ddim, NoiseProcess::Ddpm),
            (Solver::Ancestral, NoiseProcess::Ddpm),
        ] {
            for prediction in [process.natural_target(), PredictionTarget::Clean] {
                for (steps, spacing) in
                    [1, 7, 50].into_iter().flat_map(|steps| SPACINGS.map(|spacing| (steps, spacing)))
                {
                    let times = times(process, steps, spacing, 1.5);
                    let plan = Integration { solver, prediction, process, times, bounds: bounds(1.0) };
                    let mut generators = [ChaCha8Rng::seed_from_u64(4)];
                    let start = tensor(&standard_normal(3, &mut generators[0]));
                    let predict = |x: Tensor<4>, t: f32| oracle(&plan, &clean, x, t);
                    let found = values(integrate(&plan, start, &mut generators, &predict));
                    for (found, clean) in found.iter().zip(clean) {
                        let case = format!("{solver:?} {prediction:?} {spacing:?} {steps} steps: {found} for {clean}");
                        assert!((found - clean).abs() < 0.02, "{case}");
                    }
                }
            }
        }
    }

    const SPACINGS: [TimestepSpacing; 3] =
        [TimestepSpacing::Trailing, TimestepSpacing::Leading, TimestepSpacing::Linspace];

    /// Standard normal latents, of which the best prediction of the noise is known: `E[ε | x_t] = sigma x_t`. The exact flow
    /// leaves x where it is, and nothing corrects what an imperfect network adds.
    ///
    /// Returns the root mean square of what a network whose prediction is wrong by `error` in every number adds.
    fn harm(plan: &Integration, error: &dyn Fn(usize, f32) -> f32) -> f32 {
        const NUMBERS: usize = 512;
        let run = |error: &dyn Fn(usize, f32) -> f32| {
            let mut generators = [ChaCha8Rng::seed_from_u64(9)];
            let start = tensor(&standard_normal(NUMBERS, &mut generators[0]));
            let predict = |x: Tensor<4>, t: f32| {
                let (_, sigma) = plan.process.coefficients(t);
                let wrong: Vec<f32> = (0..NUMBERS).map(|i| error(i, t)).collect();
                x.mul_scalar(sigma) + tensor(&wrong)
            };
            values(integrate(plan, start, &mut generators, &predict))
        };
        let (exact, wrong) = (run(&|_, _| 0.0), run(error));
        let squares: f32 = exact.iter().zip(&wrong).map(|(a, b)| (a - b).powi(2)).sum();
        (squares / NUMBERS as f32).sqrt()
    }

    /// The setting of Transfusion. At t = 1 an error of the noise is multiplied by 2e4 in the estimate of the image, and what
    /// is left of that after a step was 405 times the error with 40 steps and 62 times with 250.
    #[test]
    fn an_error_of_the_predicted_noise_is_not_multiplied() {
        let (process, prediction) = (NoiseProcess::Ddpm, PredictionTarget::Noise);
        let spacing = TimestepSpacing::for_prediction(prediction);
        const ERROR: f32 = 0.01;
        // Of either sign, the same at all times or another one at each.
        let fixed = |i: usize, _: f32| if i.is_multiple_of(2) { ERROR } else { -ERROR };
        let changing = |i: usize, t: f32| fixed(i * 7919 + (t * 1000.0) as usize * 104_729 / 3, t);
        for solver in [Solver::Ddim, Solver::Ancestral] {
            for steps in [20, 40, 100, 250, 1000] {
                let times = times(process, steps, spacing, 1.0);
                let plan = Integration { solver, prediction, process, times, bounds: bounds(4.0) };
                let case = format!("{solver:?}, {steps} steps");
                let (by_fixed, by_changing) = (harm(&plan, &fixed) / ERROR, harm(&plan, &changing) / ERROR);
                assert!(by_fixed < 8.0, "{case}: multiplied by {by_fixed}");
                assert!(by_changing < 4.0, "{case}: multiplied by {by_changing}");
            }
        }
    }

    /// Where someone asks for pure noise as the start, the bounds hold: what is estimated there weighs no more than the image
    /// does in the next step.
    #[test]
    fn bounds_hold_what_is_estimated_in_pure_noise() {
        let (process, prediction) = (NoiseProcess::Ddpm, PredictionTarget::Noise);
        for (spacing, steps) in [(TimestepSpacing::Trailing, 40), (TimestepSpacing::Linspace, 250)] {
            let times = times(process, steps, spacing, 1.0);
            let (alpha, _) = process.coefficients(times[1]);
            let plan = |bounds| Integration { solver: Solver::Ddim, prediction, process, times: times.clone(), bounds };
            let error = |i: usize, _: f32| if i.is_multiple_of(2) { 0.05 } else { -0.05 };
            let (free, bounded) = (harm(&plan(None), &error), harm(&plan(bounds(4.0)), &error));
            assert!(free > 2.0, "{free}");
            assert!(bounded < 4.0 * alpha + 8.0 * 0.05, "{steps} steps: {bounded}");
        }
    }

    #[test]
    fn bounds_are_by_channel() {
        let range = LatentRange { min: vec![-1.0, 0.0], max: vec![1.0, 5.0] };
        let x = Tensor::<4>::from_floats([[[[-3.0, 0.5]], [[-3.0, 7.0]]]], &Device::flex());
        assert_eq!(values(Bounds::new(&range, &x).clip(x)), [-1.0, 0.5, 0.0, 5.0]);
    }

    #[test]
    fn times_fall_to_zero() {
        for process in [NoiseProcess::RectifiedFlow, NoiseProcess::Ddpm] {
            let times = times(process, 25, TimestepSpacing::Trailing, 3.0);
            assert_eq!((times.len(), times[0], times[25]), (26, 1.0, 0.0));
            assert!(times.windows(2).all(|pair| pair[1] < pair[0]));
        }
    }

    #[test]
    fn both_processes_are_shifted_as_in_training() {
        let of = |process, shift| times(process, 4, TimestepSpacing::Trailing, shift);
        assert_eq!(of(NoiseProcess::RectifiedFlow, 3.0), [1.0, 0.9, 0.75, 0.5, 0.0]);
        assert_eq!(of(NoiseProcess::Ddpm, 3.0), [1.0, 0.9, 0.75, 0.5, 0.0]);
        // Crowded steps are asked once each.
        let crowded = times(NoiseProcess::Ddpm, 1000, TimestepSpacing::Trailing, 8.0);
        assert!(crowded.len() < 1000 && crowded.windows(2).all(|pair| pair[1] < pair[0]));
    }

    /// On a curved path Heun's error falls with the square of the step.
    #[test]
    fn heun_is_of_second_order() {
        // v = −x gives x(0) = x(1) · e, since time runs down.
        let error = |solver, steps| {
            let (process, prediction) = (NoiseProcess::RectifiedFlow, PredictionTarget::Velocity);
            let times = times(process, steps, TimestepSpacing::Trailing, 1.0);
            let plan = Integration { solver, prediction, process, times, bounds: None };
            let end = integrate(&plan, tensor(&[1.0]), &mut [], &|x, _| x.neg());
            (values(end)[0] - std::f32::consts::E).abs()
        };
        assert!(error(Solver::Heun, 40) < error(Solver::Euler, 40) / 5.0);
        let ratio = error(Solver::Euler, 20) / error(Solver::Euler, 40);
        assert!((1.7..2.3).contains(&ratio), "Euler is of first order: {ratio}");
    }
}
