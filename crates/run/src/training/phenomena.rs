//! What modalities do to each other while a run is trained, as [`interfuse_scaling::phenomena`] counts it.
//!
//! | key of `metrics.jsonl` | what it is |
//! |---|---|
//! | `coordinate_ascent` | the fraction of steps so far at which one modality is flat while another falls |
//! | `coordinate_ascent.recent` | the same of the last [`RECENT`](interfuse_scaling::phenomena::RECENT) steps |
//! | `coordinate_ascent.recent.NAME` | of those, the fraction at which this modality is the flat one |
//! | `coordinate_ascent.turns` | of two modalities, how often they take turns |
//! | `gradient_spikes` | spikes of the gradient norm so far |
//!
//! Of the four phenomena of 2301.03728 these two are of one run. What the others say, that ascent goes with the law's α and the
//! best batch with its β, is of many runs and a fitted law: a number for it in the middle of one run would mean nothing.
//!
//! A resume counts the steps in `metrics.jsonl` again, so that nothing of it lies in checkpoints, and a run that was begun by an
//! earlier version has its counts too.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::Path;

use interfuse_scaling::phenomena::{AscentSettings, AscentWatch, SpikeSettings, SpikeWatch};
use interfuse_trainer::StepReport;

use crate::error::{Context as _, Result};
use crate::plan::Plan;

/// Counts step by step.
pub(super) struct PhenomenaWatch {
    /// Modalities that have rows in a sequence.
    names: Vec<String>,
    /// Of two modalities or more.
    ascent: Option<AscentWatch>,
    spikes: SpikeWatch,
}

impl PhenomenaWatch {
    /// Of a run, and of the steps that its metrics already have.
    pub(super) fn of_run(plan: &Plan, metrics: &Path) -> Result<Self> {
        let lanes = plan.card.model.modalities().into_iter().zip(&plan.shape.capacity);
        let mut watch = Self::new(lanes.filter(|(_, rows)| **rows > 0).map(|(modality, _)| modality.name).collect())?;
        if metrics.exists() {
            watch.count_again(metrics)?;
        }
        Ok(watch)
    }

    fn new(names: Vec<String>) -> Result<Self> {
        let context = "cannot count phenomena";
        let of_several = (names.len() >= 2).then(|| AscentWatch::new(names.clone(), AscentSettings::default()));
        let ascent = of_several.transpose().context(context)?;
        Ok(Self { names, ascent, spikes: SpikeWatch::new(SpikeSettings::default()).context(context)? })
    }

    fn count_again(&mut self, metrics: &Path) -> Result<()> {
        let reading = || format!("cannot read {}", metrics.display());
        let lines = BufReader::new(File::open(metrics).with_context(reading)?);
        let keys: Vec<String> = self.names.iter().map(|name| format!("{name}_loss")).collect();
        for line in lines.lines() {
            let line = line.with_context(reading)?;
            if number(&line, "loss").is_some() {
                let losses: Vec<f64> = keys.iter().map(|key| number(&line, key).unwrap_or(f64::NAN)).collect();
                self.push(&losses, number(&line, "gradient_norm").unwrap_or(f64::NAN));
            }
        }
        Ok(())
    }

    fn push(&mut self, losses: &[f64], gradient_norm: f64) {
        if let Some(ascent) = &mut self.ascent {
            ascent.push(losses);
        }
        self.spikes.push(gradient_norm);
    }

    /// Takes a step, and gives what is counted so far, by name; nothing where it is too early.
    pub(super) fn step(&mut self, report: &StepReport) -> Vec<(String, f64)> {
        let loss = |name: &String| {
            let modality = report.modalities.iter().find(|modality| modality.name == *name);
            modality.map_or(f64::NAN, |modality| modality.loss)
        };
        let losses: Vec<f64> = self.names.iter().map(loss).collect();
        self.push(&losses, report.gradient_norm);
        self.numbers()
    }

    fn numbers(&self) -> Vec<(String, f64)> {
        let mut numbers = vec![];
        if let Some(watch) = &self.ascent {
            numbers.extend(watch.ascent().map(|ascent| ("coordinate_ascent".to_string(), ascent.fraction)));
            if let Some((any, of_each)) = watch.recent() {
                numbers.push(("coordinate_ascent.recent".into(), any));
                let of_each = watch.names().zip(of_each);
                numbers.extend(of_each.map(|(name, share)| (format!("coordinate_ascent.recent.{name}"), share)));
            }
            // With three modalities and more it would be said of the first two alone.
            let turns = watch.alternation().filter(|_| self.names.len() == 2);
            numbers.extend(turns.map(|turns| ("coordinate_ascent.turns".into(), turns)));
        }
        numbers.extend(self.spikes.spikes().map(|spikes| ("gradient_spikes".into(), spikes as f64)));
        numbers
    }
}

