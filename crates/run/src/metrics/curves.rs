//! The curves of a run: every record goes to `metrics.jsonl` and to TensorBoard.

use interfuse_data::Image;
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::{EventFile, JsonLines};
use crate::error::{Context as _, Result};
use crate::run_folder::RunFolder;

/// Both files of curves.
pub struct Curves {
    metrics: JsonLines,
    events: EventFile,
}

impl Curves {
    /// Continues the curves from `step`, 0 for a new run, and notes the settings.
    pub fn new(folder: &RunFolder, step: u64, settings: &impl Serialize) -> Result<Self> {
        let metrics = match step {
            0 => JsonLines::create(&folder.metrics())?,
            step => JsonLines::resume(&folder.metrics(), step)?,
        };
        let mut events = EventFile::create(folder.path(), (step > 0).then_some(step))?;
        let config = toml::to_string(settings).context("cannot write the settings")?;
        events.text("config", step, &format!("```toml\n{config}\n```"))?;
        Ok(Self { metrics, events })
    }

    /// Writes numbers by name; TensorBoard shows them under `prefix`. `notes` are for `metrics.jsonl` alone.
    pub fn record(&mut self, step: u64, prefix: &str, numbers: &[(String, f64)], notes: &[(&str, &str)]) -> Result<()> {
        let mut record = Map::new();
        record.insert("step".into(), json!(step));
        for (name, value) in numbers {
            record.insert(name.clone(), json!(value));
            self.events.scalar(&format!("{prefix}{name}"), step, *value)?;
        }
        for (name, note) in notes {
            record.insert((*name).into(), json!(note));
        }
        self.metrics.write(&Value::Object(record))
    }

    /// Shows an image in TensorBoard.
    pub fn image(&mut self, tag: &str, step: u64, image: &Image) -> Result<()> {
        let (shape, png) = (image.shape(), image.to_png()?);
        let [width, height, channels] = [shape.width, shape.height, shape.channels].map(|size| size as u32);
        self.events.image(tag, step, super::Image { png: &png, width, height, channels })
    }
}
