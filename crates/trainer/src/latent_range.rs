//! Between what the latents of training images lie: measured once when a run begins and kept in the model card, because a
//! sampler of DDPM bounds its estimates by it.

use interfuse_checkpoint::ModelCard;
use interfuse_data::{Documents, evenly};
use interfuse_image_tower::NoiseProcess;
use interfuse_sequence::Content;
use interfuse_vae::{Codec, LatentRange};

use crate::error::TrainError;

/// Images by which the latents are measured.
const IMAGES: usize = 128;
/// How much further than in these images latents may reach, as a fraction of their range.
const MARGIN: f32 = 0.1;

/// Whether sampling needs a measured range: in DDPM, unless the codec knows its range by itself.
pub fn is_needed(card: &ModelCard, codec: &dyn Codec) -> bool {
    let process = card.model.image_tower().map(|tower| tower.process);
    process == Some(NoiseProcess::Ddpm) && codec.latent_range().is_none()
}

/// The range of the latents of images spread evenly over the training data, by channel, and a tenth more on either side.
///
/// # Errors
/// When none of the images can be read.
pub fn measure(documents: &Documents, channels: usize) -> Result<LatentRange, TrainError> {
    let images = documents.source().len();
    let count = IMAGES.min(images);
    let mut range = LatentRange::empty(channels);
    for index in evenly(IMAGES, images) {
        // Bad images are counted where they are trained on.
        let Ok(sample) = documents.plain_document(index, false) else { continue };
        for segment in &sample.segments {
            if let Content::Denoise(image) = &segment.content {
                range.include(&image.x_0);
            }
        }
    }
    match range.is_of(channels) {
        true => Ok(range.widened(MARGIN)),
        false => {
            let found = format!("none among {count} images of the training data");
            Err(TrainError::setting("latents", "images whose latents are finite", found))
        }
    }
}
