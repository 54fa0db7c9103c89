//! The numbers of a report as rows of a table: what belongs together in one row, with its meaning.

use serde_json::Value;

/// A row: key, value, meaning.
pub(super) struct Row {
    pub(super) key: String,
    pub(super) value: String,
    pub(super) meaning: &'static str,
}

/// All numbers of a report.
pub(super) fn rows(report: &Value) -> Vec<Row> {
    let mut rows = vec![];
    flatten(report, "", &mut rows);
    let row = |(key, value): (String, String)| Row { meaning: meaning(&key), key, value };
    rows.into_iter().map(row).collect()
}

fn flatten(value: &Value, key: &str, rows: &mut Vec<(String, String)>) {
    let joined = |part: &str| if key.is_empty() { part.to_string() } else { format!("{key}.{part}") };
    if let Some(text) = in_one_row(value) {
        return rows.push((key.to_string(), text));
    }
    match value {
        Value::Object(map) => map.iter().for_each(|(part, value)| flatten(value, &joined(part), rows)),
        Value::Array(list) => {
            for (index, value) in list.iter().enumerate() {
                let name = value.get("name").and_then(Value::as_str);
                match value.as_array().map(Vec::as_slice) {
                    // An attribute: its name, how often it is right, and chance.
                    Some([Value::String(name), attribute, chance]) => {
                        let chance = 100.0 * chance.as_f64().unwrap_or(f64::NAN);
                        let text = format!("{}, chance {chance:.1} %", in_one_row(attribute).unwrap_or_default());
                        rows.push((format!("{key}.{name}").replace(".attributes", ""), text));
                    }
                    // Distances have names.
                    _ => flatten(value, &joined(name.unwrap_or(&index.to_string())), rows),
                }
            }
        }
        _ => {}
    }
}

/// What is a number, or says one thing in several.
fn in_one_row(value: &Value) -> Option<String> {
    let number = |key: &str| value.get(key).and_then(Value::as_f64);
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Bool(flag) => Some(flag.to_string()),
        Value::Number(number) if number.is_f64() => number.as_f64().map(|x| format!("{x:.4}")),
        Value::Number(number) => Some(number.to_string()),
        Value::Array(list) if !list.is_empty() && list.iter().all(Value::is_number) => {
            Some(list.iter().filter_map(in_one_row).collect::<Vec<_>>().join("  "))
        }
        Value::Object(map) if map.contains_key("hits") => {
            let [fraction, low, high] = ["fraction", "low", "high"].map(|key| 100.0 * number(key).unwrap_or(f64::NAN));
            Some(format!("{fraction:.1} % ({low:.1} – {high:.1}), N = {}", value["total"]))
        }
        Value::Object(map) if map.contains_key("value") => {
            let mut text = in_one_row(&value["value"])?;
            let interval = value.get("interval").unwrap_or(value);
            if let [Some(low), Some(high)] = ["low", "high"].map(|key| interval.get(key).and_then(Value::as_f64)) {
                text += &format!(" ({low:.4} – {high:.4})");
            }
            if let Some(baseline) = value.pointer("/baseline/value").and_then(Value::as_f64) {
                text += &format!(", baseline {baseline:.4}");
            }
            for (what, key) in [("N", "count"), ("images", "images")] {
                text += &number(key).map(|count| format!(", {what} = {count}")).unwrap_or_default();
            }
            Some(text)
        }
        Value::Object(map) if map.contains_key("std") => {
            Some(format!("{:.6} ± {:.6}", number("mean")?, number("std")?))
        }
        Value::Object(map) if map.contains_key("coverage") => {
            let fractions = ["precision", "recall", "density", "coverage"];
            let fractions = fractions.map(|key| format!("{key} {:.3}", number(key).unwrap_or(f64::NAN)));
            Some(fractions.join("  "))
        }
        _ => None,
    }
}

