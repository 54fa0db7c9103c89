//! The two ends of an image modality: patches to rows, rows to a prediction.
//!
//! Dimensions: `B` sequences, `N` images, `P` patches of an image, `D` width of the model, `C × H × W` latents.

use burn::module::{Module, Param};
use burn::tensor::activation::silu;
use burn::tensor::{DType, Tensor};
use interfuse_kernels::{Linear, WeightInit};

use crate::config::{ImageTowerConfig, TimestepConditioning};
use crate::overlap::overlap_add;
use crate::patchify::{patchify, unpatchify};
use crate::places::interpolated;
use crate::time_embedding::TimeEmbedding;
use crate::unet::UNetPatcher;

/// Standard deviation of the learned places at the start: they must be seen beside the noise from the first step.
const POSITION_STD: f64 = 0.5;

/// The two ends of an image modality.
#[derive(Module, Debug)]
pub struct ImageTower {
    patch_in: Linear,
    patch_out: Linear,
    time: TimeEmbedding,
    /// A vector for each place of a patch, if places are learned. `[P, D]`
    positions: Option<Param<Tensor<2>>>,
    /// Shift and scale of the last norm, for adaLN.
    modulation: Option<Linear>,
    /// Convolutions around the backbone; the rows are then single places of what they put out.
    unet: Option<UNetPatcher>,
    /// Rows and columns of patches that places are learned for.
    #[module(skip)]
    grid: [usize; 2],
    #[module(skip)]
    patch_size: usize,
    #[module(skip)]
    patch_overlap: usize,
    #[module(skip)]
    conditioning: TimestepConditioning,
    #[module(skip)]
    has_skip: bool,
}

/// What a lane of images sends into the backbone.
#[derive(Clone, Debug)]
pub struct EmbeddedImages {
    /// `[B, N · P, D]`
    pub rows: Tensor<3>,
    /// What the prediction needs besides rows.
    pub context: ImageContext,
}

/// What goes around the backbone, from a lane's embedding to its prediction.
#[derive(Clone, Debug, Default)]
pub struct ImageContext {
    /// What adaLN makes its shifts, scales and gates of; absent for the other conditionings. `[B, N, D]`
    pub condition: Option<Tensor<3>>,
    /// What the U-Net's way down leaves for the way up.
    upward: Option<Upward>,
    /// What predicted noise starts from, if it does.
    skip: Option<Skip>,
    /// `[C, H, W]` of the images.
    latent_shape: [usize; 3],
}

#[derive(Clone, Debug)]
struct Skip {
    /// `[B, N, C, H, W]`
    x_t: Tensor<5>,
    /// `[B, N]`
    t: Tensor<2>,
}

impl Skip {
    /// `sin(πt/2) · x_t + cos(πt/2) · F`
    fn and(self, output: Tensor<5>) -> Tensor<5> {
        let angle: Tensor<5> = self.t.mul_scalar(std::f32::consts::FRAC_PI_2).unsqueeze_dims(&[2, 3, 4]);
        self.x_t * angle.clone().sin() + output * angle.cos()
    }
}

#[derive(Clone, Debug)]
struct Upward {
    skips: Vec<Tensor<4>>,
    time: Tensor<2>,
}

