//! A run as a library: from a configuration to a folder with a trained model, and to numbers about it.
//!
//! ```no_run
//! use std::path::Path;
//! use std::sync::atomic::AtomicBool;
//!
//! use interfuse_run::measuring::{EvaluationOptions, Published, evaluate};
//! use interfuse_run::{LoadedRun, Run, Settings};
//!
//! # fn main() -> Result<(), interfuse_run::RunError> {
//! let settings = Settings::load(Path::new("configs/quickstart.toml"), &["train.steps=100".into()])?;
//! let mut run = Run::begin(settings)?;
//! run.train(&mut (), &AtomicBool::new(false))?;
//!
//! let loaded = LoadedRun::open(run.folder.path(), true, "cpu")?;
//! let options =
//!     EvaluationOptions { count: 100, seed: 0, sampling: loaded.sampling(), published: Published::default() };
//! let report = evaluate(&loaded, &options, &mut ())?;
//! println!("{}", report.value);
//! # Ok(())
//! # }
//! ```
//!
//! | what | where |
//! |---|---|
//! | the configuration, and what is wrong with it | [`settings`], [`configuration`] |
//! | a configuration that fits data, time and memory | [`proposal`] |
//! | every size that follows from another | [`plan`] |
//! | a hybrid model's run | [`training`] |
//! | an autoencoder's run | [`autoencoder`] |
//! | numbers about a trained model | [`measuring`] |
//! | what a paper's model costs to train | [`cost`] |
//! | a paper's comparison run again | [`reproduction`] |
//! | a trained model with its place and settings | [`loaded_run`] |
//! | where each file of a run lies | [`run_folder`], [`sample_folder`] |
//! | whether the data is still what it was | [`fingerprint`] |
//! | whether several processes train together | [`ranks`] |
//! | curves | [`metrics`] |
//! | runs beside one another | [`comparison`] |
//! | two sets in the features of a network | [`distances`], [`extractors`] |
//! | who listens | [`observer`] |
//!
//! It prints nothing: whoever starts work hears of it through [`RunObserver`].

pub mod autoencoder;
pub mod calibration;
mod carriers;
pub mod comparison;
pub mod configuration;
pub mod cost;
pub mod device;
pub mod distances;
pub mod error;
pub mod extractors;
pub mod fingerprint;
pub mod gallery;
pub mod loaded_run;
pub mod measuring;
pub mod memory;
pub mod metrics;
pub mod observer;
pub mod plan;
pub mod proposal;
pub mod ranks;
pub mod reproduction;
pub mod run_folder;
pub mod sample_folder;
#[cfg(feature = "serve")]
pub mod serving;
pub mod settings;
mod streams;
pub mod training;

pub use error::{Result, RunError, sentence};
pub use loaded_run::LoadedRun;
pub use observer::{RunObserver, StepNotice, duration};
pub use plan::Plan;
pub use run_folder::RunFolder;
pub use settings::Settings;
pub use training::Run;
