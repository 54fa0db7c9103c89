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

/// As [`dense`], and the values are all that its memory holds, so that they can be written to in place.
pub(crate) fn whole(x: FlexTensor) -> FlexTensor {
    let x = dense(x);
    if x.bytes().len() == size_of::<f32>() * x.layout().num_elements() {
        x
    } else {
        FlexTensor::from_data(x.into_data())
    }
}

/// The elements of a [`whole`] tensor of `f32`; a copy of its own when others hold them too.
pub(crate) fn values_mut(x: &mut FlexTensor) -> &mut [f32] {
    x.storage_mut()
}

/// The lengths of all axes.
pub(crate) fn shape(x: &FlexTensor) -> Vec<usize> {
    x.layout().shape().iter().copied().collect()
}

/// A tensor of `values` in row-major order.
pub(crate) fn tensor(values: Vec<f32>, shape: impl Into<Vec<usize>>) -> FlexTensor {
    FlexTensor::from_data(TensorData::new(values, shape.into()))
}

/// The sum of arrays of `length` elements, added in their order: it does not depend on which was ready first.
pub(crate) fn sum_in_order(parts: Vec<Vec<f32>>, length: usize) -> Vec<f32> {
    let mut sum = vec![0.0; length];
    for part in parts {
        sum.iter_mut().zip(part).for_each(|(sum, part)| *sum += part);
    }
    sum
}

/// How many whole rows of `width` make about a chunk.
pub(crate) fn rows_of_a_chunk(width: usize) -> usize {
    (CHUNK / width.max(1)).max(1)
}
