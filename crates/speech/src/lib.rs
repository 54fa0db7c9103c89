//! Sound to units of speech and back.
//!
//! ```text
//! clip ─ audio ─► mono samples ─ features ─► MFCC frames ─ kmeans ─► units ─ codec ─► samples
//! ```
//!
//! | what | where |
//! |---|---|
//! | wav, flac, ogg vorbis and mp3 to mono samples at any rate, and wav files | [`audio`] |

pub mod audio;
pub mod error;

pub use audio::Audio;
pub use error::SpeechError;
