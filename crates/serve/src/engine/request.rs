//! What is asked of a model, and what it answers.

use super::description::ImageSize;
use super::raster::Raster;

/// How images are generated; the same for a whole batch.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DrawSettings {
    /// Denoising steps, from 1.
    pub steps: usize,
    /// Scale of classifier-free guidance, from 0; 1 is the model as it is.
    pub guidance: f64,
    /// One of the model's sizes; its own if absent. An edited image has the size of the image that it is made of.
    pub size: Option<ImageSize>,
}

/// One image to generate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drawing {
    /// What is to be seen; empty for anything.
    pub prompt: String,
    /// Decides all that is random.
    pub seed: u64,
}

/// One image to change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edit {
    /// The image as it is.
    pub image: Raster,
    /// Where it may change, if not everywhere: white may, black may not. Of the image's size, with one channel.
    pub mask: Option<Raster>,
    /// What is to be different.
    pub prompt: String,
    /// Decides all that is random.
    pub seed: u64,
}

/// How captions and answers are written; the same for a whole batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CaptionSettings {
    /// The most tokens, at least 1; as many as the model has by itself if absent.
    pub max_tokens: Option<usize>,
}

/// The last turn of a conversation, which is to be answered, behind all that was said and shown before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// The user's and the model's turns one after the other, an odd number of them; those of the user are not empty. In
    /// them the images stand before the words, and the last has words.
    pub turns: Vec<Vec<Piece>>,
}

/// What the model wrote of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caption {
    /// Its words.
    pub text: String,
    /// Whether it was cut at the most tokens.
    pub is_cut: bool,
}

/// How documents are written; the same for a whole batch.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct WriteSettings {
    /// Temperature of the next token, from 0 to 2; the model's own if absent.
    pub temperature: Option<f64>,
    /// The likeliest tokens that together have this probability are sampled among, above 0 and to 1; the model's own if absent.
    pub top_p: Option<f64>,
    /// The most tokens in one stretch, at least 1; as many as the model has by itself if absent.
    pub max_tokens: Option<usize>,
    /// How the images in it are generated.
    pub images: DrawSettings,
}

/// A document to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Writing {
    /// How it begins; empty unless the model [continues](super::Abilities::continues).
    pub beginning: Vec<Piece>,
    /// Decides all that is random.
    pub seed: u64,
}

/// A part of a document.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Piece {
    /// Words.
    Text(String),
    /// An image.
    Image(Raster),
}

/// What the model wrote, without its beginning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// Its parts in reading order.
    pub pieces: Vec<Piece>,
    /// Whether it was cut at the most tokens.
    pub is_cut: bool,
}
