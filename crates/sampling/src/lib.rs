//! From prompt to text, images and speech.
//!
//! | what | where |
//! |---|---|
//! | sequences that grow against a cache | [`session`] |
//! | the denoise loop | [`denoise`] |
//! | guidance | [`guidance`] |
//! | the next id out of logits | [`token`] |
//! | images of codes, one code after the other | `codes` |
//! | one step of each solver | [`solver`] |
//! | images of prompts | [`mod@generate`] |
//! | who watches while they are denoised | [`watching`] |
//! | captions of images | [`mod@caption`] |
//! | answers to questions about images, and images that are edited | [`conversation`] |
//! | text in the place of masks | [`mod@infill`] |
//! | speech of text, text of speech, and speech that goes on | [`speech`] |
//! | text, images and speech in turn, without a prompt | [`mod@write`] |

pub mod caption;
mod codes;
pub mod config;
pub mod conversation;
pub mod denoise;
pub mod error;
pub mod generate;
pub mod guidance;
pub mod infill;
pub mod listening;
pub mod session;
pub mod size;
pub mod solver;
pub mod speech;
pub mod token;
pub mod watching;
pub mod write;

pub use caption::{Caption, caption, caption_heard};
pub use config::{SamplingConfig, Solver};
pub use conversation::{
    EditRequest, Exchange, Question, answer, answer_heard, edit, edit_watched, fits_beside_an_image,
};
pub use error::SamplingError;
pub use generate::{ImageRequest, fits, generate, generate_watched, prompt_ids};
pub use guidance::Guidance;
pub use infill::{Infilled, infill};
pub use listening::Listener;
pub use session::Session;
pub use size::{is_trained_size, latent_shape};
pub use speech::{Speech, SpeechPrompt, SpeechRequest, sound, speak, transcribe, units_of};
pub use token::TokenChoice;
pub use watching::Watcher;
pub use write::{Piece, write};
