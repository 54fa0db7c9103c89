//! The lines of `metrics.jsonl`.
//!
//! A line with `loss` is a training step; others hold what was measured beside training. JSON has no NaN, so that a number that
//! was not finite is null there.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Map, Value};

use super::LastLoss;
use crate::durable::read_text;
use crate::error::{Result, SweepError};

const COUNT: &str = "_count";
const UNIQUE: &str = "_unique_tokens";
const LOSS: &str = "_loss";
/// Before `_loss`, what keeps experts evenly used: no loss of a modality.
const ROUTER: &str = "router_loss";

/// What a run recorded.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Records {
    /// Training steps; of a step that was taken twice the last.
    steps: BTreeMap<u64, Map<String, Value>>,
    /// What was measured beside training.
    measured: Vec<(u64, Map<String, Value>)>,
}

/// Reads the `metrics.jsonl` of a run folder. The last line may be torn: the run may be going on, or have been killed.
///
/// # Errors
/// There is no such file, a line before the last is not JSON, or no step was recorded; names file and line.
pub fn read_records(folder: &Path) -> Result<Records> {
    let path = folder.join("metrics.jsonl");
    let text = read_text(&path)?;
    let mut records = Records::default();
    let mut lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()).peekable();
    while let Some((index, line)) = lines.next() {
        match serde_json::from_str::<Value>(line) {
            Ok(Value::Object(record)) => records.push(record),
            Ok(_) => return Err(SweepError::malformed(&path, format!("line {}: expected an object", index + 1))),
            Err(_) if lines.peek().is_none() => {}
            Err(error) => {
                return Err(SweepError::malformed(&path, format!("line {} is not JSON ({error})", index + 1)));
            }
        }
    }
    match records.steps.is_empty() {
        true => Err(SweepError::malformed(&path, "no step is recorded yet")),
        false => Ok(records),
    }
}

impl Records {
    fn push(&mut self, record: Map<String, Value>) {
        let Some(step) = record.get("step").and_then(Value::as_u64) else { return };
        if record.contains_key("loss") {
            self.steps.insert(step, record);
        } else {
            self.measured.push((step, record));
        }
    }

    /// The last training step.
    pub fn last_step(&self) -> u64 {
        self.steps.keys().next_back().copied().unwrap_or_default()
    }

    /// A number of every training step that has the key, in order; what was not finite is NaN.
    pub fn numbers(&self, key: &str) -> Vec<f64> {
        self.steps.values().filter_map(|record| record.get(key)).map(number).collect()
    }

    /// The gradient norms before clipping.
    pub fn gradient_norms(&self) -> Vec<f64> {
        self.numbers("gradient_norm")
    }

    /// The keys of training steps that begin so.
    pub fn keys_with(&self, start: &str) -> Vec<String> {
        let keys = self.steps.values().flat_map(Map::keys).filter(|key| key.starts_with(start));
        keys.cloned().collect::<std::collections::BTreeSet<_>>().into_iter().collect()
    }

    /// Modalities whose loss every step has, by name.
    pub fn modalities(&self) -> Vec<String> {
        let mut names: BTreeMap<&str, usize> = BTreeMap::new();
        for record in self.steps.values() {
            let losses = record.iter().filter(|(key, value)| is_training_loss(key) && value.is_number());
            for name in losses.filter_map(|(key, _)| key.strip_suffix(LOSS)) {
                *names.entry(name).or_default() += 1;
            }
        }
        // One step without rows of a modality would shift its curve against the others.
        let most = names.values().max().copied().unwrap_or_default();
        names.into_iter().filter(|(_, count)| 2 * count > most).map(|(name, _)| name.to_owned()).collect()
    }

    /// The training losses of some modalities at those steps that have all of them.
    pub fn losses_of(&self, modalities: &[String]) -> Vec<Vec<f64>> {
        let keys: Vec<String> = modalities.iter().map(|name| format!("{name}{LOSS}")).collect();
        let mut losses = vec![vec![]; keys.len()];
        for record in self.steps.values() {
            let row: Vec<f64> = keys.iter().map(|key| record.get(key).map_or(f64::NAN, number)).collect();
            if row.iter().all(|loss| loss.is_finite() && *loss > 0.0) {
                losses.iter_mut().zip(row).for_each(|(losses, loss)| losses.push(loss));
            }
        }
        losses
    }

    pub(super) fn tokens(&self) -> BTreeMap<String, f64> {
        let mut tokens = BTreeMap::new();
        for (key, value) in self.steps.values().flatten() {
            if key.ends_with(COUNT) && !key.contains('/') {
                *tokens.entry(key.clone()).or_default() += value.as_f64().unwrap_or_default();
            }
        }
        tokens
    }

