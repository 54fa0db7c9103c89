//! Steps whose numbers are not finite: skipped and counted, until there are too many in a row.

use crate::error::TrainError;

/// How many steps were skipped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SkippedSteps {
    /// So far.
    pub total: u64,
    /// Of these, the latest in a row.
    pub in_a_row: u64,
}

impl SkippedSteps {
    /// Counts step `step`, which was skipped because of `culprit`, or taken.
    ///
    /// # Errors
    /// When it is the `most`th in a row.
    pub fn count(&mut self, step: u64, culprit: Option<&str>, most: u64) -> Result<(), TrainError> {
        let Some(culprit) = culprit else {
            self.in_a_row = 0;
            return Ok(());
        };
        self.total += 1;
        self.in_a_row += 1;
        match self.in_a_row >= most {
            true => Err(TrainError::NotFinite { step, culprit: culprit.into(), in_a_row: self.in_a_row }),
            false => Ok(()),
        }
    }
}
