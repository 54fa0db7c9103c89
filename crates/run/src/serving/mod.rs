//! A trained model and its run, as the server has them.

mod engine;
mod training;

pub use engine::ModelEngine;
pub use training::RunTraining;
