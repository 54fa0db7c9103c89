//! What an evaluation found, as a visitor reads it.

use serde_json::Value;

/// One number with its name.
#[derive(Debug, Clone, PartialEq)]
pub struct Measure {
    /// What it is of.
    pub what: String,
    /// The number with its unit, and its interval where there is one.
    pub value: String,
}

/// Fractions, by where they stand in `evaluation.json`.
const FRACTIONS: [(&str, &str); 7] = [
    ("/retrieval/top1", "the nearest image is the prompted one"),
    ("/captions/exact", "captions that are exact"),
    ("/recognised", "recognised as the class that was asked for"),
    ("/seen_scenes/generated/all", "images of scenes that training saw, right in everything"),
    ("/held_out_scenes/generated/all", "images of scenes that it did not see, right in everything"),
    ("/seen_scenes/captioned/all", "captions of scenes that training saw, right in everything"),
    ("/held_out_scenes/captioned/all", "captions of scenes that it did not see, right in everything"),
];

/// Other numbers: where they stand, what they are, their unit, and how many digits they have.
const NUMBERS: [(&str, &str, &str, usize); 4] = [
    ("/fd_cnn_v1", "Fréchet distance `fd_cnn_v1`", "", 1),
    ("/psnr", "PSNR of reconstructions", " dB", 2),
    ("/ssim", "SSIM of reconstructions", "", 3),
    ("/caption_metrics/cider_d", "CIDEr-D of captions", "", 2),
];

/// Of a collection of conversations that training did not see.
const CONVERSATIONS: [(&str, &str); 2] = [
    ("/held_out/answers/exact", "answers that are exact"),
    ("/held_out/edits/scenes/all", "edits that are right in everything"),
];

/// Of a collection of speech.
const SPEECH: [(&str, &str); 4] = [
    ("/train/word_error_rate", "word error rate of clips that training heard"),
    ("/held_out/word_error_rate", "word error rate of clips that it did not hear"),
    ("/train/unit_error_rate", "unit error rate of texts that training read"),
    ("/held_out/unit_error_rate", "unit error rate of texts that it did not read"),
];

/// Everything that is known in what an evaluation found.
pub(super) fn found(evaluation: &Value) -> Vec<Measure> {
    let fractions = FRACTIONS.iter().filter_map(|(path, what)| fraction(what, evaluation.pointer(path)?));
    let numbers = NUMBERS.iter().filter_map(|(path, what, unit, digits)| {
        let value = format!("{:.*}{unit}", digits, evaluation.pointer(path)?.as_f64()?);
        Some(Measure { what: (*what).into(), value })
    });
    fractions.chain(numbers).chain(of_collections(evaluation)).collect()
}

fn of_collections(evaluation: &Value) -> Vec<Measure> {
    let collections = |key: &str| evaluation[key].as_object().cloned().unwrap_or_default();
    let mut measures = vec![];
    for (name, found) in collections("conversations") {
        let all = CONVERSATIONS.iter();
        measures.extend(all.filter_map(|(path, what)| fraction(&format!("{name}: {what}"), found.pointer(path)?)));
    }
    for (name, found) in collections("speech") {
        measures.extend(SPEECH.iter().filter_map(|(path, what)| {
            let value = format!("{:.3}", found.pointer(path)?.as_f64()?);
            Some(Measure { what: format!("{name}: {what}"), value })
        }));
    }
    measures
}

/// A fraction with its 95 % interval and the number of cases.
fn fraction(what: &str, found: &Value) -> Option<Measure> {
    let percent = |key: &str| Some(100.0 * found.get(key)?.as_f64()?);
    let (value, low, high) = (percent("fraction")?, percent("low")?, percent("high")?);
    let total = found.get("total")?.as_u64()?;
    Some(Measure { what: what.into(), value: format!("{value:.1} % ({low:.1} to {high:.1}) of {total}") })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn fractions_have_their_intervals_and_what_is_missing_is_left_out() {
        let top1 = json!({ "hits": 3, "total": 4, "fraction": 0.75, "low": 0.3, "high": 0.954 });
        let answers = json!({ "held_out": { "answers": { "exact": top1 } } });
        let evaluation = json!({ "retrieval": { "top1": top1 }, "psnr": 23.3479, "conversations": { "q": answers } });
        let found: Vec<String> = found(&evaluation).into_iter().map(|m| format!("{} = {}", m.what, m.value)).collect();
        let expected = [
            "the nearest image is the prompted one = 75.0 % (30.0 to 95.4) of 4",
            "PSNR of reconstructions = 23.35 dB",
            "q: answers that are exact = 75.0 % (30.0 to 95.4) of 4",
        ];
        assert_eq!(found, expected);
        assert!(super::found(&Value::Null).is_empty());
    }
}