impl ImageTower {
    /// Ends for latents of shape `[C, H, W]`, or of other sizes of as many channels: they have the same weights, and places that
    /// are learned are interpolated.
    pub fn new(config: &ImageTowerConfig, latent_shape: [usize; 3], d_model: usize, init: &mut WeightInit) -> Self {
        let [channels, height, width] = latent_shape;
        let reach = config.patch_size + 2 * config.patch_overlap;
        // Numbers of a patch on its way in and on its way out.
        let [d_patch, d_predicted] = match &config.unet {
            Some(unet) => [unet.widths[unet.widths.len() - 1]; 2],
            None => [config.patch_size * config.patch_size * channels, reach * reach * channels],
        };
        let grid = [height / config.patch_size, width / config.patch_size];
        let adaptive = config.timestep_conditioning == TimestepConditioning::AdaLn;
        let d_time = match config.timestep_conditioning {
            TimestepConditioning::Patch => d_patch,
            TimestepConditioning::Row | TimestepConditioning::AdaLn => d_model,
        };
        Self {
            patch_in: Linear::with_bias(d_patch, d_model, init),
            patch_out: Linear::with_bias(d_model, d_predicted, init),
            time: TimeEmbedding::new(d_model, d_time, init),
            positions: config.learned_positions.then(|| init.normal([grid.iter().product(), d_model], POSITION_STD)),
            modulation: adaptive.then(|| Linear::zero_with_bias(d_model, 2 * d_model, init)),
            unet: config.unet.as_ref().map(|unet| UNetPatcher::new(unet, channels, d_model, init)),
            grid,
            patch_size: config.patch_size,
            patch_overlap: config.patch_overlap,
            conditioning: config.timestep_conditioning,
            has_skip: config.skip,
        }
    }

    /// # Shapes
    /// - `x_t`: `[B, N, C, H, W]`, `t`: `[B, N]`
    pub fn embed(&self, x_t: Tensor<5>, t: Tensor<2>) -> EmbeddedImages {
        let [_, _, channels, height, width] = x_t.dims();
        let grid = [height / self.patch_size, width / self.patch_size];
        let skip = self.has_skip.then(|| Skip { x_t: x_t.clone(), t: t.clone() });
        let (patches, upward) = self.cut(x_t, t.clone());
        let (rows, condition) = self.embed_patches(patches, t);
        let context = ImageContext { condition, upward, skip, latent_shape: [channels, height, width] };
        EmbeddedImages { rows: self.place(rows, grid), context }
    }

    /// The latents as patches, or what the U-Net makes of them.
    fn cut(&self, x_t: Tensor<5>, t: Tensor<2>) -> (Tensor<3>, Option<Upward>) {
        let Some(unet) = &self.unet else { return (patchify(x_t, self.patch_size), None) };
        let [batch, images, channels, height, width] = x_t.dims();
        let time = unet.embed_time(t);
        let (features, skips) = unet.down(x_t.reshape([batch * images, channels, height, width]), &time);
        let [_, channels, height, width] = features.dims();
        let places = patchify(features.reshape([batch, images, channels, height, width]), 1);
        (places, Some(Upward { skips, time }))
    }

    fn embed_patches(&self, patches: Tensor<3>, t: Tensor<2>) -> (Tensor<3>, Option<Tensor<3>>) {
        let time = self.time.forward(t);
        match self.conditioning {
            TimestepConditioning::Patch => {
                (self.patch_in.forward(per_image(patches, time, |patches, time| patches + time)), None)
            }
            TimestepConditioning::Row => {
                (per_image(self.patch_in.forward(patches), time, |rows, time| rows + time), None)
            }
            TimestepConditioning::AdaLn => (self.patch_in.forward(patches), Some(silu(time))),
        }
    }

    /// Adds the learned places to the rows of images of `grid` patches.
    fn place(&self, rows: Tensor<3>, grid: [usize; 2]) -> Tensor<3> {
        let Some(positions) = &self.positions else { return rows };
        let [batch, all_rows, width] = rows.dims();
        let positions = interpolated(positions.val(), self.grid, grid);
        let [patches, _] = positions.dims();
        let placed = rows.reshape([batch, all_rows / patches, patches, width]) + positions.unsqueeze::<4>();
        placed.reshape([batch, all_rows, width])
    }

