//! What an evaluation found: lines for a person, and the same as JSON.

use interfuse_evaluation::proportion::Proportion;
use serde_json::Value;

/// One line of a report.
#[derive(Debug, Clone, PartialEq)]
pub enum Entry {
    /// Fractions of a model after so many steps follow.
    Heading(u64),
    /// A fraction, and how often guessing would be right.
    Fraction {
        /// What it is of.
        what: String,
        /// The fraction with its interval.
        fraction: Proportion,
        /// Of guessing, from 0 to 1, where that is known.
        chance: Option<f64>,
    },
    /// A sentence.
    Note(String),
}

/// What an evaluation found.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// In the order in which a person should read them.
    pub entries: Vec<Entry>,
    /// What `evaluation.json` holds.
    pub value: Value,
}

impl Report {
    pub(super) fn heading(&mut self, step: u64) {
        self.entries.push(Entry::Heading(step));
    }

    pub(super) fn fraction(&mut self, what: impl Into<String>, fraction: &Proportion, chance: Option<f64>) {
        // A guess among fewer than are asked for is always right, and no more than that.
        let chance = chance.map(|chance| chance.min(1.0));
        self.entries.push(Entry::Fraction { what: what.into(), fraction: *fraction, chance });
    }

    pub(super) fn note(&mut self, note: impl Into<String>) {
        self.entries.push(Entry::Note(note.into()));
    }

    /// The fractions and distances by name, for curves.
    pub fn numbers(&self) -> Vec<(String, f64)> {
        let paths = [
            ("retrieval", "/retrieval/top1/fraction"),
            ("captions_exact", "/captions/exact/fraction"),
            ("cider_d", "/caption_metrics/cider_d"),
            ("recognised", "/recognised/fraction"),
            ("fd_cnn_v1", "/fd_cnn_v1"),
            ("seen_scenes_generated", "/seen_scenes/generated/all/fraction"),
            ("held_out_scenes_generated", "/held_out_scenes/generated/all/fraction"),
            ("generated_is_nearer", "/memorisation/generated_is_nearer"),
        ];
        let found = paths.into_iter().filter_map(|(name, path)| Some((name, self.value.pointer(path)?.as_f64()?)));
        let found = found.map(|(name, value)| (name.to_string(), value));
        found.chain(self.error_rates()).chain(self.of_conversations()).collect()
    }

    /// Of conversations, named by collection and split: `edits.held_out.right`.
    fn of_conversations(&self) -> Vec<(String, f64)> {
        let paths = [("exact", "/answers/exact/fraction"), ("right", "/edits/scenes/all/fraction")];
        let mut numbers = vec![];
        for (part, splits) in self.value["conversations"].as_object().into_iter().flatten() {
            for (split, found) in splits.as_object().into_iter().flatten() {
                let named = paths.iter().filter_map(|(name, path)| Some((name, found.pointer(path)?.as_f64()?)));
                numbers.extend(named.map(|(name, number)| (format!("{part}.{split}.{name}"), number)));
            }
        }
        numbers
    }

    /// Of speech, named by collection and split: `voices.held_out.word_error_rate`.
    fn error_rates(&self) -> Vec<(String, f64)> {
        let members = |value: &Value| value.as_object().cloned().unwrap_or_default();
        let mut rates = vec![];
        for (part, splits) in members(&self.value["speech"]) {
            for (split, numbers) in members(&splits) {
                let named = members(&numbers).into_iter().filter(|(name, _)| name.ends_with("_error_rate"));
                rates.extend(named.filter_map(|(name, rate)| Some((format!("{part}.{split}.{name}"), rate.as_f64()?))));
            }
        }
        rates
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chance_is_never_above_one() {
        let mut report = Report::default();
        report.fraction("among the five nearest", &Proportion::of([true, false]), Some(5.0 / 4.0));
        let [Entry::Fraction { chance, .. }] = report.entries.as_slice() else { panic!("one fraction") };
        assert_eq!(*chance, Some(1.0));
    }
}
