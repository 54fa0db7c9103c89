//! The losses and costs of a run, from its folder or from the `metrics.csv` of another trainer.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use interfuse_parameters::sha256::hexadecimal;
use interfuse_scaling::matching::Curve;
use serde::Serialize;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::foreign;
use super::names::name_and_seed;
use crate::error::{Context as _, Result, refuse, require};
use crate::run_folder::RunFolder;

/// Before `_loss`, what keeps experts evenly used: no loss of a modality.
const ROUTER: &str = "router";

/// On which images and texts a loss was measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// Those of each step.
    Training,
    /// Those that no step sees.
    HeldOut,
}

/// A loss of a run, such as that of text, held out.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct LossName {
    /// The modality, or `all` for what was minimized.
    pub modality: String,
    /// On what it was measured.
    pub part: Part,
}

impl LossName {
    /// Of a key of metrics: `loss`, `text_loss`, `held_out/text_loss`; nothing for a key that is no loss.
    pub(super) fn of_key(key: &str) -> Option<Self> {
        let (part, key) = match key.strip_prefix("held_out/") {
            Some(rest) => (Part::HeldOut, rest),
            None => (Part::Training, key),
        };
        let modality = if key == "loss" { "all" } else { key.strip_suffix("_loss")? };
        let of_modality = !modality.is_empty() && !modality.contains('/') && modality != ROUTER;
        of_modality.then(|| Self { modality: modality.to_string(), part })
    }
}

impl fmt::Display for LossName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let part = if self.part == Part::Training { "training" } else { "held out" };
        write!(f, "{}, {part}", self.modality.replace('_', " "))
    }
}

/// Cumulative cost: `[step, FLOPs or seconds since the first step]`, both rising.
pub(super) type Cost = Vec<[f64; 2]>;

/// The cost after a step, linear between records and from nothing before the first.
pub(super) fn cost_at(cost: &Cost, step: f64) -> Option<f64> {
    let after = cost.partition_point(|record| record[0] < step);
    let [x0, y0] = if after == 0 { [0.0, 0.0] } else { cost[after - 1] };
    let [x1, y1] = *cost.get(after)?;
    Some(if x1 > x0 { y0 + (y1 - y0) * ((step - x0) / (x1 - x0)) } else { y1 })
}

/// What a run recorded.
#[derive(Debug, Clone, Default)]
pub struct RunCurves {
    /// Its folder or file.
    pub path: PathBuf,
    /// The folder's name without its seed.
    pub name: String,
    /// The seed, where it is known.
    pub seed: Option<u64>,
    /// `[step, loss]` of each loss, steps rising; what is not finite is left out.
    pub losses: BTreeMap<LossName, Vec<[f64; 2]>>,
    pub(super) flops: Option<Cost>,
    pub(super) seconds: Option<Cost>,
    pub(super) identity: Option<Identity>,
    pub(super) evaluation: Option<Value>,
    /// What a reader should know of it.
    pub notes: Vec<String>,
}

/// What a run folder says of where its losses come from.
#[derive(Debug, Clone)]
pub(super) struct Identity {
    /// `config.toml`.
    pub(super) config: toml::Table,
    /// `data.json`, if there is one.
    pub(super) data: Option<Value>,
    /// SHA-256 of the latest checkpoint's tokenizer, if there is one.
    pub(super) tokenizer: Option<String>,
}

impl RunCurves {
    /// Reads a run folder, a `metrics.csv` or a folder that holds one.
    ///
    /// # Errors
    /// There is no such run, a file cannot be read, a line cannot be understood, or there are no losses.
    pub fn open(path: &Path) -> Result<Self> {
        let table = if path.extension().is_some_and(|extension| extension == "csv") {
            Some(path.to_owned())
        } else {
            Some(path.join("metrics.csv")).filter(|table| table.is_file() && !path.join("config.toml").exists())
        };
        let run = match table {
            Some(table) => foreign::read(&table)?,
            None => Self::of_folder(&RunFolder::open(path)?)?,
        };
        require!(!run.losses.is_empty(), "{} has no losses yet", path.display());
        Ok(run)
    }

