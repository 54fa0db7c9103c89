//! A norm with its weight.

use burn::module::{Module, Param};
use burn::tensor::Tensor;
use interfuse_kernels::{RopeTable, WeightInit, norm_rotate, rms_norm, sum_norm};

/// [`rms_norm()`] with a learned weight.
#[derive(Module, Debug)]
pub struct RmsNorm {
    /// `[D]`
    pub weight: Param<Tensor<1>>,
    #[module(skip)]
    epsilon: f64,
}

impl RmsNorm {
    /// A norm whose weight is one.
    pub fn new(width: usize, epsilon: f64, init: &mut WeightInit) -> Self {
        Self { weight: init.constant([width], 1.0), epsilon }
    }

    /// # Shapes
    /// - `x`: `[…, D]`; returns the same
    pub fn forward<const R: usize>(&self, x: Tensor<R>) -> Tensor<R> {
        rms_norm(x, self.weight.val(), self.epsilon)
    }

    /// The sum of two tensors, and its norm.
    ///
    /// # Shapes
    /// - `x`, `branch`: `[…, D]`; returns two of the same
    pub fn of_sum<const R: usize>(&self, x: Tensor<R>, branch: Tensor<R>) -> (Tensor<R>, Tensor<R>) {
        sum_norm(x, branch, self.weight.val(), self.epsilon)
    }

    /// Norms every head and turns it by its row's angles.
    ///
    /// # Shapes
    /// - `x`: `[B, S, H, D]`; returns the same
    pub fn forward_rotated(&self, x: Tensor<4>, rope: &RopeTable) -> Tensor<4> {
        norm_rotate(x, self.weight.val(), self.epsilon, rope)
    }
}
