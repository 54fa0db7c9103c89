//! Which of a run's losses and tokens are those of a modality or pair.

use interfuse_scaling::table::Run;
use serde::{Deserialize, Serialize};

use super::RunResult;
use crate::error::{Result, SweepError};

/// Digits of a tokenizer's hash that tell it from others in a table.
const HASH_DIGITS: usize = 12;

/// Where a modality is found in the metrics.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Measure {
    /// The modality.
    pub name: String,
    /// Its held-out loss, such as `held_out/text_loss`.
    pub loss: String,
    /// Its tokens of a step, such as `text_count`, or of several lanes `image_count + text_count`.
    pub count: String,
    /// Different tokens of its training data, where they are known.
    pub unique_tokens: Option<f64>,
}

impl Measure {
    /// The counts that its tokens are the sum of.
    fn counts(&self) -> impl Iterator<Item = &str> {
        self.count.split('+').map(str::trim)
    }

    /// Its tokens in a run.
    fn tokens(&self, run: &RunResult) -> Result<f64> {
        let of = |count: &str| {
            let known = || run.tokens.keys().cloned().collect::<Vec<_>>().join(", ");
            let place = || format!("{}: {count}", run.folder.display());
            let found = run.tokens.get(count).copied();
            let found = found.ok_or_else(|| SweepError::value(place(), "a count in metrics.jsonl", known()))?;
            if found > 0.0 { Ok(found) } else { Err(SweepError::value(place(), "tokens above 0", found)) }
        };
        self.counts().map(of).sum()
    }

    /// Whether some of its tokens are counted where those of another are.
    fn overlaps(&self, other: &Self) -> bool {
        self.counts().any(|count| other.counts().any(|theirs| theirs == count))
    }
}

/// One modality, or the two of a pair.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Measured {
    /// One or two.
    pub modalities: Vec<Measure>,
    /// Of a pair's tokens, the fraction of the first, where the metrics cannot tell.
    pub first_share: Option<f64>,
}

impl Measured {
    /// What a run's own names say: its modalities in alphabetical order, with the losses of their names.
    ///
    /// # Errors
    /// The model has more than two modalities, or a loss is not there or not the only one of its kind; names those that are.
    pub fn of_run(run: &RunResult) -> Result<Self> {
        if !(1..=2).contains(&run.lanes.len()) {
            let expected = "a model of one modality or a pair";
            return Err(SweepError::value(run.folder.display().to_string(), expected, run.lanes.join(", ")));
        }
        let of = |name: &String| {
            Ok(Measure {
                name: name.clone(),
                loss: loss_of(run, name)?,
                count: format!("{name}_count"),
                unique_tokens: None,
            })
        };
        Ok(Self { modalities: run.lanes.iter().map(of).collect::<Result<_>>()?, first_share: None })
    }

