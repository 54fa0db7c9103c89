//! The denoising loss: the squared error of the prediction, image by image.

use burn::tensor::Tensor;

use crate::noising::NoisedLatents;

/// The squared error of every image.
#[derive(Clone, Debug)]
pub struct DenoisingLoss {
    /// Mean over the elements of each image of the squared error, times the image's weight; 0 for an empty slot. `[B, N]`
    pub per_image: Tensor<2>,
    /// Sum over the images. `[1]`
    pub sum: Tensor<1>,
    /// Number of images.
    pub images: usize,
}

/// `weight · mean((prediction − target)²)` of every image (Transfusion, equation 3, for the noise as target).
///
/// # Shapes
/// - `prediction`: `[B, N, C, H, W]`
pub fn denoising_loss(prediction: Tensor<5>, noised: &NoisedLatents) -> DenoisingLoss {
    let [batch, images, channels, height, width] = prediction.dims();
    let error = (prediction - noised.target.clone()).square();
    let per_image = error.reshape([batch, images, channels * height * width]).mean_dim(2).reshape([batch, images]);
    let per_image = per_image * noised.weight.clone();
    DenoisingLoss { sum: per_image.clone().sum(), per_image, images: noised.images }
}
