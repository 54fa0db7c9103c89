//! A sample: what the data hands to the model, before it is laid out.

use std::sync::Arc;

use ndarray::Array3;

/// One document.
#[derive(Clone, Debug)]
pub struct Sample {
    /// Identifies the sample for good; its noise in a step is a function of (seed, step, this).
    pub id: u64,
    /// In reading order.
    pub segments: Vec<Segment>,
}

/// A stretch of one modality.
#[derive(Clone, Debug)]
pub enum Segment {
    /// Discrete ids of the modality with index `modality`, markers such as BOS and BOI included.
    Tokens {
        /// Index into the model's modalities.
        modality: usize,
        /// Ids below the vocabulary size of that modality.
        ids: Vec<u32>,
    },
    /// One image of the modality with index `modality`.
    Image {
        /// Index into the model's modalities.
        modality: usize,
        /// What is to be denoised.
        image: LatentImage,
    },
}

/// The clean latents of one image.
#[derive(Clone, Debug)]
pub struct LatentImage {
    /// `[latent_channels, height, width]`
    pub x_0: Arc<Array3<f32>>,
    /// True when the image's own caption comes after it. Such an image is not noised beyond recognition
    /// (Transfusion, section 4.3.4).
    pub precedes_caption: bool,
}
