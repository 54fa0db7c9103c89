//! The rows of one part on their way through the layers.

use burn::tensor::Tensor;
use interfuse_kernels::add_rows;

use crate::norm::RmsNorm;

/// The residual stream of one part, and what the sub-layer before has yet to add to it: the sum is taken on the way into the
/// next norm, which reads it anyway.
#[derive(Clone, Debug)]
pub struct Stream {
    /// `[B, S, D]`
    rows: Tensor<3>,
    /// `[B, S, D]`
    branch: Option<Tensor<3>>,
}

impl Stream {
    /// Rows `[B, S, D]` that have met no layer yet.
    pub fn new(rows: Tensor<3>) -> Self {
        Self { rows, branch: None }
    }

    /// With what a sub-layer adds, `[B, S, D]`.
    pub fn with_branch(self, branch: Tensor<3>) -> Self {
        Self { rows: self.joined(), branch: Some(branch) }
    }

    /// The rows with all that was added.
    pub fn joined(self) -> Tensor<3> {
        match self.branch {
            Some(branch) => add_rows(self.rows, branch),
            None => self.rows,
        }
    }

    /// The stream, with all that was added, and its normed rows.
    pub fn normed(self, norm: &RmsNorm) -> (Self, Tensor<3>) {
        let (rows, normed) = match self.branch {
            Some(branch) => norm.of_sum(self.rows, branch),
            None => (self.rows.clone(), norm.forward(self.rows)),
        };
        (Self::new(rows), normed)
    }
}
