//! Sound to units of speech and back.
//!
//! ```text
//! clip ─ audio ─► mono samples ─ features ─► MFCC frames ─ kmeans ─► units ─ codec ─► samples
//! ```
//!
//! | what | where |
//! |---|---|
//! | wav, flac, ogg vorbis and mp3 to mono samples at any rate, and wav files | [`audio`] |
//! | Kaldi's MFCC with two deltas | [`features`] |
//! | k-means | [`kmeans`] |
//! | short-time Fourier transforms, Griffin-Lim, spectrograms to look at | [`spectrum`] |
//! | the unit codec, sequences of units and the files of other programs | [`units`] |
//! | clips with transcripts on the disk | [`clips`] |
//! | word, character and unit error rates | [`error_rate`] |

pub mod audio;
pub mod clips;
pub mod error;
pub mod error_rate;
pub mod features;
pub mod framing;
pub mod kmeans;
pub mod spectrum;
pub mod units;

pub use audio::Audio;
pub use error::SpeechError;