/// A number of a line as [`JsonLines`](crate::metrics::JsonLines) writes it; NaN where it was not finite, which is null there.
///
/// Read from the text, because serde_json may miss the nearest number by the last place, and what is counted again should be
/// what was counted.
fn number(line: &str, key: &str) -> Option<f64> {
    let (_, rest) = line.split_once(&format!("\"{key}\":"))?;
    let (value, _) = rest.split_once([',', '}'])?;
    Some(value.trim().parse().unwrap_or(f64::NAN))
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::*;

    fn watch(names: &[&str]) -> PhenomenaWatch {
        PhenomenaWatch::new(names.iter().map(|name| name.to_string()).collect()).unwrap()
    }

    /// Image and text of 400 steps: text stands still from 150 to 250, and every hundredth gradient is a spike.
    fn steps() -> Vec<([f64; 2], f64)> {
        let (mut image, mut text) = (2.0, 7.0);
        let step = |step: usize| {
            image *= 0.999;
            text *= if (150..250).contains(&step) { 1.0 } else { 0.999 };
            let skipped = step == 333;
            let norm = if step % 100 == 99 { 30.0 } else { 1.0 + 1.0 / (1 + step) as f64 };
            ([if skipped { f64::NAN } else { image }, text], if skipped { f64::NAN } else { norm })
        };
        (0..400).map(step).collect()
    }

    fn pushed(watch: &mut PhenomenaWatch, steps: &[([f64; 2], f64)]) -> Vec<(String, f64)> {
        steps.iter().for_each(|(losses, norm)| watch.push(losses, *norm));
        watch.numbers()
    }

    #[test]
    fn a_modality_that_waits_and_spikes_are_counted_as_they_come() {
        let steps = steps();
        let mut watch = watch(&["image", "text"]);
        assert!(pushed(&mut watch, &steps[..20]).is_empty(), "no window is full");
        let at_250 = pushed(&mut watch, &steps[20..250]);
        let of = |numbers: &[(String, f64)], key: &str| numbers.iter().find(|(name, _)| name == key).unwrap().1;
        // Text falls by 20 thousandths over a window, and is flat once the mean has followed.
        assert!(of(&at_250, "coordinate_ascent.recent") > 0.5);
        assert_eq!(of(&at_250, "coordinate_ascent.recent"), of(&at_250, "coordinate_ascent.recent.text"));
        assert_eq!(of(&at_250, "coordinate_ascent.recent.image"), 0.0);
        assert_eq!(of(&at_250, "gradient_spikes"), 2.0);
        let at_end = pushed(&mut watch, &steps[250..]);
        assert_eq!(of(&at_end, "coordinate_ascent.recent"), 0.0, "both fall since");
        assert!((0.1..0.3).contains(&of(&at_end, "coordinate_ascent")), "{at_end:?}");
        assert_eq!(of(&at_end, "gradient_spikes"), 5.0, "a step that is not finite is one");
        // What the functions for finished runs say of the same curves.
        let whole: Vec<_> = steps.iter().filter(|(losses, _)| losses[0].is_finite()).collect();
        let column = |at: usize| whole.iter().map(|(losses, _)| losses[at]).collect();
        let trace =
            interfuse_scaling::phenomena::Trace::new(vec![("image".into(), column(0)), ("text".into(), column(1))]);
        let trace = trace.unwrap();
        let afterwards = interfuse_scaling::phenomena::coordinate_ascent(&trace, AscentSettings::default()).unwrap();
        assert_eq!(of(&at_end, "coordinate_ascent"), afterwards.fraction);
    }

    #[test]
    fn a_resume_stands_where_the_run_stood() {
        let steps = steps();
        let mut whole = watch(&["image", "text"]);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.jsonl");
        let mut text = String::new();
        for (at, ([image, words], norm)) in steps[..340].iter().enumerate() {
            whole.push(&[*image, *words], *norm);
            let record = serde_json::json!({"step": at + 1, "loss": image + words, "image_loss": image, "text_loss": words,
                "gradient_norm": norm});
            writeln!(text, "{record}").unwrap();
            let measured = serde_json::json!({"step": at + 1, "held_out/image_loss": 9.0, "held_out/loss": 9.0});
            writeln!(text, "{measured}").unwrap();
        }
        std::fs::write(&path, text).unwrap();
        let mut resumed = watch(&["image", "text"]);
        resumed.count_again(&path).unwrap();
        assert_eq!(resumed.ascent, whole.ascent);
        assert_eq!(resumed.spikes, whole.spikes);
        assert_eq!(pushed(&mut resumed, &steps[340..]), pushed(&mut whole, &steps[340..]));
    }

    #[test]
    fn one_modality_has_spikes_alone() {
        let mut watch = watch(&["text"]);
        for _ in 0..30 {
            watch.push(&[3.0], 1.0);
        }
        assert_eq!(watch.numbers(), [("gradient_spikes".to_string(), 0.0)]);
    }
}
