//! Classifier-free guidance: one prediction out of those with and without what an image is generated after.
//!
//! ```text
//! words alone:       prediction = none + s · (full − none)                            (2207.12598, equation 6)
//! words and images:  prediction = none + s_I · (image − none) + s · (full − image)    (2211.09800, equation 3)
//! ```
//!
//! `full` follows all that was said and shown, `image` the user's images without the words, `none` nothing. Every conversion
//! between predictions is linear, so guiding the prediction guides the velocity and the noise alike.

use burn::tensor::Tensor;

use crate::config::SamplingConfig;

/// How predictions are weighed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Guidance {
    /// Of the words.
    pub scale: f64,
    /// Of the user's images.
    pub image_scale: f64,
    /// The times, both included, at which there is guidance; at others the prediction is `full` (2404.07724).
    pub interval: [f64; 2],
    /// How far the deviation of a guided prediction is brought back to that of `full`, from 0 to 1 (2305.08891, section 3.4).
    pub rescale: f64,
}

impl Guidance {
    /// As sampling is configured.
    pub fn of(config: &SamplingConfig) -> Self {
        Self {
            scale: config.guidance,
            image_scale: config.image_guidance,
            interval: config.guidance_interval,
            rescale: config.guidance_rescale,
        }
    }

    /// One prediction for each image at time `t`, of one (`full`), two (`full`, `none`) or three (`full`, `image`, `none`).
    ///
    /// # Shapes
    /// - each: `[n, C, H, W]`; returns the same
    pub(crate) fn combine(&self, predictions: &[Tensor<4>], t: f32) -> Option<Tensor<4>> {
        let full = predictions.first()?.clone();
        let [from, until] = self.interval;
        if !(from..=until).contains(&f64::from(t)) {
            return Some(full);
        }
        let guided = match predictions {
            [full, none] => guided(full.clone(), none.clone(), self.scale),
            [full, image, none] => {
                let by_image = guided(image.clone(), none.clone(), self.image_scale);
                by_image + (full.clone() - image.clone()).mul_scalar(self.scale)
            }
            _ => return Some(full),
        };
        Some(if self.rescale > 0.0 { self.rescaled(guided, full) } else { guided })
    }

    fn rescaled(&self, guided: Tensor<4>, full: Tensor<4>) -> Tensor<4> {
        let ratio = deviation(full) / deviation(guided.clone()).clamp_min(1e-12);
        guided.clone() * (ratio.mul_scalar(self.rescale) + (1.0 - self.rescale))
    }
}

/// Of each image's values. `[n, 1, 1, 1]`
fn deviation(images: Tensor<4>) -> Tensor<4> {
    let [n, channels, height, width] = images.dims();
    let rows = images.reshape([n, channels * height * width]);
    let mean = rows.clone().mean_dim(1);
    (rows - mean).square().mean_dim(1).sqrt().reshape([n, 1, 1, 1])
}

/// The same line for predictions of images and for logits.
pub(crate) fn guided<const R: usize>(conditional: Tensor<R>, unconditional: Tensor<R>, guidance: f64) -> Tensor<R> {
    unconditional.clone() + (conditional - unconditional).mul_scalar(guidance)
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;

    const PLAIN: Guidance = Guidance { scale: 3.0, image_scale: 1.5, interval: [0.0, 1.0], rescale: 0.0 };

    fn image(values: [f32; 4]) -> Tensor<4> {
        Tensor::<1>::from_floats(values, &Device::flex()).reshape([1, 1, 2, 2])
    }

    fn values(tensor: Tensor<4>) -> Vec<f32> {
        tensor.into_data().try_to_vec().unwrap()
    }

    fn combined(guidance: Guidance, predictions: &[[f32; 4]], t: f32) -> Vec<f32> {
        values(guidance.combine(&predictions.iter().map(|&values| image(values)).collect::<Vec<_>>(), t).unwrap())
    }

    #[test]
    fn two_and_three_predictions_are_weighed_as_the_papers_do() {
        let (full, shown, none) = ([4.0; 4], [2.0; 4], [1.0; 4]);
        assert_eq!(combined(PLAIN, &[full], 0.5), [4.0; 4]);
        assert_eq!(combined(PLAIN, &[full, none], 0.5), [1.0 + 3.0 * 3.0; 4]);
        assert_eq!(combined(PLAIN, &[full, shown, none], 0.5), [1.0 + 1.5 * 1.0 + 3.0 * 2.0; 4]);
        let one = Guidance { scale: 1.0, image_scale: 1.0, ..PLAIN };
        assert_eq!(combined(one, &[full, shown, none], 0.5), full);
    }

    #[test]
    fn outside_its_interval_there_is_none() {
        let guidance = Guidance { interval: [0.2, 0.7], ..PLAIN };
        for (t, expected) in [(0.1, 4.0), (0.3, 10.0), (0.7, 10.0), (0.8, 4.0)] {
            assert_eq!(combined(guidance, &[[4.0; 4], [1.0; 4]], t), [expected; 4], "t = {t}");
        }
    }

    #[test]
    fn rescaling_brings_the_deviation_back_and_keeps_the_direction() {
        let (full, none) = ([1.0, -1.0, 1.0, -1.0], [0.0; 4]);
        assert_eq!(combined(Guidance { rescale: 1.0, ..PLAIN }, &[full, none], 0.5), full);
        assert_eq!(combined(Guidance { rescale: 0.5, ..PLAIN }, &[full, none], 0.5), full.map(|x| 2.0 * x));
        let constant = combined(Guidance { rescale: 1.0, ..PLAIN }, &[[0.0; 4], [0.0; 4]], 0.5);
        assert_eq!(constant, [0.0; 4], "no deviation, no number that is none");
    }
}
