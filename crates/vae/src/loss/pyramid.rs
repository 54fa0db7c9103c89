//! The distance of two images over the levels of a Laplacian pyramid (Bojanowski et al., 1707.05776, section 3.2): a
//! perceptual loss that needs no trained network.
//!
//! ```text
//! Lap₁(x, x') = Σ_j 2^(2j) |L_j(x) − L_j(x')|₁          divided by the number of pixels: the sum of the levels' means
//! ```
//!
//! `L_j` is what level j has and the blurred level does not; the last is the blurred rest. A pyramid is linear, so it is taken
//! of the difference. Every level counts the same, so edges and textures weigh as much as large areas, which a loss by pixels
//! lets outvote them.

use burn::tensor::{Device, Tensor, TensorData};
use interfuse_kernels::{ConvSteps, conv2d};

/// Levels, the blurred rest included.
const LEVELS: usize = 4;
/// Burt and Adelson's kernel: the binomial of 4.
const BINOMIAL: [f32; 5] = [1.0, 4.0, 6.0, 4.0, 1.0];

/// `Lap₁` divided by the number of pixels. `[1]`
pub fn distance(reconstruction: Tensor<4>, image: Tensor<4>) -> Tensor<1> {
    let [batch, channels, height, width] = image.dims();
    let kernel = kernel(&image.device());
    let mut level = (reconstruction - image).reshape([batch * channels, 1, height, width]);
    let mut total: Option<Tensor<1>> = None;
    for index in 0..LEVELS {
        let [_, _, height, width] = level.dims();
        let is_last = index + 1 == LEVELS || height.min(width) < 2 * BINOMIAL.len();
        let detail = match is_last {
            true => level.clone(),
            false => level.clone() - blurred(level.clone(), &kernel, 1),
        };
        let mean = detail.abs().mean();
        total = Some(match total {
            Some(total) => total + mean,
            None => mean,
        });
        if is_last {
            break;
        }
        level = blurred(level, &kernel, 2);
    }
    total.unwrap_or_else(|| level.abs().mean())
}

fn blurred(x: Tensor<4>, kernel: &Tensor<4>, stride: usize) -> Tensor<4> {
    conv2d(x, kernel.clone(), None, ConvSteps::new(stride, BINOMIAL.len() / 2))
}

fn kernel(device: &Device) -> Tensor<4> {
    let sum: f32 = BINOMIAL.iter().sum();
    let values: Vec<f32> = BINOMIAL.iter().flat_map(|a| BINOMIAL.iter().map(move |b| a * b / (sum * sum))).collect();
    Tensor::from_data(TensorData::new(values, [1, 1, BINOMIAL.len(), BINOMIAL.len()]), device)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flat(value: f32) -> Tensor<4> {
        Tensor::full([1, 3, 32, 32], value, &Device::flex())
    }

    #[test]
    fn it_is_zero_of_equal_images_and_grows_with_the_difference() {
        let image = Tensor::<4>::from_data(
            TensorData::new((0..3072).map(|i| (i as f32 * 0.37).sin()).collect::<Vec<f32>>(), [1, 3, 32, 32]),
            &Device::flex(),
        );
        let of = |x: Tensor<4>| distance(x, image.clone()).into_scalar::<f32>();
        assert_eq!(of(image.clone()), 0.0);
        let (near, far) = (of(image.clone().mul_scalar(0.9)), of(image.clone().mul_scalar(0.5)));
        assert!(near > 0.0 && (far / near - 5.0).abs() < 1e-3, "{near} {far}");
    }

    #[test]
    fn detail_weighs_more_than_in_a_loss_by_pixels() {
        let checks = Tensor::<4>::from_data(
            TensorData::new(
                (0..3072).map(|i| if (i + i / 32) % 2 == 0 { 0.1f32 } else { -0.1 }).collect::<Vec<f32>>(),
                [1, 3, 32, 32],
            ),
            &Device::flex(),
        );
        // Both differ by 0.1 at every pixel; a shift of the whole image lies in the last level, and at the edges.
        let (fine, shift) = (distance(checks, flat(0.0)), distance(flat(0.1), flat(0.0)));
        let (fine, shift) = (fine.into_scalar::<f32>(), shift.into_scalar::<f32>());
        assert!(fine > 0.099 && shift > 0.0, "{fine} {shift}");
    }
}
