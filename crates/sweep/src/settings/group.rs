//! A group of runs: one modality or a pair, with its own configuration.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use super::keys::check_changes;
use super::{ModalitySettings, SweepSettings, check_list, check_sizes};
use crate::counts::Count;
use crate::durable::read_text;
use crate::error::{Result, SweepError};
use crate::runs::{Measure, Measured, hexadecimal};

/// A group as the sweep's file says it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GroupSettings {
    /// Name of its runs; the modalities joined by `-` if absent.
    #[serde(default)]
    pub name: Option<String>,
    /// One modality, or the two of a pair.
    pub modalities: Vec<String>,
    /// Configuration of its runs, relative to the sweep's file.
    pub config: PathBuf,
    /// Mean tokens of a document, above 0, by which tokens become steps; that of the calibration if absent.
    #[serde(default)]
    pub tokens_per_document: Option<f64>,
    /// Of a pair's tokens, the fraction of the first modality, between 0 and 1, where the metrics cannot tell the two apart; as
    /// counted, else a half, if absent.
    #[serde(default)]
    pub first_share: Option<f64>,
    /// Changes to the configuration, `key=value`.
    #[serde(default)]
    pub set: Vec<String>,
    /// Held-out losses by modality that differ from those of `[modalities]`.
    #[serde(default)]
    pub losses: BTreeMap<String, String>,
    /// Sizes of this group; those of the sweep if absent.
    #[serde(default)]
    pub sizes: Option<Vec<Count>>,
    /// Tokens of this group; those of the sweep if absent.
    #[serde(default)]
    pub tokens: Option<Vec<Count>>,
    /// Seeds of this group; those of the sweep if absent.
    #[serde(default)]
    pub seeds: Option<Vec<u64>>,
}

/// A group that is checked and complete.
#[derive(Debug, Clone, PartialEq)]
pub struct Group {
    /// Name of its runs.
    pub name: String,
    /// Which losses and tokens of a run are those of the group.
    pub measured: Measured,
    /// Its configuration.
    pub config: PathBuf,
    /// What the configuration says.
    pub table: toml::Table,
    /// SHA-256 of the configuration.
    pub config_sha256: String,
    /// Mean tokens of a document.
    pub tokens_per_document: Option<f64>,
    /// Changes, those of the sweep first.
    pub changes: Vec<String>,
    /// Sizes.
    pub sizes: Vec<Count>,
    /// Budgets.
    pub tokens: Vec<Count>,
    /// Seeds.
    pub seeds: Vec<u64>,
}

impl Group {
    pub(super) fn load(group: &GroupSettings, sweep: &SweepSettings, folder: &Path, place: &str) -> Result<Self> {
        group.validate(place)?;
        let config = folder.join(&group.config);
        let text = read_text(&config)?;
        let table: toml::Table = toml::from_str(&text).map_err(|error| SweepError::malformed(&config, error))?;
        check_config(&config, &table)?;
        let own = |change: &&String| !group.set.iter().any(|other| super::key_of(other) == super::key_of(change));
        Ok(Self {
            name: group.name.clone().unwrap_or_else(|| group.modalities.join("-")),
            measured: group.measured(sweep),
            config_sha256: hexadecimal(Sha256::new().chain_update(text)),
            config,
            table,
            tokens_per_document: group.tokens_per_document,
            changes: sweep.set.iter().filter(own).chain(&group.set).cloned().collect(),
            sizes: group.sizes.clone().unwrap_or_else(|| sweep.sizes.clone()),
            tokens: group.tokens.clone().unwrap_or_else(|| sweep.tokens.clone()),
            seeds: group.seeds.clone().unwrap_or_else(|| sweep.seeds.clone()),
        })
    }

    /// An unsigned number of its configuration.
    pub(crate) fn number(&self, path: &[&str]) -> Option<u64> {
        let (last, tables) = path.split_last()?;
        let table = tables.iter().try_fold(&self.table, |table, key| table.get(*key)?.as_table())?;
        table.get(*last)?.as_integer().and_then(|number| u64::try_from(number).ok())
    }
}

impl GroupSettings {
    fn validate(&self, place: &str) -> Result<()> {
        let at = |key: &str| format!("{place}.{key}");
        if !(1..=2).contains(&self.modalities.len()) {
            return Err(SweepError::value(at("modalities"), "one modality or a pair", self.modalities.len()));
        }
        let is_name = |name: &str| {
            !name.is_empty() && name.chars().all(|letter| letter.is_ascii_alphanumeric() || "-_".contains(letter))
        };
        let expected = "a name of letters, digits, `_` and `-`";
        if let Some(name) = self.modalities.iter().chain(&self.name).find(|name| !is_name(name)) {
            return Err(SweepError::value(at("modalities or name"), expected, format!("`{name}`")));
        }
        check_list(&at("modalities"), self.modalities.iter().cloned())?;
        if let Some(tokens) = self.tokens_per_document.filter(|tokens| !(tokens.is_finite() && *tokens > 0.0)) {
            return Err(SweepError::value(at("tokens_per_document"), "a finite number above 0", tokens));
        }
        if let Some(share) = self.first_share {
            if self.modalities.len() < 2 {
                return Err(SweepError::value(
                    at("first_share"),
                    "a pair, of whose tokens it is a part",
                    "one modality",
                ));
            }
            if !(share > 0.0 && share < 1.0) {
                return Err(SweepError::value(at("first_share"), "a fraction between 0 and 1", share));
            }
        }
        if let Some(name) = self.losses.keys().find(|name| !self.modalities.contains(name)) {
            let expected = format!("one of {}", self.modalities.join(", "));
            return Err(SweepError::value(at("losses"), expected, format!("`{name}`")));
        }
        if let Some(sizes) = &self.sizes {
            check_sizes(&at("sizes"), sizes)?;
        }
        if let Some(tokens) = &self.tokens {
            check_list(&at("tokens"), tokens.iter().map(|count| count.to_string()))?;
        }
        if let Some(seeds) = &self.seeds {
            check_list(&at("seeds"), seeds.iter().map(u64::to_string))?;
        }
        check_changes(&at("set"), &self.set)
    }

    fn measured(&self, sweep: &SweepSettings) -> Measured {
        let of = |name: &String| {
            let default = ModalitySettings::default();
            let settings = sweep.modalities.get(name).unwrap_or(&default);
            let loss = self.losses.get(name).or(settings.loss.as_ref()).cloned();
            Measure {
                name: name.clone(),
                loss: loss.unwrap_or_else(|| format!("held_out/{name}_loss")),
                count: settings.count.clone().unwrap_or_else(|| format!("{name}_count")),
                unique_tokens: settings.unique_tokens.map(Count::get),
            }
        };
        Measured { modalities: self.modalities.iter().map(of).collect(), first_share: self.first_share }
    }
}

/// What a sweep needs of a configuration; the rest is checked by the program that trains.
fn check_config(path: &Path, table: &toml::Table) -> Result<()> {
    let wrong = |key: &str, expected: &str, found: &str| {
        Err(SweepError::value(format!("{}: {key}", path.display()), expected, found))
    };
    let section = |name: &str| table.get(name).and_then(toml::Value::as_table);
    if section("model").and_then(|model| model.get("backbone")).is_none_or(|backbone| !backbone.is_table()) {
        return wrong("model.backbone", "a table", "none");
    }
    match section("train").and_then(|train| train.get("batch_size")) {
        Some(toml::Value::Integer(1..)) => Ok(()),
        Some(other) => wrong("train.batch_size", "at least 1", &other.to_string()),
        None => wrong("train.batch_size", "documents of a micro-batch", "none"),
    }
}
