//! Between Flex tensors and slices.

use burn::backend::flex::FlexTensor;
use burn::tensor::TensorData;

/// Elements that one task works on: small enough to share out, large enough to be worth a task.
pub(crate) const CHUNK: usize = 1 << 14;

/// The same values in row-major order without gaps; no copy when they lie so already.
pub(crate) fn dense(x: FlexTensor) -> FlexTensor {
    if x.layout().contiguous_offsets().is_some() { x } else { x.to_contiguous() }
}

/// The elements of a [`dense`] tensor of `f32`, in row-major order.
pub(crate) fn values(x: &FlexTensor) -> &[f32] {
    x.as_slice().expect("a dense tensor of f32")
}

/// The lengths of all axes.
pub(crate) fn shape(x: &FlexTensor) -> Vec<usize> {
    x.layout().shape().iter().copied().collect()
}

/// A tensor of `values` in row-major order.
pub(crate) fn tensor(values: Vec<f32>, shape: impl Into<Vec<usize>>) -> FlexTensor {
    FlexTensor::from_data(TensorData::new(values, shape.into()))
}

/// How many whole rows of `width` make about a chunk.
pub(crate) fn rows_of_a_chunk(width: usize) -> usize {
    (CHUNK / width.max(1)).max(1)
}
