//! One step of each solver, as plain arithmetic on tensors.
//!
//! Every solver asks the network through one function, `(x_t, t) ↦ prediction`, and follows the times that [`times`] gives.

use burn::tensor::{Tensor, TensorData};
use interfuse_image_tower::noise_schedule::DDPM_STEPS;
use interfuse_image_tower::{CosineSchedule, NoiseProcess, PredictionTarget, shift_timestep, standard_normal};
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
    /// From 1 down to 0, one more than there are steps.
    pub times: Vec<f32>,
    /// Largest absolute value of a clean latent, where the codec knows one; estimates of the clean image are clipped to it
    /// in the DDPM solvers, as in the reference implementation.
    pub bound: Option<f32>,
}

/// Times from 1 to 0 at which the network is asked, and the 0 at the end.
pub fn times(process: NoiseProcess, steps: usize, shift: f64) -> Vec<f32> {
    match process {
        NoiseProcess::RectifiedFlow => {
            (0..=steps).map(|i| shift_timestep(1.0 - i as f64 / steps as f64, shift) as f32).collect()
        }
        NoiseProcess::Ddpm => {
            let respaced = CosineSchedule::respaced(steps);
            let asked = respaced.iter().rev().map(|&step| (step + 1) as f32 / DDPM_STEPS as f32);
            asked.chain([0.0]).collect()
        }
    }
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
        let clean = match self.bound {
            Some(bound) => clean.clamp(-bound, bound),
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
                for steps in [1, 7, 50] {
                    let times = times(process, steps, 1.5);
                    let plan = Integration { solver, prediction, process, times, bound: Some(1.0) };
                    let mut generators = [ChaCha8Rng::seed_from_u64(4)];
                    let start = tensor(&standard_normal(3, &mut generators[0]));
                    let predict = |x: Tensor<4>, t: f32| oracle(&plan, &clean, x, t);
                    let found = values(integrate(&plan, start, &mut generators, &predict));
                    for (found, clean) in found.iter().zip(clean) {
                        let case = format!("{solver:?} {prediction:?} {steps} steps: {found} for {clean}");
                        assert!((found - clean).abs() < 0.02, "{case}");
                    }
                }
            }
        }
    }

    #[test]
    fn times_fall_from_one_to_zero() {
        for process in [NoiseProcess::RectifiedFlow, NoiseProcess::Ddpm] {
            let times = times(process, 25, 3.0);
            assert_eq!((times.len(), times[0], times[25]), (26, 1.0, 0.0));
            assert!(times.windows(2).all(|pair| pair[1] < pair[0]));
        }
    }

    /// On a curved path Heun's error falls with the square of the step.
    #[test]
    fn heun_is_of_second_order() {
        // v = −x gives x(0) = x(1) · e, since time runs down.
        let error = |solver, steps| {
            let (process, prediction) = (NoiseProcess::RectifiedFlow, PredictionTarget::Velocity);
            let times = times(process, steps, 1.0);
            let plan = Integration { solver, prediction, process, times, bound: None };
            let end = integrate(&plan, tensor(&[1.0]), &mut [], &|x, _| x.neg());
            (values(end)[0] - std::f32::consts::E).abs()
        };
        assert!(error(Solver::Heun, 40) < error(Solver::Euler, 40) / 5.0);
        let ratio = error(Solver::Euler, 20) / error(Solver::Euler, 40);
        assert!((1.7..2.3).contains(&ratio), "Euler is of first order: {ratio}");
    }
}