    pub(super) fn unique_tokens(&self) -> BTreeMap<String, f64> {
        let all = self.steps.values().chain(self.measured.iter().map(|(_, record)| record)).flatten();
        let of = |(key, value): (&String, &Value)| Some((key.strip_suffix(UNIQUE)?.to_owned(), value.as_f64()?));
        all.filter_map(of).collect()
    }

    pub(super) fn losses(&self) -> BTreeMap<String, LastLoss> {
        let mut losses: BTreeMap<String, LastLoss> = BTreeMap::new();
        for (step, record) in &self.measured {
            for (key, value) in record.iter().filter(|(key, _)| key.ends_with(LOSS)) {
                let last = losses.entry(key.clone()).or_insert(LastLoss { step: 0, loss: None });
                if *step >= last.step {
                    *last = LastLoss { step: *step, loss: value.as_f64() };
                }
            }
        }
        losses
    }

    pub(super) fn peak(&self, key: &str) -> Option<f64> {
        self.numbers(key).into_iter().filter(|number| number.is_finite()).max_by(f64::total_cmp)
    }

    pub(super) fn total(&self, key: &str) -> Option<f64> {
        let numbers: Vec<f64> = self.numbers(key).into_iter().filter(|number| number.is_finite()).collect();
        (!numbers.is_empty()).then(|| numbers.iter().sum())
    }

    /// FLOPs over FLOPs a second, step by step, which counts no validation.
    pub(super) fn seconds(&self) -> Option<f64> {
        let of = |record: &Map<String, Value>| {
            let rate = record.get("flops_per_second")?.as_f64().filter(|rate| *rate > 0.0)?;
            Some(record.get("flops")?.as_f64()? / rate)
        };
        let seconds: Vec<f64> = self.steps.values().filter_map(of).collect();
        (!seconds.is_empty()).then(|| seconds.iter().sum())
    }
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or(f64::NAN)
}

fn is_training_loss(key: &str) -> bool {
    key.ends_with(LOSS) && key != LOSS && key != ROUTER && !key.contains('/')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Records> {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("metrics.jsonl"), text).unwrap();
        read_records(folder.path())
    }

    #[test]
    fn steps_and_measurements_are_told_apart() {
        let text = r#"{"step":1,"loss":3.0,"text_loss":3.0,"text_count":10,"gradient_norm":1.0,"learning_rate":0.1}
{"step":1,"held_out/text_loss":2.9}
{"step":2,"loss":2.0,"text_loss":2.0,"text_count":12,"gradient_norm":null,"flops":6.0,"flops_per_second":3.0}
{"step":2,"held_out/text_loss":2.5,"held_out/text_perplexity":12.0,"text_unique_tokens":20}
{"note":"kept"}
{"step":3,"lo"#;
        let records = read(text).unwrap();
        assert_eq!(records.last_step(), 2);
        assert_eq!(records.tokens(), BTreeMap::from([("text_count".to_owned(), 22.0)]));
        assert_eq!(records.losses()["held_out/text_loss"], LastLoss { step: 2, loss: Some(2.5) });
        assert_eq!(records.losses().len(), 1);
        assert_eq!(records.unique_tokens()["text"], 20.0);
        assert!(records.gradient_norms()[1].is_nan());
        assert_eq!((records.peak("learning_rate"), records.seconds()), (Some(0.1), Some(2.0)));
        assert_eq!(records.modalities(), ["text"]);
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        let message = |text: &str| read(text).unwrap_err().to_string();
        assert!(message("{\"step\":1,\"loss\":1}\nnote\n{\"step\":2,\"loss\":1}\n").contains("line 2 is not JSON"));
        assert!(message("3\n{}\n").contains("line 1: expected an object"));
        assert!(message("").contains("no step is recorded yet"));
        assert!(read_records(Path::new("nowhere")).unwrap_err().to_string().starts_with("cannot read"));
    }

    #[test]
    fn only_steps_with_all_losses_make_a_trace() {
        let text = r#"{"step":1,"loss":1.0,"a_loss":1.0,"b_loss":2.0,"router_loss":9.0}
{"step":2,"loss":1.0,"a_loss":1.5}
{"step":3,"loss":1.0,"a_loss":1.25,"b_loss":null}
{"step":4,"loss":1.0,"a_loss":0.5,"b_loss":1.0}
"#;
        let records = read(text).unwrap();
        assert_eq!(records.losses_of(&["a".into(), "b".into()]), [vec![1.0, 0.5], vec![2.0, 1.0]]);
    }
}
