//! What a sweep is: one TOML of sizes, budgets, seeds and groups of runs.
//!
//! ```toml
//! sizes = ["8K", "32K", "125K", "500K"]     # parameters of the backbone
//! tokens = ["250K", "1M", "4M"]             # of a run; of a pair those of both
//! seeds = [0]
//!
//! [modalities.text]                         # only where names differ from those of the run's metrics
//! loss = "held_out/prompts.text_loss"
//!
//! [[groups]]
//! modalities = ["text"]
//! config = "text.toml"                      # beside this file
//! tokens_per_document = 21.5
//!
//! [[groups]]
//! modalities = ["speech", "text"]
//! config = "both.toml"
//! tokens_per_document = 80.0
//! set = ["data.mixture_by=\"tokens\""]
//! ```

mod group;
mod keys;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::Deserialize;

pub use group::{Group, GroupSettings};
pub use keys::{OWN_KEYS, key_of};

use crate::counts::Count;
use crate::dial::dial;
use crate::durable::read_text;
use crate::error::{Result, SweepError};

/// A sweep as its file says it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SweepSettings {
    /// Parameters of the backbone, from 8K to 30B; at least one.
    pub sizes: Vec<Count>,
    /// Tokens of a run, of a pair those of both; at least one.
    pub tokens: Vec<Count>,
    /// Seeds; 0 alone if absent.
    #[serde(default = "one_seed")]
    pub seeds: Vec<u64>,
    /// Tokens of a step at every size; those of the dial if absent. 2301.03728 takes a million.
    #[serde(default)]
    pub batch_tokens: Option<Count>,
    /// Tokens of a step that `interfuse scaling batch` tries, at least three; other commands do not look at them.
    #[serde(default)]
    pub batches: Vec<Count>,
    /// Steps that every run takes at least, for which the batch is made smaller, from 1.
    #[serde(default = "least_steps")]
    pub least_steps: u64,
    /// By what the learning rate of the dial is multiplied, above 0.
    #[serde(default = "one")]
    pub learning_rate_factor: f64,
    /// Changes to the configuration of every run, `key=value`.
    #[serde(default)]
    pub set: Vec<String>,
    /// Where the losses and tokens of modalities are found, by name.
    #[serde(default)]
    pub modalities: BTreeMap<String, ModalitySettings>,
    /// What is trained; at least one.
    pub groups: Vec<GroupSettings>,
}

/// Where a modality is found in the metrics of a run.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModalitySettings {
    /// The held-out loss; `held_out/NAME_loss` if absent.
    #[serde(default)]
    pub loss: Option<String>,
    /// The tokens of a step; `NAME_count` if absent. Two modalities of one vocabulary may share it.
    #[serde(default)]
    pub count: Option<String>,
    /// Different tokens of the training data, where that is known.
    #[serde(default)]
    pub unique_tokens: Option<Count>,
}

/// A sweep with the configurations of its groups.
#[derive(Debug, Clone, PartialEq)]
pub struct Sweep {
    /// Its file.
    pub path: PathBuf,
    /// What the file says.
    pub settings: SweepSettings,
    /// The groups, in the order of the file.
    pub groups: Vec<Group>,
}

fn one_seed() -> Vec<u64> {
    vec![0]
}

fn least_steps() -> u64 {
    200
}

fn one() -> f64 {
    1.0
}

impl Sweep {
    /// Reads a sweep and the configurations of its groups, and checks everything.
    ///
    /// # Errors
    /// A file cannot be read, or a key is unknown, missing or out of its range; names file and key.
    pub fn load(path: &Path) -> Result<Self> {
        let settings: SweepSettings =
            toml::from_str(&read_text(path)?).map_err(|error| SweepError::malformed(path, error))?;
        let place = path.display().to_string();
        settings.validate(&place)?;
        let folder = path.parent().unwrap_or(Path::new(""));
        let of = |(at, group): (usize, &GroupSettings)| {
            Group::load(group, &settings, folder, &format!("{place}: groups[{at}]"))
        };
        let groups: Vec<Group> = settings.groups.iter().enumerate().map(of).collect::<Result<_>>()?;
        for (at, group) in groups.iter().enumerate() {
            if groups[..at].iter().any(|other| other.name == group.name) {
                let expected = "a name of its own for every group";
                return Err(SweepError::value(
                    format!("{place}: groups[{at}].name"),
                    expected,
                    format!("`{}` again", group.name),
                ));
            }
        }
        Ok(Self { path: path.to_owned(), settings, groups })
    }
}

impl SweepSettings {
    fn validate(&self, place: &str) -> Result<()> {
        let at = |key: &str| format!("{place}: {key}");
        check_sizes(&at("sizes"), &self.sizes)?;
        check_list(&at("tokens"), self.tokens.iter().map(|count| count.to_string()))?;
        check_list(&at("seeds"), self.seeds.iter().map(u64::to_string))?;
        if !self.batches.is_empty() {
            check_list(&at("batches"), self.batches.iter().map(Count::to_string))?;
            if self.batches.len() < 3 {
                let expected = "at least three batch sizes, for the bottom of a parabola";
                return Err(SweepError::value(at("batches"), expected, self.batches.len()));
            }
        }
        if self.least_steps == 0 {
            return Err(SweepError::value(at("least_steps"), "at least 1", 0));
        }
        if !(self.learning_rate_factor.is_finite() && self.learning_rate_factor > 0.0) {
            return Err(SweepError::value(
                at("learning_rate_factor"),
                "a finite number above 0",
                self.learning_rate_factor,
            ));
        }
        keys::check_changes(&at("set"), &self.set)?;
        if self.groups.is_empty() {
            return Err(SweepError::value(at("groups"), "at least one group", "none"));
        }
        let used: BTreeSet<&String> = self.groups.iter().flat_map(|group| &group.modalities).collect();
        match self.modalities.keys().find(|name| !used.contains(name)) {
            Some(name) => {
                let used: Vec<&str> = used.into_iter().map(String::as_str).collect();
                let expected = format!("one of the groups' modalities: {}", used.join(", "));
                Err(SweepError::value(at("modalities"), expected, format!("`{name}`")))
            }
            None => Ok(()),
        }
    }
}

/// At least one size, none twice, all on the dial.
fn check_sizes(place: &str, sizes: &[Count]) -> Result<()> {
    check_list(place, sizes.iter().map(|count| count.to_string()))?;
    for (at, size) in sizes.iter().enumerate() {
        dial(size.get()).map_err(|_| SweepError::value(format!("{place}[{at}]"), "parameters from 8K to 30B", size))?;
    }
    Ok(())
}

/// At least one, and none twice.
fn check_list(place: &str, values: impl Iterator<Item = String>) -> Result<()> {
    let mut seen = BTreeSet::new();
    for value in values {
        if !seen.insert(value.clone()) {
            return Err(SweepError::value(place, "every value once", format!("{value} twice")));
        }
    }
    match seen.is_empty() {
        true => Err(SweepError::value(place, "at least one value", "none")),
        false => Ok(()),
    }
}
