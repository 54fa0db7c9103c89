//! Decoding in tiles, where a whole image would need too much memory.
//!
//! Tiles overlap by a quarter and are blended along straight ramps, as diffusers does. The innermost attention and the norms
//! then see a tile alone, so that colours may drift a little between tiles; an image that fits is decoded whole.

use ndarray::{Array3, s};

use crate::config::NetworkConfig;

/// The most bytes that decoding may take before it goes by tiles.
const BUDGET: usize = 4 << 30;
/// How many arrays of the widest layer at full size exist at once.
const LIVE: usize = 4;

/// How latents are cut up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tiling {
    /// Height and width of a tile, in latents.
    tile: usize,
    /// Latents from one tile to the next.
    step: usize,
    /// Pixels of a latent along one axis.
    factor: usize,
    /// The most latents that are decoded whole.
    whole: usize,
}

impl Tiling {
    /// What an autoencoder's widths and 4 GiB of memory suggest.
    pub fn of(network: &NetworkConfig) -> Self {
        let factor = network.downsampling();
        let widths = &network.block_out_channels;
        // At full size the decoder still holds the width of the size below.
        let widest = widths.iter().take(2).copied().max().unwrap_or(1);
        let whole = BUDGET / (LIVE * size_of::<f32>() * widest * factor * factor);
        let tile = ((whole as f64).sqrt() as usize).clamp(8, 64);
        Self { tile, step: tile - tile / 4, factor, whole }
    }

    /// Tiles of `tile × tile` latents for everything that is larger.
    pub fn by(network: &NetworkConfig, tile: usize) -> Self {
        let tile = tile.max(4);
        Self { tile, step: tile - tile / 4, factor: network.downsampling(), whole: tile * tile }
    }

    /// Decodes latents `[C, h, w]` by `decode`, which takes `[C, a, b]` to `[channels, f a, f b]`.
    pub fn decode(&self, latents: &Array3<f32>, decode: &dyn Fn(&Array3<f32>) -> Array3<f32>) -> Array3<f32> {
        let (_, height, width) = latents.dim();
        if height * width <= self.whole {
            return decode(latents);
        }
        let mut sum: Option<Array3<f32>> = None;
        let mut weights = Array3::<f32>::zeros((1, height * self.factor, width * self.factor));
        for rows in self.places(height) {
            for columns in self.places(width) {
                let tile = latents.slice(s![.., rows.clone(), columns.clone()]).to_owned();
                let pixels = decode(&tile);
                let [vertical, horizontal] =
                    [(&rows, height), (&columns, width)].map(|(range, length)| self.ramp(range, length));
                let channels = pixels.dim().0;
                let sum =
                    sum.get_or_insert_with(|| Array3::zeros((channels, height * self.factor, width * self.factor)));
                let (top, left) = (rows.start * self.factor, columns.start * self.factor);
                for ((channel, y, x), &value) in pixels.indexed_iter() {
                    let weight = vertical[y] * horizontal[x];
                    sum[[channel, top + y, left + x]] += weight * value;
                    if channel == 0 {
                        weights[[0, top + y, left + x]] += weight;
                    }
                }
            }
        }
        sum.map_or_else(|| decode(latents), |sum| sum / &weights)
    }

    /// The ranges of latents along an axis: as many as cover it, the last one flush with the end.
    fn places(&self, length: usize) -> Vec<std::ops::Range<usize>> {
        let mut places = Vec::new();
        let mut start = 0;
        while start + self.tile < length {
            places.push(start..start + self.tile);
            start += self.step;
        }
        places.push(length.saturating_sub(self.tile)..length);
        places
    }

    /// Weights of a tile's pixels along an axis: up over the overlap unless the tile begins the axis, down unless it ends it.
    fn ramp(&self, range: &std::ops::Range<usize>, length: usize) -> Vec<f32> {
        let pixels = range.len() * self.factor;
        let overlap = ((self.tile - self.step) * self.factor) as f32;
        let weight = |pixel: usize| {
            let (before, after) = (pixel as f32 + 0.5, (pixels - pixel) as f32 - 0.5);
            let up = if range.start == 0 { 1.0 } else { (before / overlap).min(1.0) };
            let down = if range.end == length { 1.0 } else { (after / overlap).min(1.0) };
            up * down
        };
        (0..pixels).map(weight).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network() -> NetworkConfig {
        NetworkConfig {
            in_channels: 1,
            out_channels: 1,
            latent_channels: 1,
            block_out_channels: vec![4, 4],
            layers_per_block: 1,
            norm_num_groups: 2,
            mid_block_add_attention: false,
        }
    }

    /// A decoder that looks at nothing but its own latent must give the same by tiles, at every size.
    #[test]
    fn a_local_decoder_does_not_notice_the_tiles() {
        let twice = |latents: &Array3<f32>| {
            let (channels, height, width) = latents.dim();
            Array3::from_shape_fn((channels, 2 * height, 2 * width), |(c, y, x)| latents[[c, y / 2, x / 2]])
        };
        for (height, width) in [(4, 4), (9, 23), (8, 5), (31, 17), (3, 40)] {
            let latents = Array3::from_shape_fn((1, height, width), |(_, y, x)| (y * 31 + x * 7) as f32 % 5.0);
            let (tiled, whole) = (Tiling::by(&network(), 8).decode(&latents, &twice), twice(&latents));
            let gap = (&tiled - &whole).mapv(f32::abs).fold(0.0f32, |a, &b| a.max(b));
            assert!(gap < 1e-5, "{height} × {width}: {gap}");
        }
    }

    #[test]
    fn a_image_that_fits_is_decoded_whole() {
        let network = NetworkConfig { block_out_channels: vec![128, 256, 512, 512], ..network() };
        let tiling = Tiling::of(&network);
        assert!(tiling.whole >= 64 * 64, "512 × 512 pixels fit");
        assert!(tiling.whole < 256 * 256, "2048 × 2048 pixels do not");
    }
}
