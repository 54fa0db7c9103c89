//! Muon (Jordan et al. 2024): a matrix moves along the nearest matrix to its momentum whose singular values are all about 1, so
//! that rare directions of its gradient count as much as frequent ones.

use burn::tensor::Tensor;

use crate::linear::{product, product_with_rows};

/// Coefficients of the iteration, chosen so that small singular values grow fastest; they end between 0.7 and 1.2.
const COEFFICIENTS: [f32; 3] = [3.4445, -4.7750, 2.0315];
/// Iterations.
const ITERATIONS: usize = 5;
/// The root mean square of AdamW's updates, to which those of Muon are brought, so that one learning rate and one weight decay
/// serve both (Liu et al., 2502.16982, section 2.2).
const UPDATE_SIZE: f64 = 0.2;

/// What one matrix brings to a step.
#[derive(Clone, Debug)]
pub struct MuonUpdate {
    /// The matrix. `[d_in, d_out]`
    pub weight: Tensor<2>,
    /// Its gradients added up, the older ones for less. `[d_in, d_out]`
    pub momentum: Tensor<2>,
    /// `[d_in, d_out]`
    pub gradient: Tensor<2>,
    /// The numbers of its step.
    pub step: MuonStep,
}

/// Numbers of one step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MuonStep {
    /// Learning rate.
    pub learning_rate: f64,
    /// What the momentum is multiplied by before the gradient is added.
    pub momentum: f64,
    /// Decoupled weight decay.
    pub weight_decay: f64,
    /// What the gradient is multiplied by first.
    pub gradient_scale: f64,
}

/// The matrix and its momentum after one step, with Nesterov's look ahead; all off the gradient tape.
pub fn muon(MuonUpdate { weight, momentum, gradient, step }: MuonUpdate) -> [Tensor<2>; 2] {
    let gradient = gradient.mul_scalar(step.gradient_scale);
    let momentum = momentum.mul_scalar(step.momentum) + gradient.clone();
    let ahead = momentum.clone().mul_scalar(step.momentum) + gradient;
    let longest = weight.dims().into_iter().max().unwrap_or(1) as f64;
    let size = step.learning_rate * UPDATE_SIZE * longest.sqrt();
    let kept = 1.0 - step.learning_rate * step.weight_decay;
    let weight = weight.mul_scalar(kept) - orthogonalized(ahead).mul_scalar(size);
    [weight, momentum]
}

/// A matrix with the singular vectors of `x` and singular values of about 1, by a Newton–Schulz iteration; zero stays zero.
fn orthogonalized(x: Tensor<2>) -> Tensor<2> {
    let [rows, columns] = x.dims();
    let is_tall = rows > columns;
    let x = if is_tall { x.transpose() } else { x };
    let norm = x.clone().square().sum().sqrt().add_scalar(1e-7).reshape([1, 1]);
    let [a, b, c] = COEFFICIENTS;
    let found = (0..ITERATIONS).fold(x / norm, |x, _| {
        let gram = product_with_rows(x.clone(), x.clone());
        let mix = gram.clone().mul_scalar(b) + product(gram.clone(), gram).mul_scalar(c);
        product(mix, x.clone()) + x.mul_scalar(a)
    });
    if is_tall { found.transpose() } else { found }
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, TensorData};
    use ndarray::Array2;

    use super::*;

    fn noise(rows: usize, columns: usize) -> Vec<f32> {
        (0..rows * columns).map(|i| ((i * i + 3 * i) as f32 * 0.731).sin() + 0.3 * (i as f32 * 0.017).cos()).collect()
    }

    fn tensor(values: Vec<f32>, shape: [usize; 2]) -> Tensor<2> {
        Tensor::from_data(TensorData::new(values, shape), &Device::flex())
    }

    fn values(x: Tensor<2>) -> Vec<f32> {
        x.into_data().iter::<f32>().collect()
    }

    /// Keller Jordan's `zeropower_via_newtonschulz5`, in `f64`.
    fn by_definition(values: &[f32], [rows, columns]: [usize; 2]) -> Array2<f64> {
        let x = Array2::from_shape_vec((rows, columns), values.iter().map(|x| f64::from(*x)).collect()).unwrap();
        let mut x = if rows > columns { x.reversed_axes() } else { x };
        x /= x.mapv(|x| x * x).sum().sqrt() + 1e-7;
        for _ in 0..5 {
            let gram = x.dot(&x.t());
            let mix = &gram * -4.7750 + gram.dot(&gram) * 2.0315;
            x = &x * 3.4445 + mix.dot(&x);
        }
        if rows > columns { x.reversed_axes() } else { x }
    }

    #[test]
    fn equals_its_definition_for_wide_and_tall_matrices() {
        for shape in [[12, 12], [8, 33], [40, 9], [1, 5]] {
            let x = noise(shape[0], shape[1]);
            let found = values(orthogonalized(tensor(x.clone(), shape)));
            let expected = by_definition(&x, shape);
            let gap = found.iter().zip(expected.iter()).map(|(a, b)| (f64::from(*a) - b).abs());
            assert!(gap.fold(0.0, f64::max) < 1e-3, "{shape:?}");
        }
    }

    #[test]
    fn singular_values_come_close_to_one() {
        let shape = [16, 40];
        let found = by_definition(&values(orthogonalized(tensor(noise(16, 40), shape))), shape);
        // The squares of the singular values add up to the trace of the Gram matrix.
        let mean_square = found.mapv(|x| x * x).sum() / 16.0;
        assert!((0.6..1.3).contains(&mean_square), "{mean_square}");
    }

    #[test]
    fn a_step_has_the_size_that_was_asked_for_and_zero_moves_nothing() {
        let shape = [24, 64];
        let step = MuonStep { learning_rate: 0.1, momentum: 0.95, weight_decay: 0.5, gradient_scale: 2.0 };
        let [weight, zero] = [vec![1.0; 24 * 64], vec![0.0; 24 * 64]].map(|values| tensor(values, shape));
        let update = MuonUpdate { weight, momentum: zero.clone(), gradient: tensor(noise(24, 64), shape), step };
        let [moved, momentum] = muon(update.clone());
        // Decay alone would leave 0.95 everywhere.
        let moves: Vec<f32> = values(moved).into_iter().map(|x| x - 0.95).collect();
        let size = (moves.iter().map(|x| x * x).sum::<f32>() / moves.len() as f32).sqrt();
        assert!((0.014..0.024).contains(&size), "{size}");
        assert!(values(momentum).iter().zip(noise(24, 64)).all(|(a, b)| (a - 2.0 * b).abs() < 1e-6));

        let [still, _] = muon(MuonUpdate { gradient: zero, ..update });
        assert!(values(still).iter().all(|x| (x - 0.95).abs() < 1e-6));
    }
}
