//! What a comparison is asked for.

use serde::Serialize;

use super::published::Paper;
use crate::error::{Result, require};

/// What a comparison is asked for.
#[derive(Debug, Clone, Serialize)]
pub struct ComparisonSettings {
    /// Whether training losses alone will do.
    pub training_only: bool,
    /// Whether runs on different data or with different tokenizers are compared all the same.
    pub different_data: bool,
    /// Records of the moving mean of training losses, an odd number; a fiftieth of them if absent.
    pub window: Option<usize>,
    /// How often blocks of records are resampled, at least 2.
    pub resamples: usize,
    /// Seed of that.
    pub seed: u64,
    /// The paper's model whose slopes stand beside these.
    #[serde(skip)]
    pub paper: Option<Paper>,
}

impl Default for ComparisonSettings {
    fn default() -> Self {
        Self { training_only: false, different_data: false, window: None, resamples: 400, seed: 0, paper: None }
    }
}

impl ComparisonSettings {
    /// Checks the settings.
    ///
    /// # Errors
    /// Names the setting, what was expected and what was found.
    pub(super) fn validate(&self) -> Result<()> {
        let window = self.window.unwrap_or(1);
        require!(window % 2 == 1, "--window: expected an odd number of records, found {window}");
        require!(self.resamples >= 2, "--resamples: expected at least 2, found {}", self.resamples);
        Ok(())
    }
}
