//! Pictures brought to what the vision tower reads, to the very grey level as Pillow does it: the shorter side resized with
//! an antialiased bicubic, the centre cut out, and channels normalised.

use std::path::Path;

use ndarray::{Array3, Axis, s};
use serde_json::Value;

use crate::error::EvaluationError;
use crate::features::resize::pillow_bicubic;

/// What `preprocessor_config.json` says, or OpenAI's numbers without one.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Preparation {
    /// Height and width of what the tower reads.
    pub(super) side: usize,
    /// Length that the shorter side is brought to.
    shorter: usize,
    mean: [f64; 3],
    deviation: [f64; 3],
}

impl Preparation {
    /// Reads `preprocessor_config.json`, if there is one.
    ///
    /// # Errors
    /// When it asks for another resize or crop than CLIP's.
    pub(super) fn read(folder: &Path, side: usize) -> Result<Self, EvaluationError> {
        let mut preparation = Self {
            side,
            shorter: side,
            mean: [0.481_454_66, 0.457_827_5, 0.408_210_73],
            deviation: [0.268_629_54, 0.261_302_58, 0.275_777_11],
        };
        let path = folder.join("preprocessor_config.json");
        let Ok(text) = std::fs::read_to_string(&path) else { return Ok(preparation) };
        let unfit = |reason: String| EvaluationError::Weights { path: path.clone(), reason };
        let value: Value = serde_json::from_str(&text).map_err(|error| unfit(error.to_string()))?;
        if value.get("resample").and_then(Value::as_u64).is_some_and(|resample| resample != 3) {
            return Err(unfit(format!("resample: expected 3 (bicubic), found {}", value["resample"])));
        }
        let length = |value: &Value, key: &str| value.as_u64().or_else(|| value.get(key)?.as_u64());
        if let Some(shorter) = value.get("size").and_then(|size| length(size, "shortest_edge")) {
            preparation.shorter = shorter as usize;
        }
        let crop = value.get("crop_size").and_then(|size| length(size, "height"));
        if crop.is_some_and(|crop| crop as usize != side) || preparation.shorter < side {
            let reason = format!("expected a crop of {side}, the tower's size, found {}", value["crop_size"]);
            return Err(unfit(reason));
        }
        let triple = |key: &str| -> Option<[f64; 3]> {
            let numbers: Vec<f64> = value.get(key)?.as_array()?.iter().filter_map(Value::as_f64).collect();
            numbers.try_into().ok()
        };
        preparation.mean = triple("image_mean").unwrap_or(preparation.mean);
        preparation.deviation = triple("image_std").unwrap_or(preparation.deviation);
        Ok(preparation)
    }

    /// Levels from 0 to 255 before they are normalised.
    pub(super) fn levels(&self, picture: &Array3<u8>) -> Result<Array3<u8>, EvaluationError> {
        let (_, height, width) = picture.dim();
        let longer = |long: usize, short: usize| self.shorter * long / short.max(1);
        let size = match width <= height {
            true => [longer(height, width), self.shorter],
            false => [self.shorter, longer(width, height)],
        };
        let resized = pillow_bicubic(picture, size)?;
        let [top, left] = size.map(|side| (side - self.side) / 2);
        Ok(resized.slice(s![.., top..top + self.side, left..left + self.side]).to_owned())
    }

    pub(super) fn apply(&self, picture: &Array3<u8>) -> Result<Array3<f32>, EvaluationError> {
        let mut pixels = self.levels(picture)?.mapv(f32::from);
        for (channel, mut plane) in pixels.axis_iter_mut(Axis(0)).enumerate() {
            let (mean, deviation) = (self.mean[channel % 3], self.deviation[channel % 3]);
            plane.mapv_inplace(|level| ((f64::from(level) / 255.0 - mean) / deviation) as f32);
        }
        Ok(pixels)
    }
}
