//! The images that a model is measured by.

use std::time::Instant;

use interfuse_checkpoint::Pretrained;
use interfuse_data::{Fit, Image, ImageShape};
use interfuse_sampling::{Caption, ImageRequest, SamplingConfig, generate};
use ndarray::{Array4, Axis};
use serde_json::{Value, json};

use crate::error::{Context as _, Result};
use crate::observer::{RunObserver, duration};

/// Images, and what it took to draw them.
pub(super) struct Generated {
    pub(super) requests: Vec<ImageRequest>,
    pub(super) images: Vec<Image>,
    /// How well each fits its prompt, where that is known.
    pub(super) scores: Option<PromptScores>,
    sampling: SamplingConfig,
    /// Whether images are codes, which are not denoised.
    is_of_codes: bool,
    seconds: f64,
}

/// How well each generated image fits its prompt; more is better.
pub(super) struct PromptScores {
    /// What the number is, such as "cosine of image and prompt".
    pub(super) what: &'static str,
    pub(super) values: Vec<f64>,
}

pub(super) fn generate_all(
    pretrained: &Pretrained,
    requests: Vec<ImageRequest>,
    sampling: &SamplingConfig,
    observer: &mut dyn RunObserver,
) -> Result<Generated> {
    let started = Instant::now();
    let mut progress = |done| observer.progress("images generated", done, requests.len());
    let images = generate(pretrained, &requests, sampling, &mut progress)?;
    let seconds = started.elapsed().as_secs_f64();
    let is_of_codes = pretrained.card.codes.is_some();
    Ok(Generated { requests, images, scores: None, sampling: sampling.clone(), is_of_codes, seconds })
}

impl Generated {
    pub(super) fn summary(&self) -> String {
        let how = match self.is_of_codes {
            true => format!("codes at temperature {}", self.sampling.code_temperature),
            false => format!("{} steps", self.sampling.steps),
        };
        format!(
            "{} images with guidance {} and {how} in {} ({:.1} images/s)",
            self.images.len(),
            self.sampling.guidance,
            duration(self.seconds),
            self.images.len() as f64 / self.seconds.max(1e-9),
        )
    }

    pub(super) fn report(&self) -> Value {
        let SamplingConfig { guidance, solver, steps, shift, code_temperature, top_k, top_p, .. } = &self.sampling;
        let mut report = json!({
            "images": self.images.len(),
            "guidance": guidance,
            "first_seed": self.requests.first().map(|request| request.seed),
            "seconds": self.seconds,
        });
        let how = match self.is_of_codes {
            true => json!({ "code_temperature": code_temperature, "top_k": top_k, "top_p": top_p }),
            false => json!({ "solver": solver, "steps": steps, "shift": shift }),
        };
        if let (Some(report), Value::Object(how)) = (report.as_object_mut(), how) {
            report.extend(how);
        }
        report
    }
}

/// Images in [-1, 1], those of other sizes stretched to a shape, so that they can be compared. `[n, channels, height, width]`
pub(super) fn array(images: &[Image], shape: ImageShape) -> Result<Array4<f32>> {
    let size = [shape.height, shape.width];
    let planes = images.iter().map(|image| Ok(image.resized(size, Fit::Stretch)?.to_unit_range()));
    let planes: Vec<_> = planes.collect::<Result<_>>()?;
    let views: Vec<_> = planes.iter().map(|plane| plane.view()).collect();
    ndarray::stack(Axis(0), &views).context("images of one shape")
}

/// The words of captions; those that were cut are counted and told of.
pub(super) fn texts(captions: Vec<Caption>, observer: &mut dyn RunObserver) -> Vec<String> {
    let cut: Vec<usize> = captions.iter().filter_map(|caption| caption.cut_at).collect();
    if let Some(limit) = cut.first() {
        let (cut, all) = (cut.len(), captions.len());
        observer.note(&format!(
            "{cut} of {all} captions that the model wrote were cut at sampling.max_caption_tokens = {limit}"
        ));
    }
    captions.into_iter().map(|caption| caption.text).collect()
}
