//! The four phenomena of 2301.03728 on run folders: the curves of `metrics.jsonl` through [`interfuse_scaling::phenomena`].
//!
//! Curves are those of the model's modalities. Two modalities of one lane, such as code and text in one vocabulary, have one
//! curve, so that a run of such a pair says nothing of coordinate ascent.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use interfuse_scaling::phenomena::{
    Ascent, AscentSettings, Association, PairRun, SpikeSettings, Spikes, Trace, associations, coordinate_ascent,
    sign_alternation, spikes,
};
use interfuse_scaling::uncertainty::BootstrapSettings;
use serde::{Deserialize, Serialize};

use crate::counts::short;
use crate::error::{Result, SweepError};
use crate::runs::{RunResult, read_records, read_run};

/// Before the keys under which a run logs the cosine between gradients of its modalities.
const COSINE: &str = "gradient_cosine";

/// By which thresholds phenomena are counted; they belong in a report, for the paper does not say its own.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PhenomenaSettings {
    /// What is flat and what is falling.
    pub ascent: AscentSettings,
    /// What is a spike.
    pub spikes: SpikeSettings,
    /// α and β of the interactions by pair, such as `speech|text`, for statements about them.
    pub exponents: BTreeMap<String, (f64, f64)>,
    /// Pair, N and best batch in tokens, where sweeps over batches were made; a run's N may differ by a hundredth.
    pub best_batches: Vec<(String, f64, f64)>,
    /// Of the statements.
    pub bootstrap: BootstrapSettings,
}

/// What was measured of one run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RunPhenomena {
    /// Its folder.
    pub folder: PathBuf,
    /// Its modalities, `speech|text`.
    pub modality: String,
    /// N.
    pub params: f64,
    /// D.
    pub tokens: f64,
    /// Intermittent coordinate ascent; nothing of a single modality or of too short a run.
    pub ascent: Option<Ascent>,
    /// How often the two take turns.
    pub alternation: Option<f64>,
    /// Of the gradient norm.
    pub spikes: Option<Spikes>,
    /// Mean of each cosine between gradients that the run logs.
    pub cosines: BTreeMap<String, f64>,
    /// Why something is missing.
    pub notes: Vec<String>,
}

/// The phenomena of several runs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Phenomena {
    /// By which thresholds.
    pub settings: PhenomenaSettings,
    /// Every run.
    pub runs: Vec<RunPhenomena>,
    /// The paper's statements over pairs whose exponents are known.
    pub associations: Vec<Association>,
}

/// Measures the phenomena of run folders.
///
/// # Errors
/// A folder holds no run, or a setting is out of its range; names it. What a run is too short for is missing and noted.
pub fn phenomena(folders: &[PathBuf], settings: &PhenomenaSettings) -> Result<Phenomena> {
    settings.ascent.validate()?;
    settings.bootstrap.validate()?;
    if folders.is_empty() {
        return Err(SweepError::value("the run folders", "at least one", "none"));
    }
    let runs: Vec<RunPhenomena> = folders.iter().map(|folder| of_run(folder, settings)).collect::<Result<_>>()?;
    let pairs: Vec<PairRun> = runs.iter().filter_map(|run| pair_run(run, settings)).collect();
    let associations = if pairs.is_empty() { vec![] } else { associations(&pairs, settings.bootstrap) };
    Ok(Phenomena { settings: settings.clone(), runs, associations })
}

fn of_run(folder: &Path, settings: &PhenomenaSettings) -> Result<RunPhenomena> {
    let (run, records): (RunResult, _) = (read_run(folder)?, read_records(folder)?);
    let names = records.modalities();
    let mut notes = vec![];
    let mut kept = |what: &str, error: interfuse_scaling::ScalingError| notes.push(format!("{what}: {error}"));
    let (mut ascent, mut alternation) = (None, None);
    if names.len() >= 2 {
        let losses = names.iter().cloned().zip(records.losses_of(&names)).collect();
        match Trace::new(losses).and_then(|trace| Ok((coordinate_ascent(&trace, settings.ascent)?, trace))) {
            Ok((found, trace)) => {
                ascent = Some(found);
                alternation = sign_alternation(&trace, settings.ascent).ok();
            }
            Err(error) => kept("coordinate ascent", error),
        }
    }
    let spikes = spikes(&records.gradient_norms(), settings.spikes).map_err(|error| kept("spikes", error)).ok();
    let cosines = records.keys_with(COSINE).into_iter().filter_map(|key| {
        let values: Vec<f64> = records.numbers(&key).into_iter().filter(|value| value.is_finite()).collect();
        (!values.is_empty()).then(|| (key, values.iter().sum::<f64>() / values.len() as f64))
    });
    Ok(RunPhenomena {
        folder: folder.to_owned(),
        modality: names.join("|"),
        params: run.params,
        tokens: run.all_tokens(),
        ascent,
        alternation,
        spikes,
        cosines: cosines.collect(),
        notes,
    })
}

fn pair_run(run: &RunPhenomena, settings: &PhenomenaSettings) -> Option<PairRun> {
    let (alpha, beta) = *settings.exponents.get(&run.modality)?;
    let is_own =
        |(pair, params, _): &&(String, f64, f64)| *pair == run.modality && (params / run.params - 1.0).abs() <= 0.01;
    let best_batch = settings.best_batches.iter().find(is_own).map(|(.., batch)| *batch);
    Some(PairRun {
        pair: run.modality.clone(),
        params: run.params,
        alpha,
        beta,
        ascent: run.ascent.as_ref().map(|ascent| ascent.fraction),
        spikes: run.spikes.as_ref().map(|spikes| spikes.per_thousand),
        best_batch,
    })
}

impl Phenomena {
    /// A table of the runs and the statements.
    pub fn to_text(&self) -> String {
        let AscentSettings { decay, window, flat, falling } = self.settings.ascent;
        let SpikeSettings { factor, window: median } = self.settings.spikes;
        let mut text = format!(
            "flat: below {flat} over {window} steps, falling: from {falling}, of means with decay {decay}; spikes: above \
             {factor} times the median of {median} steps\n"
        );
        let cell = |number: Option<f64>, digits: usize| {
            number.map_or_else(|| "-".to_owned(), |number| format!("{number:.digits$}"))
        };
        for run in &self.runs {
            let ascent = run.ascent.as_ref().map(|ascent| ascent.fraction);
            let spikes = run.spikes.as_ref().map(|spikes| spikes.per_thousand);
            // Writing to a string cannot fail.
            let _ = write!(
                text,
                "{}  {}  N {}  D {}  coordinate ascent {}  turns {}  spikes a thousand steps {}",
                run.folder.display(),
                run.modality,
                short(run.params),
                short(run.tokens),
                cell(ascent, 3),
                cell(run.alternation, 3),
                cell(spikes, 2)
            );
            run.cosines.iter().for_each(|(key, cosine)| {
                let _ = write!(text, "  {key} {cosine:.3}");
            });
            text.push('\n');
            run.notes.iter().for_each(|note| {
                let _ = writeln!(text, "  not measured: {note}");
            });
        }
        for statement in &self.associations {
            let _ = writeln!(text, "{}", statement.to_line());
        }
        text
    }
}
