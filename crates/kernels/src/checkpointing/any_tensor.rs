//! Tensors of any number of axes in one list.

use burn::backend::{AutodiffBackend, Dispatch, DispatchTensor};
use burn::tensor::Tensor;

/// A tensor of floats that has forgotten how many axes it has.
#[derive(Clone, Debug)]
pub struct AnyTensor(DispatchTensor);

impl<const R: usize> From<Tensor<R>> for AnyTensor {
    fn from(tensor: Tensor<R>) -> Self {
        Self(tensor.into_dispatch())
    }
}

impl AnyTensor {
    /// The tensor, which must have `R` axes.
    pub fn into_tensor<const R: usize>(self) -> Tensor<R> {
        Tensor::from_dispatch(self.0)
    }

    /// The same values, which the gradient tape does not follow.
    pub fn as_constant(&self) -> Self {
        match Dispatch::is_tracked(&self.0) {
            true => Self(Dispatch::from_inner(Dispatch::inner(self.0.clone()))),
            false => self.clone(),
        }
    }

    pub(super) fn from_dispatch(tensor: DispatchTensor) -> Self {
        Self(tensor)
    }

    pub(super) fn into_dispatch(self) -> DispatchTensor {
        self.0
    }
}