/// What a number says, by its key.
fn meaning(key: &str) -> &'static str {
    let known = [
        (
            "retrieval.top1",
            "fraction of generated images whose nearest training image is the prompted one, 95 % interval",
        ),
        ("retrieval.top5", "… or among the five nearest"),
        ("chance", "what guessing would get"),
        ("captions.exact", "fraction of greedy captions that are the training caption, letter by letter"),
        ("captions.similarity", "words in place, from 0 to 1"),
        ("caption_metrics", "BLEU, ROUGE-L and CIDEr-D of captions of training images; see the captioning literature"),
        ("recognised_by_class", "the same by class"),
        ("recognised", "fraction of generated images that the classifier sees the prompted class in"),
        ("fd_cnn_v1_of_real", "the same distance of as many real training images: the baseline"),
        ("fd_cnn_v1", "Fréchet distance in the classifier's features; lower is better; no FID"),
        ("score_of_real", "the same by one that learned from as many real training images"),
        (
            "classification_accuracy_score",
            "fraction of real held-out images that a network tells apart which saw generated ones alone",
        ),
        ("classifier_accuracy", "fraction of held-out real images that the classifier classifies right"),
        ("memorisation.generated_is_nearer", "½: as far from training images as held-out ones; 1: copies"),
        ("memorisation", "distance to the nearest training image, values in [-1, 1]"),
        ("seen_scenes", "scenes of combinations that training saw"),
        ("held_out_scenes", "scenes of combinations that training did not see"),
        ("weights_sha256", "hash of the weights that were measured"),
        ("losses.image_loss.t=", "denoising loss at a noise level, with noise that is the same each time"),
        ("losses.image_loss", "the mean over the noise levels"),
        ("losses.image_alone_loss", "next-token loss of codes that no caption stands before, in nats"),
        ("losses.image_text_loss", "next-token loss of captions and codes together, in nats"),
        ("_given_image_perplexity", "the same of captions behind their clean image"),
        ("_given_image_loss", "next-token loss of captions behind their clean image, in nats"),
        ("_perplexity", "among how many tokens the model is uncertain, on average"),
        ("_bits_per_byte", "what models with other tokenizers can be compared by"),
        ("losses.text_loss", "next-token loss, in nats"),
        ("kid.", "kernel distance, unbiased and so about 0 for equal sets"),
        (".prdc", "fractions of generated images among real ones, and of real ones among generated"),
        (
            ".distance",
            "how far generated images are from real ones, 95 % interval; the baseline is what training images have",
        ),
        ("distances.", ""),
        ("prompt_score", "how well images fit their prompts, each by itself; the images below are sorted by it"),
        ("clip_score", "how well images fit their prompts by CLIP"),
        ("generated.seconds", "how long sampling took"),
        ("generated.guidance", "scale of classifier-free guidance"),
        ("generated.steps", "denoise steps"),
    ];
    known.iter().find(|(part, _)| key.contains(part)).map_or("", |(_, meaning)| meaning)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_belongs_together_is_one_row() {
        let report = json!({
            "step": 3,
            "recognised": { "hits": 1, "total": 2, "fraction": 0.5, "low": 0.1, "high": 0.9 },
            "caption_metrics": { "bleu": [0.5, 0.25], "captions": 2 },
            "seen_scenes": { "generated": { "attributes": [["shape", { "hits": 1, "total": 1, "fraction": 1.0, "low": 0.2, "high": 1.0 }, 0.25]] } },
            "distances": [{
                "name": "FID-8",
                "distance": { "value": 2.5, "interval": { "low": 2.0, "high": 3.0, "resamples": 9 }, "baseline": { "value": 1.0, "images": 8 } },
                "kid": { "found": { "mean": 0.5, "std": 0.25, "subsets": 1, "subset_size": 8 } },
            }],
            "nothing": null,
        });
        let rows = rows(&report);
        let of = |key: &str| rows.iter().find(|row| row.key == key).map(|row| row.value.as_str());
        assert_eq!(of("recognised"), Some("50.0 % (10.0 – 90.0), N = 2"));
        assert_eq!(of("caption_metrics.bleu"), Some("0.5000  0.2500"));
        assert_eq!(of("seen_scenes.generated.shape"), Some("100.0 % (20.0 – 100.0), N = 1, chance 25.0 %"));
        assert_eq!(of("distances.FID-8.distance"), Some("2.5000 (2.0000 – 3.0000), baseline 1.0000"));
        assert_eq!(of("distances.FID-8.kid.found"), Some("0.500000 ± 0.250000"));
        assert_eq!((rows.len(), of("step")), (8, Some("3")));
        assert!(rows.iter().all(|row| row.key != "nothing"));
    }
}
