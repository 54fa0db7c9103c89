//! The losses of a trained model on what was held out, under fixed noise: by noise level, and of the text as perplexity and bits
//! per byte.

use interfuse_checkpoint::Pretrained;
use interfuse_data::Collections;
use serde_json::{Value, json};

use super::report::Report;
use crate::error::Result;
use crate::plan::validation_of;
use crate::settings::Settings;

/// Adds the losses to a report; nothing where nothing fits the model's rows.
pub(super) fn measure(
    settings: &Settings,
    data: &Collections,
    pretrained: &Pretrained,
    report: &mut Report,
) -> Result<()> {
    let held_out = validation_of(settings, data, pretrained)?;
    if held_out.is_empty() {
        return Ok(());
    }
    let card = &pretrained.card;
    let run = (settings.run.seed, card.step);
    let sequences = settings.train.sequences();
    let found = held_out.measure(&pretrained.model, &card.model, run, sequences, &pretrained.device)?;
    let on = match (found.is_train, data.images.is_some()) {
        (true, true) => "training images",
        (false, true) => "held-out images",
        (true, false) => "training documents",
        (false, false) => "held-out documents",
    };
    report.note(format!("losses on {on}: {}", found.line()));
    for (losses, given) in [(&found.text, ""), (&found.text_given_image, " | image"), (&found.collections, "")] {
        for loss in losses {
            let bits = loss.bits_per_byte.map_or(String::new(), |bits| format!(", {bits:.3} bits per byte"));
            let modality = loss.modality.replace("_given_", " | ");
            report.note(format!("  {modality}{given}: perplexity {:.3}{bits}", loss.perplexity()));
        }
    }
    let mut losses: serde_json::Map<String, Value> =
        found.numbers().into_iter().map(|(name, value)| (name, json!(value))).collect();
    losses.insert("on".into(), json!(on));
    report.value["losses"] = losses.into();
    Ok(())
}
