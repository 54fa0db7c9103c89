//! Learned places of patches, in images of other sizes than those that they were learned for.
//!
//! A place is a vector for each patch of a grid. For another grid they are interpolated bilinearly between the centres of the
//! patches, as vision transformers do when the resolution changes (2010.11929, section 3.2): both grids cover the whole image,
//! and beyond the outermost centres a place is that of the outermost patch.
//!
//! Dimensions: a grid of `R × C` patches, `D` width of the model.

use burn::tensor::{Device, Tensor, TensorData};

/// The places of a grid `to`, of those of a grid `from`; the same tensor where both are equal.
///
/// # Shapes
/// - `places`: `[R · C, D]` of `from`; returns `[R' · C', D]` of `to`
pub(crate) fn interpolated(places: Tensor<2>, from: [usize; 2], to: [usize; 2]) -> Tensor<2> {
    if from == to {
        return places;
    }
    let ([rows, columns], [new_rows, new_columns]) = (from, to);
    let [_, width] = places.dims();
    let device = places.device();
    let places = weights(rows, new_rows, &device).matmul(places.reshape([rows, columns * width]));
    let places = places.reshape([new_rows, columns, width]).swap_dims(0, 1).reshape([columns, new_rows * width]);
    let places = weights(columns, new_columns, &device).matmul(places);
    places.reshape([new_columns, new_rows, width]).swap_dims(0, 1).reshape([new_rows * new_columns, width])
}

/// How much each of `from` centres counts at each of `to`. `[to, from]`
fn weights(from: usize, to: usize, device: &Device) -> Tensor<2> {
    let mut weights = vec![0.0; to * from];
    for (place, row) in weights.chunks_exact_mut(from).enumerate() {
        let centre = (place as f32 + 0.5) * from as f32 / to as f32 - 0.5;
        let centre = centre.clamp(0.0, from as f32 - 1.0);
        let (below, fraction) = (centre as usize, centre.fract());
        row[below] += 1.0 - fraction;
        row[(below + 1).min(from - 1)] += fraction;
    }
    Tensor::from_data(TensorData::new(weights, [to, from]), device)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(tensor: Tensor<2>) -> Vec<f32> {
        tensor.to_data().try_to_vec().unwrap()
    }

    /// Places that are a linear function of where they are.
    fn plane([rows, columns]: [usize; 2]) -> Vec<f32> {
        let centre = |place: usize, all: usize| (place as f32 + 0.5) / all as f32;
        let vector = |row, column| [centre(row, rows), 2.0 - 3.0 * centre(column, columns)];
        (0..rows * columns).flat_map(|place| vector(place / columns, place % columns)).collect()
    }

    #[test]
    fn the_same_grid_has_the_same_places() {
        let places = Tensor::from_data(TensorData::new(plane([3, 4]), [12, 2]), &Device::flex());
        assert_eq!(numbers(interpolated(places, [3, 4], [3, 4])), plane([3, 4]));
    }

    #[test]
    fn both_grids_cover_the_whole_image() {
        let places = Tensor::from_data(TensorData::new(plane([8, 6]), [48, 2]), &Device::flex());
        for to in [[4, 6], [8, 3], [4, 3]] {
            let found = numbers(interpolated(places.clone(), [8, 6], to));
            let gap = found.iter().zip(plane(to)).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(gap < 1e-5, "{to:?}: {gap}");
        }
    }

    /// `torch.nn.functional.interpolate(torch.tensor([[[[0., 1., 4.]]]]), size=(1, 5), mode="bilinear")`
    #[test]
    fn pytorch_interpolates_likewise() {
        let places = Tensor::from_data(TensorData::new(vec![0.0f32, 1.0, 4.0], [3, 1]), &Device::flex());
        let found = numbers(interpolated(places, [1, 3], [1, 5]));
        for (found, expected) in found.into_iter().zip([0.0, 0.4, 1.0, 2.8, 4.0]) {
            assert!((found - expected).abs() < 1e-6, "{found} {expected}");
        }
    }
}
