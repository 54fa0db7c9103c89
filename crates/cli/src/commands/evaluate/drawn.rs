//! The pictures that a model is measured by.

use std::time::Instant;

use anyhow::Context;
use interfuse_data::Picture;
use interfuse_sampling::{Drawing, Pretrained, SamplingConfig, draw};
use ndarray::{Array4, Axis};
use serde_json::{Value, json};

use crate::progress::{counting_bar, duration};

/// Pictures, and what it took to draw them.
pub(super) struct Drawn {
    pub(super) drawings: Vec<Drawing>,
    pub(super) pictures: Vec<Picture>,
    /// How well each fits its prompt, where that is known.
    pub(super) scores: Option<PromptScores>,
    sampling: SamplingConfig,
    seconds: f64,
}

/// How well each drawn picture fits its prompt; more is better.
pub(super) struct PromptScores {
    /// What the number is, such as "cosine of picture and prompt".
    pub(super) what: &'static str,
    pub(super) values: Vec<f64>,
}

pub(super) fn draw_all(
    pretrained: &Pretrained,
    drawings: Vec<Drawing>,
    sampling: &SamplingConfig,
) -> anyhow::Result<Drawn> {
    let started = Instant::now();
    let bar = counting_bar("pictures drawn", drawings.len());
    let pictures = draw(pretrained, &drawings, sampling, &mut |done| bar.set_position(done as u64))?;
    bar.finish_and_clear();
    let seconds = started.elapsed().as_secs_f64();
    Ok(Drawn { drawings, pictures, scores: None, sampling: sampling.clone(), seconds })
}

impl Drawn {
    pub(super) fn summary(&self) -> String {
        format!(
            "{} pictures with guidance {} and {} steps in {} ({:.1} pictures/s)",
            self.pictures.len(),
            self.sampling.guidance,
            self.sampling.steps,
            duration(self.seconds),
            self.pictures.len() as f64 / self.seconds.max(1e-9),
        )
    }

    pub(super) fn report(&self) -> Value {
        json!({
            "pictures": self.pictures.len(),
            "guidance": self.sampling.guidance,
            "solver": self.sampling.solver,
            "steps": self.sampling.steps,
            "shift": self.sampling.shift,
            "first_seed": self.drawings.first().map(|drawing| drawing.seed),
            "seconds": self.seconds,
        })
    }
}

/// Pictures of one shape in [-1, 1]. `[n, channels, height, width]`
pub(super) fn array(pictures: &[Picture]) -> anyhow::Result<Array4<f32>> {
    let planes: Vec<_> = pictures.iter().map(Picture::to_unit_range).collect();
    let views: Vec<_> = planes.iter().map(|plane| plane.view()).collect();
    ndarray::stack(Axis(0), &views).context("pictures of one shape")
}