    fn of_folder(folder: &RunFolder) -> Result<Self> {
        let text = read(&folder.config())?;
        let config: toml::Table =
            toml::from_str(&text).with_context(|| format!("{} is not TOML", folder.config().display()))?;
        let path = folder.metrics();
        require!(path.is_file(), "{} has no losses: metrics.jsonl is missing", folder.path().display());
        let mut run = Self { path: folder.path().to_owned(), ..Self::default() };
        let records = records(&path, &read(&path)?)?;
        run.take_losses(&records);
        run.take_costs(&records);
        let seed = config.get("run").and_then(|run| run.get("seed")).and_then(toml::Value::as_integer);
        let (name, named_seed) = name_and_seed(folder.path());
        (run.name, run.seed) = (name, seed.and_then(|seed| u64::try_from(seed).ok()).or(named_seed));
        let json = |path: PathBuf| std::fs::read(path).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
        run.evaluation = json(folder.evaluation());
        let tokenizer = folder.latest_checkpoint()?.and_then(|path| std::fs::read(path.join("tokenizer.json")).ok());
        let tokenizer = tokenizer.map(|bytes| hexadecimal(Sha256::new().chain_update(bytes)));
        run.identity = Some(Identity { config, data: json(folder.data()), tokenizer });
        Ok(run)
    }

    fn take_losses(&mut self, records: &[(f64, Value)]) {
        let mut left_out = 0;
        for (step, record) in records {
            for (key, value) in record.as_object().into_iter().flatten() {
                let Some(name) = LossName::of_key(key) else { continue };
                match value.as_f64().filter(|loss| loss.is_finite()) {
                    Some(loss) => self.push(name, *step, loss),
                    None => left_out += 1,
                }
            }
        }
        if left_out > 0 {
            self.notes.push(format!("{}: {left_out} losses that are not finite are left out", self.path.display()));
        }
    }

    /// Adds a loss; one of a step that is there already takes its place.
    pub(super) fn push(&mut self, name: LossName, step: f64, loss: f64) {
        let records = self.losses.entry(name).or_default();
        match records.last_mut() {
            Some(last) if last[0] == step => last[1] = loss,
            Some(last) if last[0] > step => {}
            _ => records.push([step, loss]),
        }
    }

    /// FLOPs are those of a step, the same for all. The seconds of a step are its FLOPs over its rate, which counts neither
    /// validation nor previews; where an earlier version recorded no FLOPs, they are those of the clock, which does.
    fn take_costs(&mut self, records: &[(f64, Value)]) {
        let (mut flops, mut seconds, mut clock): (Cost, Cost, Cost) = (vec![], vec![], vec![]);
        let (mut total, mut offset, mut last) = (0.0, 0.0, 0.0);
        for (step, record) in records {
            let number = |key: &str| record.get(key).and_then(Value::as_f64).filter(|number| number.is_finite());
            if let (Some(work), Some(rate)) = (number("flops"), number("flops_per_second").filter(|rate| *rate > 0.0)) {
                total += work / rate;
                flops.push([*step, step * work]);
                seconds.push([*step, total]);
            }
            if let Some(now) = number("seconds") {
                // A resumed run begins to count again.
                offset += if now < last { last } else { 0.0 };
                last = now;
                clock.push([*step, offset + now]);
            }
        }
        if flops.is_empty() {
            self.notes.push(format!(
                "{}: metrics.jsonl has no `flops`, so steps stand for FLOPs, and seconds include validation",
                self.path.display()
            ));
        }
        self.flops = (!flops.is_empty()).then_some(flops);
        self.seconds = [seconds, clock].into_iter().find(|cost| !cost.is_empty());
    }

    /// Whether any loss was held out.
    pub(super) fn has_held_out(&self) -> bool {
        self.losses.keys().any(|name| name.part == Part::HeldOut)
    }

