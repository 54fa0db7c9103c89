//! Predicted patches that overlap their neighbours, added where they do.
//!
//! Dimensions: `B` sequences, `N` images, `C × H × W` latents, `p` patch size, `o` overlap, `P` patches of an image.
//!
//! This is a transposed convolution with kernel `p + 2o`, stride `p` and padding `o`, whose matrix product has already been
//! taken: what is left is to lay the windows over one another. It is done axis by axis. A window of `p + 2o` is cut into its
//! first `p` pixels and its last `2o`; the first parts of all windows tile the axis, and so do the last parts one patch
//! further on.

use burn::tensor::Tensor;

use crate::patchify::unpatchify;

/// # Shapes
/// - `x`: `[B, N · P, (p + 2o)² · C]`, each window row by row with the channel fastest; `latent_shape`: `[C, H, W]`
/// - returns `[B, N, C, H, W]`
pub fn overlap_add(x: Tensor<3>, patch_size: usize, overlap: usize, latent_shape: [usize; 3]) -> Tensor<5> {
    if overlap == 0 {
        return unpatchify(x, patch_size, latent_shape);
    }
    let [channels, height, width] = latent_shape;
    let [rows, columns] = [height / patch_size, width / patch_size];
    let window = patch_size + 2 * overlap;
    let [batch, all_rows, _] = x.dims();
    let images = all_rows / (rows * columns);
    let outer = batch * images;

    // [outer, rows, columns, wy, wx, C] → columns and wx become W.
    let x = x.reshape([outer * rows, columns, window, window, channels]).permute([0, 2, 1, 3, 4]);
    let x = add_windows(x.reshape([outer * rows * window, columns, window, channels]), patch_size, overlap);
    // [outer, rows, wy, W · C] → rows and wy become H.
    let x = add_windows(x.reshape([outer, rows, window, width * channels]), patch_size, overlap);
    x.reshape([outer, height, width, channels]).permute([0, 3, 1, 2]).reshape([batch, images, channels, height, width])
}

/// Lays the windows of one axis over one another.
///
/// # Shapes
/// - `x`: `[A, n, p + 2o, Z]`; returns `[A, n · p, Z]`
fn add_windows(x: Tensor<4>, patch_size: usize, overlap: usize) -> Tensor<3> {
    let [outer, count, _, inner] = x.dims();
    let device = x.device();
    let zeros = |count, size| Tensor::<4>::zeros([outer, count, size, inner], &device);
    let first = x.clone().narrow(2, 0, patch_size);
    let last = x.narrow(2, patch_size, 2 * overlap);
    let last = Tensor::cat(vec![last, zeros(count, patch_size - 2 * overlap)], 2);
    let first = Tensor::cat(vec![first, zeros(1, patch_size)], 1);
    let last = Tensor::cat(vec![zeros(1, patch_size), last], 1);
    let line = (first + last).reshape([outer, (count + 1) * patch_size, inner]);
    line.narrow(1, overlap, count * patch_size)
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::{Device, Int, TensorData};

    /// Written out with loops.
    fn by_hand(x: &[f32], [p, o]: [usize; 2], [channels, height, width]: [usize; 3]) -> Vec<f32> {
        let (rows, columns, window) = (height / p, width / p, p + 2 * o);
        let mut out = vec![0.0; channels * height * width];
        let mut values = x.iter();
        for patch in 0..rows * columns {
            for wy in 0..window {
                for wx in 0..window {
                    for c in 0..channels {
                        let value = values.next().unwrap();
                        let y = (patch / columns * p + wy) as isize - o as isize;
                        let x = (patch % columns * p + wx) as isize - o as isize;
                        let inside = y >= 0 && x >= 0 && (y as usize) < height && (x as usize) < width;
                        if inside {
                            out[(c * height + y as usize) * width + x as usize] += value;
                        }
                    }
                }
            }
        }
        out
    }

    #[test]
    fn windows_are_added_where_they_overlap() {
        for (p, o, shape) in [(4, 1, [2, 8, 12]), (4, 2, [1, 4, 8]), (2, 1, [3, 6, 2]), (2, 0, [3, 4, 4])] {
            let [channels, height, width] = shape;
            let count = (height / p) * (width / p) * (p + 2 * o) * (p + 2 * o) * channels;
            let values: Vec<f32> = (0..count).map(|i| (i as f32 * 0.37).sin()).collect();
            let data =
                TensorData::new(values.clone(), [1, (height / p) * (width / p), count / (height / p * (width / p))]);
            let out = overlap_add(Tensor::from_data(data, &Device::flex()), p, o, shape);
            let out = out.into_data().try_to_vec::<f32>().unwrap();
            for (found, expected) in out.iter().zip(by_hand(&values, [p, o], shape)) {
                assert!((found - expected).abs() < 1e-5, "patch {p} overlap {o}");
            }
        }
    }

    #[test]
    fn images_of_a_batch_do_not_mix() {
        let x = Tensor::<1, Int>::arange(0..2 * 3 * 4 * 36, &Device::flex()).float().reshape([2, 12, 36]);
        let all = overlap_add(x.clone(), 4, 1, [1, 8, 8]);
        let one = overlap_add(x.slice([1..2, 8..12, 0..36]), 4, 1, [1, 8, 8]);
        let picked = all.slice([1..2, 2..3, 0..1, 0..8, 0..8]);
        assert_eq!(picked.into_data(), one.into_data());
    }
}