    /// The prediction, image by image.
    ///
    /// # Shapes
    /// - `rows`: `[B, N · P, D]`, `context`: that of their embedding; returns `[B, N, C, H, W]`
    pub fn predict(&self, rows: Tensor<3>, context: ImageContext) -> Tensor<5> {
        let ImageContext { condition, upward, skip, latent_shape } = context;
        // The last norm may have left them in fewer bits; what is subtracted from a target is not.
        let rows = rows.cast(DType::F32);
        let rows = match (&self.modulation, condition) {
            (Some(modulation), Some(condition)) => {
                let mut terms = modulation.forward(condition).chunk(2, 2).into_iter();
                match (terms.next(), terms.next()) {
                    (Some(shift), Some(scale)) => {
                        let rows = per_image(rows, scale.add_scalar(1.0), |rows, scale| rows * scale);
                        per_image(rows, shift, |rows, shift| rows + shift)
                    }
                    _ => rows,
                }
            }
            _ => rows,
        };
        let patches = self.patch_out.forward(rows);
        let output = match (&self.unet, upward) {
            (Some(unet), Some(Upward { skips, time })) => {
                let [channels, height, width] = latent_shape;
                let [_, _, d_patch] = patches.dims();
                let places = unpatchify(patches, 1, [d_patch, height / self.patch_size, width / self.patch_size]);
                let [batch, images, ..] = places.dims();
                let latents = unet.up(places.flatten::<4>(0, 1), skips, &time);
                latents.reshape([batch, images, channels, height, width])
            }
            _ => overlap_add(patches, self.patch_size, self.patch_overlap, latent_shape),
        };
        match skip {
            Some(skip) => skip.and(output),
            None => output,
        }
    }
}

/// Applies `f` to the rows and one vector an image.
///
/// # Shapes
/// - `rows`: `[B, N · P, W]`, `vectors`: `[B, N, W]`; `f` sees `[B, N, P, W]` and `[B, N, 1, W]`
fn per_image(rows: Tensor<3>, vectors: Tensor<3>, f: impl Fn(Tensor<4>, Tensor<4>) -> Tensor<4>) -> Tensor<3> {
    let [batch, all_rows, width] = rows.dims();
    let [_, images, _] = vectors.dims();
    let grouped = rows.reshape([batch, images, all_rows / images, width]);
    f(grouped, vectors.unsqueeze_dim(2)).reshape([batch, all_rows, width])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::noise_schedule::NoiseProcess;
    use crate::prediction::PredictionTarget;
    use burn::tensor::{Device, TensorData};

    fn config(skip: bool) -> ImageTowerConfig {
        ImageTowerConfig {
            patch_size: 2,
            patch_overlap: 1,
            unet: None,
            learned_positions: false,
            process: NoiseProcess::Ddpm,
            prediction: PredictionTarget::Noise,
            skip,
            loss_space: None,
            timestep_conditioning: TimestepConditioning::Row,
            timesteps: Default::default(),
        }
    }

    #[test]
    fn a_skip_brings_the_input_to_the_output() {
        let device = Device::flex();
        let numbers: Vec<f32> = (0..2 * 3 * 16).map(|i| (i as f32 * 0.7).sin()).collect();
        let x_t = Tensor::<5>::from_data(TensorData::new(numbers, [1, 2, 3, 4, 4]), &device);
        let t = Tensor::<2>::from_floats([[0.0, 1.0]], &device);
        let [plain, with_skip] = [false, true].map(|skip| {
            let tower = ImageTower::new(&config(skip), [3, 4, 4], 8, &mut WeightInit::new(1, &device));
            let EmbeddedImages { rows, context } = tower.embed(x_t.clone(), t.clone());
            tower.predict(rows, context)
        });
        let gap = |a: Tensor<5>, b: Tensor<5>| (a - b).abs().max().into_scalar::<f32>();
        let image = |x: &Tensor<5>, index: usize| x.clone().narrow(1, index, 1);
        assert!(gap(image(&with_skip, 0), image(&plain, 0)) < 1e-6, "at t = 0 it is what the network puts out");
        assert!(gap(image(&with_skip, 1), image(&x_t, 1)) < 1e-6, "at t = 1 it is what is there");
    }

    #[test]
    fn only_noise_has_a_skip() {
        let clean = ImageTowerConfig { prediction: PredictionTarget::Clean, ..config(true) };
        assert!(config(true).validate([3, 4, 4]).is_ok());
        let error = clean.validate([3, 4, 4]).unwrap_err().to_string();
        assert!(error.contains("skip: expected prediction = \"noise\"") && error.contains("Clean"), "{error}");
    }
}
