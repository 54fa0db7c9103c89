//! Adam (Kingma & Ba 2015, algorithm 1), for a handful of matrices.

use burn::tensor::Tensor;

const BETA_1: f64 = 0.9;
const BETA_2: f64 = 0.999;
const EPSILON: f64 = 1e-8;

/// The running moments of each weight's gradient.
pub(super) struct Adam<const N: usize> {
    step: i32,
    first: [Tensor<2>; N],
    second: [Tensor<2>; N],
}

impl<const N: usize> Adam<N> {
    pub(super) fn new(weights: &[Tensor<2>; N]) -> Self {
        let zeros = || weights.each_ref().map(Tensor::zeros_like);
        Self { step: 0, first: zeros(), second: zeros() }
    }

    /// Moves `weights` against `gradients`, by about `rate` a value.
    pub(super) fn update(&mut self, weights: &mut [Tensor<2>; N], gradients: [Tensor<2>; N], rate: f64) {
        self.step += 1;
        // Both moments start at zero; these undo that.
        let correct_1 = 1.0 - BETA_1.powi(self.step);
        let correct_2 = 1.0 - BETA_2.powi(self.step);
        let moments = self.first.iter_mut().zip(&mut self.second);
        for ((weight, gradient), (first, second)) in weights.iter_mut().zip(gradients).zip(moments) {
            *first = first.clone() * BETA_1 + gradient.clone() * (1.0 - BETA_1);
            *second = second.clone() * BETA_2 + gradient.powi_scalar(2) * (1.0 - BETA_2);
            let spread = (second.clone() / correct_2).sqrt() + EPSILON;
            *weight = weight.clone() - first.clone() / spread * (rate / correct_1);
        }
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;

    #[test]
    fn the_first_step_is_as_long_as_the_rate_and_the_minimum_is_found() {
        let target = Tensor::<2>::from_floats([[1.0, -2.0]], &Device::flex());
        let mut weights = [target.zeros_like()];
        let mut adam = Adam::new(&weights);
        for step in 0..200 {
            let gradient = weights[0].clone() - target.clone();
            adam.update(&mut weights, [gradient], 0.05);
            if step == 0 {
                let moved = weights[0].clone().into_data().try_to_vec::<f32>().unwrap();
                assert!((moved[0] - 0.05).abs() < 1e-6 && (moved[1] + 0.05).abs() < 1e-6, "{moved:?}");
            }
        }
        let distance = (weights[0].clone() - target).abs().max().into_scalar::<f32>();
        assert!(distance < 0.02, "{distance}");
    }
}
