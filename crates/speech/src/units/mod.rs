//! Units of speech: what a clip is to a language model.
//!
//! | what | where |
//! |---|---|
//! | units with their durations | [`sequence`] |
//! | clips to units and back | [`codec`] |
//! | the file of a codec | [`UnitCodec::save`] |
//! | a codec of clips | [`training`] |
//! | how much of a clip survives the way there and back | [`round_trip()`] |
//! | units and bits a second | [`statistics`] |
//! | unit files of other programs | [`files`] |

pub mod codec;
pub mod files;
pub mod round_trip;
pub mod sequence;
pub mod statistics;
mod storage;
pub mod training;

pub use codec::{UnitCodec, UnitConfig};
pub use files::{Layout, UnitFile, Utterance, read_units, write_units};
pub use round_trip::{RoundTrip, round_trip};
pub use sequence::UnitSequence;
pub use statistics::{UnitStatistics, UnitSummary};
pub use storage::CODEC_FILE;
pub use training::{Recordings, UnitTraining, UnitTrainingReport, train};
