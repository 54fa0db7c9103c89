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
    let sequences = settings.train.batch_size;
    let found = held_out.measure(&pretrained.model, &card.model, run, sequences, &pretrained.device)?;
    let on = if found.is_train { "training images" } else { "held-out images" };
    println!(
        "losses on {on}: text {:.4} (perplexity {:.3}, {:.3} bits per byte)  image {}",
        found.text,
        found.text_perplexity(),
        found.bits_per_byte,
        found.image_by_level()
    );
    let by_level: serde_json::Map<String, Value> =
        found.image.iter().map(|(level, loss)| (format!("t={level}"), json!(loss))).collect();
    Ok(Some(json!({
        "on": on,
        "text": found.text,
        "text_perplexity": found.text_perplexity(),
        "text_bits_per_byte": found.bits_per_byte,
        "image": found.image_mean(),
        "image_by_noise": by_level,
    })))
}
