//! The sizes that a model draws and reads: any of which its codec makes latents and its patches leave nothing over.

use interfuse_checkpoint::Pretrained;

use crate::error::SamplingError;

/// The longest side of an image in pixels that is drawn or read, as in training.
const LONGEST: usize = 4096;

/// The shape `[C, H, W]` of the latents of an image of a height and width; the model's own if absent.
///
/// # Errors
/// When the model has no latents of that size.
pub fn latent_shape(pretrained: &Pretrained, size: Option<[usize; 2]>) -> Result<[usize; 3], SamplingError> {
    let card = &pretrained.card;
    let Some([height, width]) = size else { return Ok(card.model.latent_shape) };
    let refused = |expected: String| SamplingError::Size { height, width, expected };
    if [height, width].iter().any(|side| !(1..=LONGEST).contains(side)) {
        return Err(refused(format!("sides from 1 to {LONGEST} pixels")));
    }
    let [channels, ..] = card.image_shape;
    let shape = pretrained.codec.latent_shape([channels, height, width]).map_err(|error| refused(error.to_string()))?;
    match card.model.image_tower().map(|tower| tower.validate(shape)) {
        Some(Err(error)) => Err(refused(error.to_string())),
        _ => Ok(shape),
    }
}

/// Whether a model was trained on images of a height and width.
pub fn is_trained_size(pretrained: &Pretrained, size: [usize; 2]) -> bool {
    pretrained.card.framing().all_sizes().any(|trained| trained == size)
}
