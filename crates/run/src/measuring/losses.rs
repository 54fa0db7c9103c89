//! The losses of a trained model on what was held out, under fixed noise: by noise level, and of the text as perplexity and bits
//! per byte.

use interfuse_checkpoint::Pretrained;
use serde_json::{Value, json};

use super::report::Report;
use crate::data_sets::DataSets;
use crate::error::Result;
use crate::plan::validation_of;
use crate::settings::Settings;

/// Adds the losses to a report; nothing where nothing fits the model's rows.
pub(super) fn measure(
    settings: &Settings,
    data: &DataSets,
    pretrained: &Pretrained,
    report: &mut Report,
) -> Result<()> {
    let held_out = validation_of(settings, data, pretrained)?;
    if held_out.is_empty() {
        return Ok(());
    }
    let card = &pretrained.card;
    let run = (settings.run.seed, card.step);
    let sequences = settings.train.batch_size;
    let found = held_out.measure(&pretrained.model, &card.model, run, sequences, &pretrained.device)?;
    let on = if found.is_train { "training images" } else { "held-out images" };
    report.note(format!(
        "losses on {on}: text {:.4} (perplexity {:.3}, {:.3} bits per byte)  image {}",
        found.text,
        found.text_perplexity(),
        found.bits_per_byte,
        found.image_by_level()
    ));
    let by_level: serde_json::Map<String, Value> =
        found.image.iter().map(|(level, loss)| (format!("t={level}"), json!(loss))).collect();
    report.value["losses"] = json!({
        "on": on,
        "text": found.text,
        "text_perplexity": found.text_perplexity(),
        "text_bits_per_byte": found.bits_per_byte,
        "image": found.image_mean(),
        "image_by_noise": by_level,
    });
    Ok(())
}
