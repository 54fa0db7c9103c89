//! Images brought to what the vision tower reads, to the very grey level as Pillow does it: the shorter side resized with
//! an antialiased bicubic, the centre cut out, and channels normalised.

use std::path::Path;

use ndarray::{Array3, Axis};
use serde_json::Value;

use crate::error::EvaluationError;
use crate::features::resize::pillow_bicubic_centre;

/// Pillow's number of the filter.
const BICUBIC: u64 = 3;
/// The longest shorter side that any tower is meant for, in pixels; beyond it a file is in error.
const LARGEST_SIDE: usize = 4096;

/// What `preprocessor_config.json` says, or OpenAI's numbers without one.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Preparation {
    /// Height and width of what the tower reads.
    pub(super) side: usize,
    /// Length that the shorter side is brought to.
    shorter: usize,
    mean: [f64; 3],
    std: [f64; 3],
}

impl Preparation {
    /// Reads `preprocessor_config.json`, if there is one.
    ///
    /// # Errors
    /// When it cannot be read, or asks for other steps than CLIP's.
    pub(super) fn read(folder: &Path, side: usize) -> Result<Self, EvaluationError> {
        let openai = Self {
            side,
            shorter: side,
            mean: [0.481_454_66, 0.457_827_5, 0.408_210_73],
            std: [0.268_629_54, 0.261_302_58, 0.275_777_11],
        };
        let path = folder.join("preprocessor_config.json");
        if !path.exists() {
            return Ok(openai);
        }
        let unfit = |reason: String| EvaluationError::Weights { path: path.clone(), reason };
        let text = std::fs::read_to_string(&path).map_err(|error| unfit(error.to_string()))?;
        let settings = serde_json::from_str(&text).map_err(|error| unfit(error.to_string()))?;
        openai.changed_by(&settings).map_err(unfit)
    }

    /// The settings of a file over those of OpenAI. What would make other pixels and is not done here is refused by its key.
    fn changed_by(mut self, settings: &Value) -> Result<Self, String> {
        // What is absent, or null, is as it is.
        let setting = |key: &str| settings.get(key).filter(|value| !value.is_null());
        for key in ["do_resize", "do_center_crop", "do_rescale", "do_normalize", "do_convert_rgb"] {
            only(key, setting(key), &Value::Bool(true))?;
        }
        only("resample", setting("resample"), &Value::from(BICUBIC))?;
        if let Some(factor) = setting("rescale_factor").filter(|factor| !is_near(factor, 1.0 / 255.0)) {
            return Err(format!("rescale_factor: expected 1 / 255, found {factor}"));
        }
        if let Some(size) = setting("size") {
            // Older files have the number alone. Height and width instead would give up the aspect.
            let shorter = size.as_u64().or_else(|| size.get("shortest_edge")?.as_u64()).map(|shorter| shorter as usize);
            let fits = |shorter: &usize| (self.side..=LARGEST_SIDE).contains(shorter);
            let expected =
                || format!("size: expected a shortest_edge from {} to {LARGEST_SIDE}, found {size}", self.side);
            self.shorter = shorter.filter(fits).ok_or_else(expected)?;
        }
        if let Some(crop) = setting("crop_size") {
            let length = |key: &str| crop.as_u64().or_else(|| crop.get(key)?.as_u64());
            if ["height", "width"].iter().any(|key| length(key) != Some(self.side as u64)) {
                return Err(format!("crop_size: expected {}, what the tower reads, found {crop}", self.side));
            }
        }
        for (key, numbers) in [("image_mean", &mut self.mean), ("image_std", &mut self.std)] {
            if let Some(found) = setting(key) {
                let triple = triple(found).filter(|triple| key == "image_mean" || triple.iter().all(|&x| x > 0.0));
                *numbers = triple.ok_or_else(|| {
                    format!("{key}: expected three numbers, standard deviations above 0, found {found}")
                })?;
            }
        }
        Ok(self)
    }

    /// Levels from 0 to 255 before they are normalised.
    pub(super) fn levels(&self, image: &Array3<u8>) -> Result<Array3<u8>, EvaluationError> {
        let (_, height, width) = image.dim();
        let longer = |long: usize, short: usize| self.shorter * long / short.max(1);
        let size = match width <= height {
            true => [longer(height, width), self.shorter],
            false => [self.shorter, longer(width, height)],
        };
        pillow_bicubic_centre(image, size, self.side)
    }

    pub(super) fn apply(&self, image: &Array3<u8>) -> Result<Array3<f32>, EvaluationError> {
        let mut pixels = self.levels(image)?.mapv(f32::from);
        for (channel, mut plane) in pixels.axis_iter_mut(Axis(0)).enumerate() {
            let (mean, std) = (self.mean[channel % 3], self.std[channel % 3]);
            plane.mapv_inplace(|level| ((f64::from(level) / 255.0 - mean) / std) as f32);
        }
        Ok(pixels)
    }
}

fn only(key: &str, found: Option<&Value>, expected: &Value) -> Result<(), String> {
    match found {
        Some(found) if found != expected => Err(format!("{key}: expected {expected}, found {found}")),
        _ => Ok(()),
    }
}

fn is_near(value: &Value, expected: f64) -> bool {
    value.as_f64().is_some_and(|value| (value / expected - 1.0).abs() < 1e-6)
}

fn triple(value: &Value) -> Option<[f64; 3]> {
    let numbers: Vec<f64> = value.as_array()?.iter().map(Value::as_f64).collect::<Option<_>>()?;
    numbers.try_into().ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn openai() -> Preparation {
        Preparation { side: 224, shorter: 224, mean: [0.5; 3], std: [0.25; 3] }
    }

    #[test]
    fn new_and_old_files_are_read() {
        let new = json!({"size": {"shortest_edge": 256}, "crop_size": {"height": 224, "width": 224}, "resample": 3,
            "do_resize": true, "do_convert_rgb": null, "rescale_factor": 0.003_921_568_627_450_98, "image_mean": [0, 0.5, 1]});
        let expected = Preparation { shorter: 256, mean: [0.0, 0.5, 1.0], ..openai() };
        assert_eq!(openai().changed_by(&new).unwrap(), expected);
        let old = json!({"size": 224, "crop_size": 224, "feature_extractor_type": "CLIPFeatureExtractor"});
        assert_eq!(openai().changed_by(&old).unwrap(), openai());
    }

    #[test]
    fn other_steps_are_refused_by_their_key() {
        for other in [
            json!({"do_center_crop": false}),
            json!({"do_normalize": 0}),
            json!({"resample": 2}),
            json!({"rescale_factor": 0.007_843}),
            json!({"size": {"height": 224, "width": 224}}),
            json!({"size": {"shortest_edge": 200}}),
            json!({"size": 9_000_000_000u64}),
            json!({"crop_size": {"height": 224, "width": 200}}),
            json!({"image_mean": [0.5, 0.5]}),
            json!({"image_std": [0.5, 0.0, 0.5]}),
        ] {
            let key = other.as_object().and_then(|object| object.keys().next().cloned()).unwrap();
            let reason = openai().changed_by(&other).unwrap_err();
            assert!(reason.starts_with(&format!("{key}: expected ")) && reason.contains(", found "), "{reason}");
        }
    }
}
