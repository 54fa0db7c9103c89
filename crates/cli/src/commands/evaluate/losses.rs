//! The losses of a trained model on what was held out, under fixed noise: by noise level, and of the text as perplexity and bits
//! per byte.

use interfuse_sampling::Pretrained;
use serde_json::{Value, json};

use crate::assembly::validation_of;
use crate::settings::Settings;

/// Prints the losses and returns them; nothing where nothing fits the model's rows.
pub(super) fn measure(settings: &Settings, pretrained: &Pretrained) -> anyhow::Result<Option<Value>> {
    let held_out = validation_of(settings, pretrained)?;
    if held_out.is_empty() {
        return Ok(None);
    }
    let card = &pretrained.card;
    let run = (settings.run.seed, card.step);
    let sequences = settings.train.sequences();
    let found = held_out.measure(&pretrained.model, &card.model, run, sequences, &pretrained.device)?;
    let on = if found.is_train { "training images" } else { "held-out images" };
    println!("losses on {on}: {}", found.line());
    for (losses, given) in [(&found.text, ""), (&found.text_given_image, " | image")] {
        for loss in losses {
            let bits = loss.bits_per_byte.map_or(String::new(), |bits| format!(", {bits:.3} bits per byte"));
            println!("  {}{given}: perplexity {:.3}{bits}", loss.modality, loss.perplexity());
        }
    }
    let mut report: serde_json::Map<String, Value> =
        found.numbers().into_iter().map(|(name, value)| (name, json!(value))).collect();
    report.insert("on".into(), json!(on));
    Ok(Some(report.into()))
}
