//! From images and captions to numbers.
//!
//! Images are arrays `[count, channels, height, width]` of `f32` in [-1, 1]; captions are strings. The crate knows no model
//! of ours and opens no run folder, so it cannot tell our images from anyone's.
//!
//! - [`retrieval`]: is a generated image nearest to the one that its prompt names, among all candidates?
//! - [`captions`], [`caption_metrics`]: is a written caption the right one, or how near is it?
//! - [`classifier`]: a small classifier, trained on real images: does it see in a generated one what the prompt said?
//! - [`frechet`]: how far is the distribution of generated images from that of real ones, in the features of a network?
//! - [`memorisation`]: are sampled images copies of training images?
//! - [`shapes`]: which attributes of a scene that was asked for are on an image, and in a caption?
//! - [`similarity`]: how like is a reconstruction to its image?
//! - [`kernel_distance`], [`manifold`], [`inception_score`]: the same question asked in other ways, KID, CMMD, precision,
//!   recall, density, coverage and the Inception score.
//! - [`clip_score`]: how well does a generated image fit its caption?
//! - [`bootstrap`]: a mean with its 95 % interval.
//! - [`features`]: the published networks whose features these are taken in.
//! - [`image_set`], [`npz`]: images of a folder or a tar, statistics and features in NumPy's files.
//! - [`proportion`]: a fraction with its 95 % interval.
//!
//! Nothing here prints, and nothing panics on what it is given: images and captions that do not fit are an
//! [`EvaluationError`].

pub mod bootstrap;
pub mod caption_metrics;
pub mod captions;
pub mod classifier;
pub mod clip_score;
#[cfg(test)]
mod distribution_fixture;
mod error;
pub mod features;
pub mod frechet;
pub mod image_set;
pub mod inception_score;
pub mod kernel_distance;
pub mod manifold;
pub mod memorisation;
pub mod npz;
pub mod proportion;
pub mod retrieval;
pub mod shapes;
pub mod similarity;

pub use error::EvaluationError;
