//! The file of a fit: what `fit` writes and the other commands read.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use interfuse_parameters::durable::write_file;
use interfuse_parameters::sha256::of_bytes;
use interfuse_scaling::law::{Law, LawFit};
use interfuse_scaling::mixed::{MixedBootstrap, MixedFit, MixedLaw};
use interfuse_scaling::table::{ReadOptions, Table, TableWarning, read_table_from};
use interfuse_scaling::uncertainty::{Bootstrap, FitWarning};
use serde::{Deserialize, Serialize};

/// The layout of the file; another one is refused.
const FORMAT: u32 = 1;

/// Everything of a fit.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FitFile {
    /// [`FORMAT`].
    pub(super) format: u32,
    /// What was fitted.
    pub(super) table: TableSource,
    /// What was found.
    pub(super) fit: Fitted,
}

/// A table as it was read.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TableSource {
    /// As it was typed.
    pub(super) path: PathBuf,
    /// Of its bytes.
    pub(super) sha256: String,
    /// Names of columns, and rows.
    pub(super) options: ReadOptions,
    /// Whether only the best run of each cell was kept.
    pub(super) best_of_cells: bool,
    /// What looked wrong.
    pub(super) warnings: Vec<TableWarning>,
}

/// A law of one modality, or of a pair.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Fitted {
    /// Of one modality.
    Single(Box<Single>),
    /// Of two modalities and of what they do to each other.
    Mixed(Box<Mixed>),
}

/// The law of one modality.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Single {
    /// Its name.
    pub(super) modality: String,
    /// The law and how it was reached.
    pub(super) fit: LawFit,
    /// Laws of resampled tables.
    pub(super) bootstrap: Bootstrap<Law>,
    /// `ln L̂ − ln L` of each run, from which the scatter of one run is taken.
    pub(super) residuals: Vec<f64>,
    /// Sizes and tokens of the runs.
    pub(super) range: Range,
    /// How the largest size is predicted without it, where the rest can be fitted.
    pub(super) held_out: Option<HeldOutError>,
    /// What speaks against the fit.
    pub(super) warnings: Vec<FitWarning>,
}

/// The law of two modalities in one model.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Mixed {
    /// The first modality by itself.
    pub(super) first: Single,
    /// The second.
    pub(super) second: Single,
    /// The law of all three and how it was reached.
    pub(super) fit: MixedFit,
    /// Laws of resampled tables.
    pub(super) bootstrap: MixedBootstrap,
    /// `ln L̂ − ln L` of each mixed run.
    pub(super) residuals: Vec<f64>,
    /// Sizes and tokens of the mixed runs.
    pub(super) range: Range,
    /// How mixed runs of the largest size are predicted without that size, where the rest can be fitted.
    pub(super) held_out: Option<HeldOutError>,
    /// What speaks against the interaction, in words.
    pub(super) warnings: Vec<String>,
}

/// Between which sizes and tokens a law was fitted.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Range {
    /// Least and largest N.
    pub(super) params: (f64, f64),
    /// Least and largest D.
    pub(super) tokens: (f64, f64),
}

/// The error of predicting the largest size from the others.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct HeldOutError {
    /// N of the runs that were held out.
    pub(super) params: f64,
    /// How many they are.
    pub(super) runs: usize,
    /// Mean of |predicted / loss − 1|.
    pub(super) mean_error: f64,
    /// The largest.
    pub(super) worst_error: f64,
    /// Whether the fit to the others converged. Files of earlier versions do not say so.
    #[serde(default = "yes")]
    pub(super) converged: bool,
}

fn yes() -> bool {
    true
}

impl Mixed {
    /// The pair's name in tables.
    pub(super) fn pair(&self) -> String {
        format!("{}|{}", self.first.modality, self.second.modality)
    }
}

impl HeldOutError {
    /// Why its numbers say nothing, where they do not: of such a fit percentages may be anything.
    pub(super) fn why_void(&self) -> Option<&'static str> {
        match self {
            Self { converged: false, .. } => Some("the fit to the others did not converge"),
            Self { worst_error: 1.0.., .. } => {
                Some("the others do not identify the law: it is off by more than the loss itself")
            }
            _ => None,
        }
    }

    /// Nothing where an error is beyond all numbers, for JSON has no infinity.
    pub(super) fn finite(self) -> Option<Self> {
        (self.mean_error.is_finite() && self.worst_error.is_finite()).then_some(self)
    }
}

impl Range {
    /// Of the runs of a table.
    pub(super) fn of(table: &Table) -> Self {
        let bounds = |value: fn(&interfuse_scaling::table::Run) -> f64| {
            let values = || table.runs().iter().map(value);
            (values().fold(f64::INFINITY, f64::min), values().fold(0.0, f64::max))
        };
        Self { params: bounds(|run| run.params), tokens: bounds(|run| run.tokens) }
    }