    /// FLOPs of a step.
    pub(super) fn flops_per_step(&self) -> Option<f64> {
        let [step, flops] = *self.flops.as_ref()?.last()?;
        (step > 0.0).then(|| flops / step)
    }

    /// A loss against steps, or against FLOPs.
    pub(super) fn curve(&self, name: &LossName, against_flops: bool) -> Result<Curve> {
        let records = self.losses.get(name).map(Vec::as_slice).unwrap_or_default();
        let mut points: Vec<[f64; 2]> = vec![];
        for &[step, loss] in records {
            let x = match &self.flops {
                Some(flops) if against_flops => cost_at(flops, step),
                _ => Some(step),
            };
            points.extend(x.map(|x| [x, loss]));
        }
        let [x, loss] = [0, 1].map(|axis| points.iter().map(|point| point[axis]).collect());
        Curve::new(x, loss).with_context(|| format!("{}, {name}", self.path.display()))
    }
}

fn read(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

/// The lines of `metrics.jsonl` with their steps. The last may be torn: the run may be going on.
fn records(path: &Path, text: &str) -> Result<Vec<(f64, Value)>> {
    let mut records = vec![];
    let mut lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()).peekable();
    while let Some((index, line)) = lines.next() {
        match serde_json::from_str::<Value>(line) {
            Ok(record) => {
                if let Some(step) = record.get("step").and_then(Value::as_u64) {
                    records.push((step as f64, record));
                }
            }
            Err(_) if lines.peek().is_none() => {}
            Err(error) => refuse!("{}, line {} is not JSON ({error})", path.display(), index + 1),
        }
    }
    Ok(records)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn losses_are_told_from_other_numbers() {
        let of = |key: &str| LossName::of_key(key).map(|name| name.to_string());
        assert_eq!(of("loss").as_deref(), Some("all, training"));
        assert_eq!(of("text_loss").as_deref(), Some("text, training"));
        assert_eq!(of("held_out/text_given_image_loss").as_deref(), Some("text given image, held out"));
        for other in [
            "held_out/image_loss.t=0.1",
            "text_count",
            "train_fixed_noise/text_loss",
            "seconds",
            "_loss",
            "router_loss",
        ] {
            assert_eq!(of(other), None, "{other}");
        }
    }

    #[test]
    fn costs_add_up_over_a_resume() {
        let line = |step: u64, seconds: f64| {
            let record = serde_json::json!({"step": step, "loss": 1.0, "seconds": seconds});
            (step as f64, record)
        };
        let mut run = RunCurves::default();
        run.take_costs(&[line(1, 2.0), line(2, 4.0), line(3, 1.0)]);
        let seconds = run.seconds.unwrap();
        assert_eq!(seconds, [[1.0, 2.0], [2.0, 4.0], [3.0, 5.0]]);
        assert_eq!([0.5, 2.5, 3.0].map(|step| cost_at(&seconds, step)), [Some(1.0), Some(4.5), Some(5.0)]);
        assert_eq!(cost_at(&seconds, 4.0), None);
        let mut run = RunCurves::default();
        let record = serde_json::json!({"flops": 100.0, "flops_per_second": 50.0, "seconds": 9.0});
        run.take_costs(&[(1.0, record.clone()), (2.0, record)]);
        assert_eq!((run.flops_per_step(), run.seconds.unwrap()), (Some(100.0), vec![[1.0, 2.0], [2.0, 4.0]]));
    }

    #[test]
    fn a_torn_last_line_is_passed_over_and_another_is_named() {
        let path = Path::new("run/metrics.jsonl");
        assert_eq!(records(path, "{\"step\": 1}\n{\"st").unwrap().len(), 1);
        let refused = records(path, "{\"step\": 1}\n{\"st\n{\"step\": 2}\n").unwrap_err().to_string();
        assert!(refused.starts_with("run/metrics.jsonl, line 2 is not JSON"), "{refused}");
    }
}
