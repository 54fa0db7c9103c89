//! Magnitudes of short-time Fourier transforms: the way from samples to them and, by Griffin-Lim, back.

mod griffin_lim;
mod plot;
mod stft;

pub use griffin_lim::griffin_lim;
pub use plot::{spectrogram, write_spectrogram};
pub use stft::{LOG_FLOOR, Stft};
