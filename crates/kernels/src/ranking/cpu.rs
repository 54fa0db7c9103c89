//! The order of a row's elements on the CPU: a sort.

use burn::tensor::{Int, Tensor, TensorData};

pub(super) fn descending_order(scores: Tensor<2>) -> Tensor<2, Int> {
    let ([rows, count], device) = (scores.dims(), scores.device());
    // Zero of either sign is one number.
    let values: Vec<f32> = scores.detach().into_data().iter::<f32>().map(|score| score + 0.0).collect();
    let mut order: Vec<i32> = Vec::with_capacity(values.len());
    for row in values.chunks_exact(count.max(1)) {
        let mut places: Vec<(f32, i32)> = row.iter().copied().zip(0..).collect();
        places.sort_unstable_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        order.extend(places.into_iter().map(|(_, place)| place));
    }
    Tensor::from_data(TensorData::new(order, [rows, count]), &device)
}
