//! Images as rows of patches.
//!
//! Dimensions: `B` sequences, `N` images, `C × H × W` latents, `p` patch size, `P = H/p · W/p` patches.
//!
//! Patches run left to right, top to bottom; a patch is a vector of `p · p · C` with the channel fastest.

use burn::tensor::Tensor;

/// # Shapes
/// - `x`: `[B, N, C, H, W]`; returns `[B, N · P, p · p · C]`
pub fn patchify(x: Tensor<5>, patch_size: usize) -> Tensor<3> {
    let [batch, images, channels, height, width] = x.dims();
    let [rows, columns] = [height / patch_size, width / patch_size];
    x.reshape([batch * images, channels, rows, patch_size, columns, patch_size]).permute([0, 2, 4, 3, 5, 1]).reshape([
        batch,
        images * rows * columns,
        patch_size * patch_size * channels,
    ])
}

/// The inverse of [`patchify`].
///
/// # Shapes
/// - `x`: `[B, N · P, p · p · C]`, `latent_shape`: `[C, H, W]`; returns `[B, N, C, H, W]`
pub fn unpatchify(x: Tensor<3>, patch_size: usize, latent_shape: [usize; 3]) -> Tensor<5> {
    let [channels, height, width] = latent_shape;
    let [rows, columns] = [height / patch_size, width / patch_size];
    let [batch, all_rows, _] = x.dims();
    let images = all_rows / (rows * columns);
    x.reshape([batch * images, rows, columns, patch_size, patch_size, channels])
        .permute([0, 5, 1, 3, 2, 4])
        .reshape([batch, images, channels, height, width])
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::{Device, Int};

    #[test]
    fn patches_run_in_reading_order_with_the_channel_fastest_and_come_back() {
        let x = Tensor::<1, Int>::arange(0..2 * 3 * 2 * 4 * 6, &Device::flex()).float().reshape([2, 3, 2, 4, 6]);
        let patches = patchify(x.clone(), 2);
        assert_eq!(patches.dims(), [2, 18, 8]);
        let second: Vec<f32> = patches.clone().slice([0..1, 1..2, 0..8]).to_data().try_to_vec().unwrap();
        assert_eq!(second, [2.0, 26.0, 3.0, 27.0, 8.0, 32.0, 9.0, 33.0]);
        let back = unpatchify(patches, 2, [2, 4, 6]);
        assert_eq!(back.to_data(), x.to_data());
    }
}