    /// The modalities.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.modalities.iter().map(|measure| measure.name.as_str())
    }

    /// `text`, or `speech|text`.
    pub fn modality(&self) -> String {
        self.names().collect::<Vec<_>>().join("|")
    }

    /// Whether every loss was measured after the last step of a run.
    pub fn is_measured(&self, run: &RunResult) -> bool {
        self.modalities.iter().all(|measure| run.losses.get(&measure.loss).is_some_and(|last| last.step >= run.steps))
    }

    /// The final held-out losses, in the order of the modalities.
    ///
    /// # Errors
    /// One is not there, is not of the last step, or is not finite and above 0; names the run and the loss.
    pub fn losses(&self, run: &RunResult) -> Result<Vec<f64>> {
        let place = |measure: &Measure| format!("{}: {}", run.folder.display(), measure.loss);
        let of = |measure: &Measure| {
            let Some(last) = run.losses.get(&measure.loss) else {
                let known: Vec<&str> = run.losses.keys().map(String::as_str).collect();
                let found = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
                return Err(SweepError::value(place(measure), "a loss in metrics.jsonl", found));
            };
            if last.step < run.steps {
                let expected = format!("a loss after the last step, {}", run.steps);
                return Err(SweepError::value(place(measure), expected, format!("one after step {}", last.step)));
            }
            let loss = last.loss.filter(|loss| loss.is_finite() && *loss > 0.0);
            let found = last.loss.map_or("one that is not finite".to_owned(), |loss| loss.to_string());
            loss.ok_or_else(|| SweepError::value(place(measure), "a finite loss above 0", found))
        };
        self.modalities.iter().map(of).collect()
    }

    /// The run as a row of the table that `interfuse scaling fit` reads.
    ///
    /// The loss of a pair is the mean of both, whatever their shares, since that is what the mixed law is of. FLOPs are left out,
    /// so that the table's are 6 N D, in which the law is stated.
    ///
    /// # Errors
    /// As [`Measured::losses`], or tokens are not counted; names the run and the count.
    pub fn row(&self, run: &RunResult, name: &str) -> Result<Run> {
        let losses = self.losses(run)?;
        let tokens = self.tokens(run)?;
        let total: f64 = tokens.iter().sum();
        let unique = self.modalities.iter().zip(&tokens).map(|(measure, tokens)| {
            let logged = || run.unique_tokens.get(&measure.name).copied();
            // Of two modalities of one lane each has its share of what is unique there; only their sum is used.
            let of_lane = || {
                let lanes = measure.counts().map(|count| run.unique_tokens.get(count.strip_suffix("_count")?).copied());
                Some(lanes.sum::<Option<f64>>()? * tokens / measure.tokens(run).ok()?)
            };
            let known = measure.unique_tokens.or_else(logged).or_else(of_lane);
            known.filter(|unique| *unique > 0.0).map(|unique| unique.min(*tokens))
        });
        let first_share = (tokens.len() == 2).then(|| tokens[0] / total);
        Ok(Run {
            run: Some(name.to_owned()),
            modality: self.modality(),
            params: run.params,
            tokens: total,
            unique_tokens: unique.sum(),
            first_share,
            loss: losses.iter().sum::<f64>() / losses.len() as f64,
            steps: Some(run.steps as f64),
            batch_tokens: Some(total / run.steps.max(1) as f64),
            learning_rate: run.learning_rate.filter(|rate| *rate > 0.0),
            flops: None,
            seed: run.seed.map(|seed| seed as f64),
            tokenizer: run.tokenizer.as_ref().map(|hash| hash.chars().take(HASH_DIGITS).collect()),
        })
    }

    /// Tokens of each modality.
    fn tokens(&self, run: &RunResult) -> Result<Vec<f64>> {
        let counts: Vec<f64> = self.modalities.iter().map(|measure| measure.tokens(run)).collect::<Result<_>>()?;
        let [first, second] = self.modalities.as_slice() else { return Ok(counts) };
        let (total, share) = match (first.overlaps(second), self.first_share) {
            (false, None) => return Ok(counts),
            (false, Some(share)) => (counts[0] + counts[1], share),
            // Of two that share a lane, all that either counts is there once.
            (true, share) => (counts[0].max(counts[1]), share.unwrap_or(0.5)),
        };
        Ok(vec![share * total, (1.0 - share) * total])
    }
}

/// `held_out/NAME_loss`, else the only one of a collection, `held_out/COLLECTION.NAME_loss`.
fn loss_of(run: &RunResult, name: &str) -> Result<String> {
    let own = format!("held_out/{name}_loss");
    if run.losses.contains_key(&own) {
        return Ok(own);
    }
    let ending = format!(".{name}_loss");
    let of_collections: Vec<&String> =
        run.losses.keys().filter(|key| key.starts_with("held_out/") && key.ends_with(&ending)).collect();
    match of_collections[..] {
        [only] => Ok(only.clone()),
        _ => {
            let known: Vec<&str> = run.losses.keys().map(String::as_str).collect();
            let found = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            let expected = format!("`{own}`, or one loss that ends in `{ending}`");
            Err(SweepError::value(run.folder.display().to_string(), expected, found))
        }
    }
}
