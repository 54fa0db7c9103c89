//! From prompt to text and pictures.
//!
//! | what | where |
//! |---|---|
//! | the folder that a trained model is kept in | [`pretrained`] |
//! | sequences that grow against a cache | [`session`] |
//! | the denoise loop and guidance | [`denoise`] |
//! | one step of each solver | [`solver`] |
//! | pictures of prompts | [`mod@draw`] |
//! | captions of pictures | [`mod@caption`] |
//! | text and pictures in turn, without a prompt | [`mod@write`] |

pub mod caption;
pub mod config;
pub mod denoise;
pub mod draw;
pub mod error;
pub mod pretrained;
pub mod session;
pub mod solver;
pub mod write;

pub use caption::caption;
pub use config::{SamplingConfig, Solver};
pub use draw::{Drawing, draw, fits, prompt_ids};
pub use error::SamplingError;
pub use pretrained::{ModelCard, Pretrained, weights_file};
pub use session::Session;
pub use write::{Piece, write};