    /// In words how far a place lies outside, where it does.
    pub(super) fn beyond(&self, params: f64, tokens: f64) -> Option<String> {
        let far = |name: &str, value: f64, (least, most): (f64, f64)| {
            let (factor, end) = match value {
                _ if value > most * 1.001 => (value / most, "above the largest"),
                _ if value < least * 0.999 => (least / value, "below the smallest"),
                _ => return None,
            };
            let factor = if factor < 1e3 { format!("{factor:.1}") } else { format!("{factor:.0e}") };
            Some(format!("{name} is {factor} times {end} of the table"))
        };
        let parts: Vec<String> =
            [far("N", params, self.params), far("D", tokens, self.tokens)].into_iter().flatten().collect();
        (!parts.is_empty()).then(|| format!("extrapolated: {}", parts.join(", ")))
    }
}

impl TableSource {
    /// Reads a table; its warnings are those of the whole table.
    pub(super) fn read(path: &Path, options: ReadOptions, best_of_cells: bool) -> anyhow::Result<(Self, Table)> {
        let bytes = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        let table = read_table_from(bytes.as_slice(), &path.display().to_string(), &options)?;
        let table = if best_of_cells { table.best_of_cells().0 } else { table };
        let sha256 = of_bytes(&bytes);
        let warnings = table.warnings();
        Ok((Self { path: path.to_owned(), sha256, options, best_of_cells, warnings }, table))
    }
}

impl TableSource {
    /// Of runs that were read one by one; the hash is of their numbers.
    pub(super) fn of(names: String, table: Table, options: ReadOptions, best_of_cells: bool) -> (Self, Table) {
        let table = if best_of_cells { table.best_of_cells().0 } else { table };
        let numbers = table.runs().iter().map(|run| format!("{run:?}")).collect::<Vec<_>>().join("\n");
        let (sha256, warnings) = (of_bytes(numbers.as_bytes()), table.warnings());
        (Self { path: PathBuf::from(names), sha256, options, best_of_cells, warnings }, table)
    }
}

impl FitFile {
    /// Of a table and what was fitted to it.
    pub(super) fn new(table: TableSource, fit: Fitted) -> Self {
        Self { format: FORMAT, table, fit }
    }

    /// Reads the file of a fit.
    pub(super) fn read(path: &Path) -> anyhow::Result<Self> {
        let bytes = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        let file: Self = serde_json::from_slice(&bytes)
            .with_context(|| format!("{}: expected a file that `interfuse scaling fit` wrote", path.display()))?;
        ensure!(file.format == FORMAT, "{}: format: expected {FORMAT}, found {}", path.display(), file.format);
        let resampled = match &file.fit {
            Fitted::Single(single) => single.bootstrap.laws.len(),
            Fitted::Mixed(mixed) => mixed.bootstrap.laws.len(),
        };
        ensure!(resampled >= 2, "{}: bootstrap.laws: expected 2 or more, found {resampled}", path.display());
        Ok(file)
    }

    /// Writes the file.
    pub(super) fn write(&self, path: &Path) -> anyhow::Result<()> {
        let mut text = serde_json::to_string_pretty(self)?;
        text.push('\n');
        Ok(write_file(path, text.as_bytes())?)
    }

    /// The law of one modality, by name where the fit is of a pair.
    pub(super) fn single(&self, modality: Option<&str>) -> anyhow::Result<&Single> {
        let (known, names): (Vec<&Single>, _) = match &self.fit {
            Fitted::Single(single) => (vec![single], format!("`{}`", single.modality)),
            Fitted::Mixed(mixed) => {
                let (first, second) = (&mixed.first, &mixed.second);
                (vec![first, second], format!("`{}` or `{}`", first.modality, second.modality))
            }
        };
        match modality {
            None if known.len() == 1 => Ok(known[0]),
            None => bail!("the fit is of a pair: choose a modality with --modality, {names}"),
            Some(name) => match known.into_iter().find(|single| single.modality == name) {
                Some(single) => Ok(single),
                None => bail!("--modality: expected {names}, found `{name}`"),
            },
        }
    }
}

/// Resampled laws without those that JSON cannot hold, as of a constant beyond all numbers.
pub(super) fn finite(mut bootstrap: Bootstrap<Law>) -> anyhow::Result<Bootstrap<Law>> {
    bootstrap.laws.retain(|law| law.constants().iter().all(|constant| constant.is_finite()));
    ensure!(bootstrap.laws.len() >= 2, "no resampled table has a law of finite constants");
    Ok(bootstrap)
}

/// The same of mixed laws.
pub(super) fn finite_mixed(mut bootstrap: MixedBootstrap) -> anyhow::Result<MixedBootstrap> {
    let constants = |law: &MixedLaw| [law.first.constants(), law.second.constants(), law.interaction.constants()];
    bootstrap.laws.retain(|law| constants(law).iter().flatten().all(|constant| constant.is_finite()));
    ensure!(bootstrap.laws.len() >= 2, "no resampled table has a law of finite constants");
    Ok(bootstrap)
}

/// Refuses a path that holds what this command does not write, so that a slip of the keys replaces no table.
pub(super) fn check_replaceable(path: &Path, is_ours: impl Fn(&[u8]) -> bool) -> anyhow::Result<()> {
    interfuse_parameters::durable::check_writable(path)?;
    match std::fs::read(path) {
        Ok(bytes) if !bytes.is_empty() && !is_ours(&bytes) => {
            bail!("--out: {} is there and no earlier result of this command; it is left as it is", path.display())
        }
        _ => Ok(()),
    }
}
