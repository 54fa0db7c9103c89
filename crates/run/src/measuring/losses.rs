//! The losses of a trained model on what was held out, under fixed noise: by noise level, and of the text as perplexity and bits
//! per byte.

use interfuse_checkpoint::Pretrained;
use interfuse_data::DataSet;
use serde_json::{Value, json};

use super::report::Report;
use crate::error::Result;
use crate::plan::validation_of;
use crate::settings::Settings;

/// Adds the losses to a report; nothing where nothing fits the model's rows.
pub(super) fn measure(settings: &Settings, data: &DataSet, pretrained: &Pretrained, report: &mut Report) -> Result<()> {
    let held_out = validation_of(settings, data, pretrained)?;
    if held_out.is_empty() {
        return Ok(());
    }
    let card = &pretrained.card;
    let run = (settings.run.seed, card.step);
    let sequences = settings.train.sequences();
    let found = held_out.measure(&pretrained.model, &card.model, run, sequences, &pretrained.device)?;
    let on = if found.is_train { "training images" } else { "held-out images" };
    report.note(format!("losses on {on}: {}", found.line()));
    for (losses, given) in [(&found.text, ""), (&found.text_given_image, " | image")] {
        for loss in losses {
            let bits = loss.bits_per_byte.map_or(String::new(), |bits| format!(", {bits:.3} bits per byte"));
            report.note(format!("  {}{given}: perplexity {:.3}{bits}", loss.modality, loss.perplexity()));
        }
    }
    let mut losses: serde_json::Map<String, Value> =
        found.numbers().into_iter().map(|(name, value)| (name, json!(value))).collect();
    losses.insert("on".into(), json!(on));
    report.value["losses"] = losses.into();
    Ok(())
}
